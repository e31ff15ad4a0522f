"""What was known when a plan was made, small enough to stay with it: for plots, not for its file."""
import weakref
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Tuple

from accnn import methods, ranks
from accnn.ranks.energy_points import by_rank, energy_points


@dataclass(frozen=True)
class PlanEvidence:
    """Shapes and curves of the network that a plan is of.

    Attributes
    ----------
    layers : tuple of LayerSpec
    energies, divergences : dict of (str, str) to tuple of (rank, float)
        By layer and method: energy kept, and divergence of the outputs in nats, at ranks.
    measured : dict of (str, str) to tuple of rank
        Of `divergences`, the ranks at which the network was run, the others being predicted; all of them where there
        is none.
    chosen : dict of str to (float or None, float or None)
        By layer: energy and divergence at the rank of the plan.
    accelerator : callable, optional
        Returns the Accelerator, as long as somebody else keeps it, else None.
    """

    layers: Tuple[object, ...] = ()
    energies: Mapping[Tuple[str, str], tuple] = field(default_factory=dict)
    divergences: Mapping[Tuple[str, str], tuple] = field(default_factory=dict)
    measured: Mapping[Tuple[str, str], tuple] = field(default_factory=dict)
    chosen: Mapping[str, tuple] = field(default_factory=dict)
    accelerator: Optional[Callable] = None


def evidence_of(accelerator, rows, may_decompose=None, table=None):
    """Collect what is known of the layers of a plan.

    Parameters
    ----------
    accelerator : Accelerator
    rows : iterable of Row
    may_decompose : callable, optional
        ``may_decompose(candidate)``: whether to decompose a layer for its curve; default: none.
    table : Sensitivity or Calibrated, optional
        Knows divergences by rank. Default: what the accelerator has of images.

    Returns
    -------
    PlanEvidence
    """
    table = accelerator.responses if table is None else table
    energies, divergences, measured, chosen = {}, {}, {}, {}
    for row in rows:
        for name in [row.method] if row.method else methods.names(accelerator.specs[row.layer].kind):
            known = table.points(row.layer, name) if table is not None else None
            if known:
                divergences[row.layer, name] = tuple(sorted(known, key=lambda point: by_rank(point[0])))
                ranks_run = table.measured_at(row.layer, name)
                measured.update({(row.layer, name): ranks_run} if ranks_run else {})
                break
        if row.method:
            candidate = accelerator.candidate(row.layer, methods.get(row.method))
            found = energy_points(candidate, bool(may_decompose and may_decompose(candidate)))
            if len(found) > 1:
                energies[row.layer, row.method] = found
            chosen[row.layer] = _energy(candidate, row.rank), _at(candidate, row.rank, known)
    return PlanEvidence(tuple(accelerator.layers), energies, divergences, measured, chosen, weakref.ref(accelerator))


def _energy(candidate, rank):
    """float or None: what a rank keeps, where that is known, or told by a decomposition without iterations."""
    told = candidate.decomposed and not candidate.method.iterative
    return candidate.energy(rank) if told else candidate.known_energy(rank)


def _at(candidate, rank, known):
    return ranks.curve.Curve(candidate, known).at(rank) if known and len(known) > 1 else None

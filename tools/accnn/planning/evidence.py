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
    chosen : dict of str to (float or None, float or None)
        By layer: energy and divergence at the rank of the plan.
    accelerator : callable, optional
        Returns the Accelerator, as long as somebody else keeps it, else None.
    """

    layers: Tuple[object, ...] = ()
    energies: Mapping[Tuple[str, str], tuple] = field(default_factory=dict)
    divergences: Mapping[Tuple[str, str], tuple] = field(default_factory=dict)
    chosen: Mapping[str, tuple] = field(default_factory=dict)
    accelerator: Optional[Callable] = None


def evidence_of(accelerator, rows, may_decompose=None, points=None):
    """Collect what is known of the layers of a plan.

    Parameters
    ----------
    accelerator : Accelerator
    rows : iterable of Row
    may_decompose : callable, optional
        ``may_decompose(candidate)``: whether to decompose a layer for its curve; default: none.
    points : callable, optional
        ``points(layer, method)``: list of (rank, divergence) or None. Default: of the accelerator's images.

    Returns
    -------
    PlanEvidence
    """
    if points is None:
        points = accelerator.responses.points if accelerator.responses is not None else (lambda layer, method: None)
    energies, divergences, chosen = {}, {}, {}
    for row in rows:
        for name in [row.method] if row.method else methods.names(accelerator.specs[row.layer].kind):
            measured = points(row.layer, name)
            if measured:
                divergences[row.layer, name] = tuple(sorted(measured, key=lambda point: by_rank(point[0])))
                break
        if row.method:
            candidate = accelerator.candidate(row.layer, methods.get(row.method))
            found = energy_points(candidate, bool(may_decompose and may_decompose(candidate)))
            if len(found) > 1:
                energies[row.layer, row.method] = found
            chosen[row.layer] = (candidate.energy(row.rank) if candidate.decomposed else
                                 candidate.known_energy(row.rank), _at(candidate, row.rank, measured))
    return PlanEvidence(tuple(accelerator.layers), energies, divergences, chosen, weakref.ref(accelerator))


def _at(candidate, rank, measured):
    return ranks.curve.Curve(candidate, measured).at(rank) if measured and len(measured) > 1 else None

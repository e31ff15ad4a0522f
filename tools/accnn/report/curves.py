"""Curves by rank of the layers that a plan splits."""
from math import prod

import numpy as np

from accnn import methods
from accnn.core.threads import one_blas_thread
from accnn.ranks.curve import Curve
from accnn.report.evidence import RankCurve

_MOST_POINTS = 48
_QUICK = 1.2e9  # multiply-adds of decompositions that a report makes unasked: about two seconds


def energy_curves(accelerator, plan, everything=True):
    """Tell how much energy each rank of the split layers keeps.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
    everything : bool
        Make all decompositions that this needs; else those that were made, those that are cheap, and what earlier runs
        learnt, see :meth:`accnn.planning.accelerator.Accelerator.remember`.

    Returns
    -------
    tuple of RankCurve
        In the order of the network; without layers of which nothing is known.
    """
    chosen = [(accelerator.candidate(row.layer, methods.get(row.method)), row.rank) for row in plan.chosen()]
    quick = {candidate.name for candidate, _ in chosen} if everything else _cheap(
        [candidate for candidate, _ in chosen if candidate.method.has_singular_values])
    with one_blas_thread():
        found = [_energies(candidate, rank, candidate.name in quick) for candidate, rank in chosen]
    return tuple(curve for curve in found if curve is not None and len(curve.points) > 1)


def _cheap(candidates):
    """set of str: names of the layers whose decompositions are cheapest, as many as fit."""
    left, names = _QUICK, set()
    for work, name in sorted((_work(candidate.spec.part), candidate.name) for candidate in candidates):
        left -= work
        if left < 0:
            break
        names.add(name)
    return names


def _work(part):
    outputs, inputs, *kernel = part.weight_shape
    size = outputs * inputs * prod(kernel)
    return size * min(outputs * max(kernel, default=1), inputs * max(kernel, default=1))


def _energies(candidate, rank, may_decompose):
    if candidate.method.has_singular_values and (candidate.decomposed or may_decompose):
        values = np.square(candidate.decomposition.singular_values.astype(np.float64))
        kept = np.cumsum(values) / (values.sum() or 1)
        points = tuple((int(place) + 1, float(kept[place])) for place in _spread(len(kept)))
        return RankCurve(candidate.name, candidate.method.name, points, rank, candidate.energy(rank))
    ranks = candidate.ranks()
    known = [(one, candidate.known_energy(one)) for one in (ranks[place] for place in _spread(len(ranks), 400))]
    points = tuple((one, float(value)) for one, value in known if value is not None)
    return RankCurve(candidate.name, candidate.method.name, points, rank, candidate.known_energy(rank))


def _spread(count, most=_MOST_POINTS):
    """list of int: so many places at most, closer together at the beginning."""
    if count <= most:
        return list(range(count))
    return sorted({int(round(place)) for place in np.geomspace(1, count, most) - 1} | {count - 1})


def sensitivity_curves(accelerator, plan, points):
    """Tell how far the outputs diverge at each rank that was measured.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
    points : callable
        ``points(layer, method)``: a list of (rank, divergence), or None where nothing was measured.

    Returns
    -------
    tuple of RankCurve
        Of the layers of the plan; of those that it leaves alone, too, where some method was measured.
    """
    found = []
    for row in plan.rows:
        spec = accelerator.specs.get(row.layer)
        kind = row.op or (spec and spec.kind)
        for name in [row.method] if row.method else methods.names(kind):
            known = points(row.layer, name)
            if known:
                found.append(_sensitivity(accelerator, row, name, sorted(known, key=lambda one: one[1], reverse=True)))
                break
    return tuple(found)


def _sensitivity(accelerator, row, method, known):
    at_chosen = None
    if row.method and len(known) > 1:
        at_chosen = Curve(accelerator.candidate(row.layer, methods.get(method)), known).at(row.rank)
    return RankCurve(row.layer, method, tuple(sorted(known, key=_by_rank)), row.rank if row.method else None, at_chosen)


def _by_rank(point):
    rank = point[0]
    return tuple(rank) if isinstance(rank, (tuple, list)) else (rank,)

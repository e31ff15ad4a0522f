"""Curves by rank of the layers that a plan splits."""
from dataclasses import replace
from math import prod

from accnn import methods
from accnn.core.threads import one_blas_thread
from accnn.planning.evidence import evidence_of
from accnn.report.evidence import RankCurve

_QUICK = 1.2e9  # multiply-adds of decompositions that a report makes unasked: about a second


def plan_evidence(accelerator, plan, everything=True, table=None):
    """Collect the curves of a plan.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
    everything : bool
        Make all decompositions that energies need; else those that were made, those that are cheap, and what earlier
        runs learnt, see :meth:`accnn.planning.accelerator.Accelerator.remember`.
    table : Sensitivity, optional
        See :func:`accnn.planning.evidence.evidence_of`.

    Returns
    -------
    PlanEvidence
    """
    chosen = [accelerator.candidate(row.layer, methods.get(row.method)) for row in plan.chosen()]
    quick = {candidate.name for candidate in chosen} if everything else _cheap(
        [candidate for candidate in chosen if candidate.method.has_singular_values])
    with one_blas_thread():
        return evidence_of(accelerator, plan.rows, lambda candidate: candidate.name in quick, table)


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
    side = max(kernel, default=1)
    return outputs * inputs * prod(kernel) * min(outputs * side, inputs * side)


def energy_curves(plan, found):
    """tuple of RankCurve: energy by rank of the layers that are split, in the order of the network.

    Parameters
    ----------
    plan : Plan
    found : PlanEvidence
    """
    return _curves(plan, found, found.energies, {}, 0)


def sensitivity_curves(plan, found):
    """tuple of RankCurve: divergence by rank; of layers that stay as they are, too, where it is known."""
    return _curves(plan, found, found.divergences, found.measured, 1)


def of_plans(curves):
    """tuple of RankCurve: those of several plans as one for each layer and method.

    Parameters
    ----------
    curves : dict of str to tuple of RankCurve
        By the name of the plan.
    """
    first, plans = {}, {}
    for name, of_one in curves.items():
        for curve in of_one:
            key = curve.layer, curve.method
            first.setdefault(key, curve)
            plans.setdefault(key, []).extend([] if curve.chosen is None else [(name, curve.chosen, curve.at_chosen)])
    return tuple(replace(curve, chosen=None, at_chosen=None, plans=tuple(plans[key])) for key, curve in first.items())


def _curves(plan, found, points, measured, which):
    rows = {row.layer: row for row in plan.rows}
    order = {spec.name: place for place, spec in enumerate(found.layers)}
    made = []
    for layer, method in sorted(points, key=lambda key: order.get(key[0], len(order))):
        row = rows.get(layer)
        is_split = row is not None and row.method == method
        made.append(RankCurve(layer, method, points[layer, method], row.rank if is_split else None,
                              found.chosen.get(layer, (None, None))[which] if is_split else None,
                              measured.get((layer, method))))
    return tuple(made)

"""The least divergence of the network's outputs, measured and predicted on real images, for the cost."""
from dataclasses import replace

from accnn.ranks.base import RankRule, Unreachable, register
from accnn.ranks.fill import fill, weighed


@register
class LeastDivergence(RankRule):
    """Minimise the sum over layers of what each one's chain costs the *network*, with that layer alone split.

    Of layers in INT8 what that adds is a part of it; where the cost knows them in float32, too, that is an option of
    its own, so that the knapsack chooses method, rank and precision of every layer at once.

    Works for every method, and chooses among several for one layer. Exact for the ranks that were looked at, measured
    or predicted: between them the divergence is interpolated. Ranks below all of them are taken only where nothing else
    fits the budget: a fully connected layer that loses next to nothing at a rank of ten may lose all at nine.

    Notes
    -----
    The objective is minus the sum of divergences, in nats: small errors of different layers are independent, so that
    their divergences add up.
    """

    name = "sensitivity"
    cost = "macs"
    needs_images = chooses_methods = chooses_precisions = True
    summary = "the least divergence of the network's outputs on real images, found layer by layer"

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        curves = problem.responses.curves(problem.candidates)
        in_int8 = [candidate for candidate in problem.candidates if candidate.name in problem.int8]
        noise = problem.responses.int8_noise(in_int8) if in_int8 else {}
        unsplit = {name: -noise.get(name, 0.0) for name in problem.layers()}
        options = weighed(problem, _divergences(problem, curves, noise), unsplit)
        for name, more in _in_float32(problem, curves, noise).items():
            options[name] = options[name] + more
        try:
            return fill(options, problem.budget)
        except Unreachable:
            return fill(weighed(problem, _divergences(problem, curves, noise, beyond=True), unsplit), problem.budget)


def _in_float32(problem, curves, noise):
    """dict of str to list of Option: of layers in INT8, where they stay in float32 instead, and add no noise.

    One layer has none, that which loses least in INT8: a network without any would be no INT8 one.
    """
    known = sorted((name for name in problem.cost.float_places if noise.get(name)), key=noise.get)[1:]
    if not known:
        return {}
    problem = replace(problem, cost=problem.cost.with_float32(known))
    options = weighed(problem, _divergences(problem, curves, {}))
    return {name: [replace(one, why_fp32="in INT8 it alone costs the outputs %.3g mnat" % (1e3 * noise[name]))
                   for one in options[name]] for name in known}


def _divergences(problem, curves, noise, beyond=False):
    """dict: for every candidate a list of (rank, minus its divergence); `beyond`: also below what was measured."""
    values = {}
    for candidate in problem.candidates:
        key = candidate.name, candidate.method.name
        curve, added = curves.get(key), noise.get(key)
        values[candidate] = [(rank, -curve.at(rank) - (added.at(rank) if added else 0))
                             for rank in (problem.ranks(candidate) if curve else ())
                             if beyond or curve.covers(rank)]
    return values

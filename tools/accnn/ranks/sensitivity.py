"""The least divergence of the network's outputs, as measured on real images, for the cost."""
from accnn.ranks.base import RankRule, Unreachable, register
from accnn.ranks.fill import fill, weighed


@register
class LeastDivergence(RankRule):
    """Minimise the sum over layers of what each one's chain costs the *network*, measured with that layer alone split.

    Works for every method, and chooses among several for one layer. Exact for what was measured: between the measured
    ranks the divergence is interpolated. Ranks below all that were measured are taken only where nothing else fits
    the budget: a fully connected layer that loses next to nothing at a rank of ten may lose all at nine.

    Notes
    -----
    The objective is minus the sum of divergences, in nats: small errors of different layers are independent, so that
    their divergences add up.
    """

    name = "sensitivity"
    cost = "macs"
    needs_images = chooses_methods = True
    summary = "the least divergence of the network's outputs on real images, measured layer by layer"

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        curves = problem.responses.curves(problem.candidates)
        in_int8 = [candidate for candidate in problem.candidates if candidate.name in problem.int8]
        noise = problem.responses.int8_noise(in_int8) if in_int8 else {}
        unsplit = {name: -noise.get(name, 0.0) for name in problem.layers()}
        try:
            return fill(weighed(problem, _divergences(problem, curves, noise), unsplit), problem.budget)
        except Unreachable:
            return fill(weighed(problem, _divergences(problem, curves, noise, beyond=True), unsplit), problem.budget)


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

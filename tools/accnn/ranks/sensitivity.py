"""The least divergence of the network's outputs, as measured on real images, for the cost."""
from accnn.ranks.base import RankRule, register
from accnn.ranks.fill import Option, fill


@register
class LeastDivergence(RankRule):
    """Minimise the sum over layers of what each one's chain costs the *network*, measured with that layer alone split.

    Works for every method, and chooses among several for one layer. Exact for what was measured: between the measured
    ranks the divergence is interpolated.

    Notes
    -----
    The objective is minus the sum of divergences, in nats: small errors of different layers are independent, so that
    their divergences add up.
    """

    name = "sensitivity"
    cost = "macs"
    needs_images = True
    summary = "the least divergence of the network's outputs on real images, measured layer by layer"

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        curves = problem.responses.curves(problem.candidates)
        return fill({name: self._options(candidates, problem, curves)
                     for name, candidates in problem.layers().items()}, problem.budget)

    def _options(self, candidates, problem, curves):
        whole = problem.cost.layer(candidates[0].spec)
        options = [Option(None, None, whole, 0.0)]
        for candidate in candidates:
            curve = curves.get((candidate.name, candidate.method.name))
            for rank in candidate.ranks(problem.align) if curve else ():
                cost = problem.cost.chain(candidate.spec, candidate.chain(rank))
                if cost < whole:
                    options.append(Option(candidate, rank, cost, -curve.at(rank)))
        return options

"""Method and rank of every layer together, for a budget of the whole network."""
from accnn.ranks.base import RankRule, get, register
from accnn.ranks.energy import log_energies
from accnn.ranks.fill import fill, weighed


@register
class KeepMost(RankRule):
    """Choose for every layer a method and a rank, or none, to keep the most within the budget.

    Without images the most is the largest product of energies, the shares of the squared norm of the kernels that
    chains keep (Zhang et al., eq. 13, on the kernels); with images the least sum of divergences of the network's
    outputs, see :class:`accnn.ranks.sensitivity.LeastDivergence`. The choice is a multiple-choice knapsack, solved
    exactly for whatever numbers the cost gives, see :mod:`accnn.ranks.knapsack`.

    Notes
    -----
    The objective is the sum of natural logarithms of energies, or minus the sum of divergences in nats.
    """

    name = "latency"
    cost = "latency"
    summary = "method and rank together, to keep the most energy, or with images the least divergence"
    chooses_methods = chooses_precisions = True
    methods = ("vh", "channel", "3d", "fc-svd")  # the others take minutes to be weighed
    needs_decompositions = False  # earlier runs may have learnt the energies

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        if problem.responses is not None:
            return get("sensitivity").select(problem)
        offers = [list(problem.ranks(candidate)) for candidate in problem.candidates]
        found = log_energies(problem.candidates, offers, problem.progress)
        return fill(weighed(problem, {candidate: list(zip(ranks, values)) for candidate, ranks, values in
                                      zip(problem.candidates, offers, found)}), problem.budget)

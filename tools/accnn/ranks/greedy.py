"""Eigenvalues of the responses dropped one by one, the cheapest loss first (Zhang et al., 2016, section 3.4)."""
import heapq

import numpy as np

from accnn.ranks.base import RankRule, Selection, Unreachable, register


@register
class Greedy(RankRule):
    """Descend from all filters, always where the smallest share of energy is lost for what it saves (eq. 13 and 14).

    Every layer starts alone, at d' = N. A step drops the last eigenvalue of one layer, the one with the least
    (dE / E) / dC, where dC is C / N, as in the paper; with ``align`` it drops as many as make d' a multiple. The
    descent ends when the network is cheap enough, counted by the true cost: the chain's at d', or the layer's own
    where that is less, and such layers are left alone. Of several methods for one layer the first is taken.

    Notes
    -----
    The objective is the sum over layers of the log of the share of energy that d' keeps. The rule is no exact search;
    the bound is that of keeping everything, 0.
    """

    name = "greedy"
    cost = "macs"
    needs_images = True
    summary = "drop the least energy of real images' responses for what it saves, step by step"

    def refuse(self, method):
        """Methods whose ranks do not bound the responses cannot be weighed."""
        if method.response_rank is None:
            return ("the ranks of %s do not bound the dimension of responses, which the rank rule %s stands on"
                    % (method.name, self.name))
        return None

    def leaves_alone(self, spec, is_first):
        """The first convolution: the paper found that its few channels allow little and cost accuracy."""
        return ("first layer (Zhang et al. leave it alone; name it in `layers` or `fixed` to plan it)"
                if is_first else None)

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        descents = [_Descent(candidates[0], problem) for candidates in problem.layers().values()]
        self._descend(descents, problem.budget)
        objective = float(sum(np.log(descent.share()) for descent in descents))
        return Selection({descent.candidate.name: descent.pick() for descent in descents},
                         _cost(descents), objective, 0.0)

    def _descend(self, descents, budget):
        heap = [(descent.measure(), i) for i, descent in enumerate(descents) if descent.below]
        heapq.heapify(heap)
        least = cost = _cost(descents)
        while cost > budget:
            if not heap:
                raise Unreachable(least)
            _, i = heapq.heappop(heap)
            descents[i].step()
            if descents[i].below:
                heapq.heappush(heap, (descents[i].measure(), i))
            cost = _cost(descents)
            least = min(least, cost)


class _Descent:
    """How far one layer has come.

    Attributes
    ----------
    candidate : Candidate
    width : int
        d', the number of eigenvalues kept.
    below : list of int
        The smaller d' there are, ascending.
    cost : float
        Of the cheaper of chain and layer.
    """

    def __init__(self, candidate, problem):
        spec = self._spec = candidate.spec
        self.candidate, self._pricing, self._layer_cost = candidate, problem.cost, problem.cost.layer(spec)
        # Rounding makes eigenvalues that are zero slightly negative.
        self._energies = np.maximum(problem.responses.energies(spec), 0)
        self._kept = np.cumsum(self._energies)
        self._ranks = {candidate.method.response_rank(spec, rank): rank for rank in problem.ranks(candidate)}
        self.width, self.cost = spec.part.outputs, self._layer_cost
        self.below = sorted(width for width in self._ranks if width < self.width)

    def measure(self):
        """float: (dE / E) / dC of the next step; 0 where there is no energy to lose."""
        after = self.below[-1]
        lost, kept = self._energies[after:self.width].sum(), self._kept[self.width - 1]
        saved = (self.width - after) / self._spec.part.outputs * self._layer_cost
        return float(lost / kept / saved) if lost > 0 else 0.0

    def step(self):
        """Go down to the next smaller d'."""
        self.width = self.below.pop()
        chain = self.candidate.chain(self._ranks[self.width])
        self.cost = min(self._pricing.chain(self._spec, chain), self._layer_cost)

    def pick(self):
        """(Candidate, rank), or None where the chain is no cheaper than the layer."""
        return (self.candidate, self._ranks[self.width]) if self.cost < self._layer_cost else None

    def share(self):
        """float: the share of energy that is kept, 1 for a layer left alone or without any."""
        return self._kept[self.width - 1] / self._kept[-1] if self.pick() and self._kept[-1] > 0 else 1.0


def _cost(descents):
    return sum(descent.cost for descent in descents)

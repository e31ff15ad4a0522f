"""The ranks that the kernels themselves suggest, made smaller alike where the budget asks for it."""
from accnn.ranks.base import RankRule, Selection, Unreachable, register

_HALVINGS = 40  # of the factor's interval


@register
class EstimatedRanks(RankRule):
    """Take the ranks at which variational Bayes tells signal from noise (Kim et al. 2016, section 3.2).

    Where these fit the budget they are the answer, however much cheaper than asked for. Otherwise all of them are
    multiplied by one common factor, the largest that fits; MUSCO calls such factors weakening. No rank falls below 1,
    or below ``align``; a layer that its rank does not make cheaper is left alone. Of several methods for one layer
    the first is taken.

    Notes
    -----
    The objective is that factor, 1 at most. Estimates know nothing of the network: kernels of large trained networks
    are suggested ranks that cost accuracy, so fine-tune what comes of them.

    References
    ----------
    Kim, Park, Yoo, Choi, Yang, Shin, "Compression of deep convolutional neural networks for fast and low power mobile
    applications", ICLR 2016. Gusak et al., "MUSCO: multi-stage compression of neural networks", 2019.
    """

    name = "vbmf"
    cost = "macs"
    any_rank = True
    summary = "ranks estimated by variational Bayes, all made smaller by one factor until the budget is met"

    def refuse(self, method):
        """Methods that estimate no rank cannot be asked."""
        if not method.estimates_ranks:
            return ("%s estimates no ranks, which the rank rule %s stands on: choose another `rank_selection`"
                    % (method.name, self.name))
        return None

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        layers = {name: _Layer(candidates[0], problem) for name, candidates in problem.layers().items()}
        factor = _largest(list(layers.values()), problem.budget)
        return Selection({name: layer.pick(factor) for name, layer in layers.items()},
                         _cost(layers.values(), factor), factor, factor)


class _Layer:
    """One layer and its estimate."""

    def __init__(self, candidate, problem):
        self._candidate, self._problem = candidate, problem
        self._alone = problem.cost.layer(candidate.spec)
        estimate = candidate.decomposition.estimated_rank()
        self._several = isinstance(estimate, tuple)
        self._estimate = estimate if self._several else (estimate,)
        full = candidate.method.full_rank(candidate.spec)
        self._full = full if self._several else (full,)

    def rank(self, factor):
        """The estimate times `factor`, rounded to multiples of ``align``; None where none is small enough."""
        align = self._problem.align
        numbers = tuple(min(max(round(k * factor / align), 1), top // align) * align
                        for k, top in zip(self._estimate, self._full))
        if not all(numbers):
            return None
        return numbers if self._several else numbers[0]

    def cost(self, factor):
        """float: of the chain, or of the layer where that is less."""
        rank = self.rank(factor)
        if rank is None:
            return self._alone
        return min(self._problem.cost.chain(self._candidate.spec, self._candidate.chain(rank)), self._alone)

    def pick(self, factor):
        """(Candidate, rank), or None where the chain is no cheaper than the layer."""
        return (self._candidate, self.rank(factor)) if self.cost(factor) < self._alone else None


def _largest(layers, budget):
    """float: the largest factor, 1 at most, at which all layers together fit; bisected."""
    if _cost(layers, 1.0) <= budget:
        return 1.0
    low, high = 0.0, 1.0
    least = _cost(layers, low)
    if least > budget:
        raise Unreachable(least)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _cost(layers, middle) <= budget else (low, middle)
    return low


def _cost(layers, factor):
    return sum(layer.cost(factor) for layer in layers)

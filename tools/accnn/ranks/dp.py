"""Dynamic programming over the ranks of all layers, as the original did, solved exactly."""
import numpy as np

from accnn.ranks import knapsack
from accnn.ranks.base import RankRule, Selection, Unreachable, register


class _SpectrumRule(RankRule):
    """Maximise the sum over layers of the log of what their ranks keep of the singular values.

    As in the original a rank is at most the number of filters. Where such a rank would cost as much as the layer, or
    more, its place is taken by leaving the layer alone, which costs no more than the layer.
    """

    def kept(self, singular_values):
        """ndarray: for K = 1, 2, ... what K singular values keep, on the scale the logarithm is taken of."""
        raise NotImplementedError

    def left_alone(self, candidate):
        """int: the rank whose value leaving the layer alone has; 0 stands for all singular values."""
        return 0

    def select(self, candidates, budget, cost):
        """See :meth:`RankRule.select`; the objective is natural log, as in the original."""
        seen = {}
        options = [self._options(candidate, cost, seen) for candidate in candidates]
        costs, values = [o[1] for o in options], [o[2] for o in options]
        choice = knapsack.solve(costs, values, budget)
        if choice is None:
            raise Unreachable(sum(float(c.min()) for c in costs))
        ranks = {candidate.name: option[0][pick] for candidate, option, pick in zip(candidates, options, choice.picks)}
        return Selection(ranks, choice.value, choice.bound)

    def _options(self, candidate, cost, seen):
        """(ranks, costs, values) of a layer; `seen` keeps ranks and costs for layers of one shape."""
        key = candidate.method.name, candidate.spec.part, candidate.spec.in_shape, candidate.spec.repeats
        if key not in seen:
            seen[key] = _cheaper_ranks(candidate, cost)
        ranks, costs = seen[key]
        kept = np.log(self.kept(candidate.singular_values))
        alone = kept[self.left_alone(candidate) - 1]
        return ranks, costs, np.array([alone if rank is None else kept[rank - 1] for rank in ranks])


@register
class OriginalDP(_SpectrumRule):
    """The original's objective: the sum of logs of *cumulated singular values*, under its own complexity formula.

    Notes
    -----
    ``rank_selection.get_ranksel`` keeps the original's options to the letter; this rule's objective is never lower,
    because it differs only in leaving a layer alone, at the layer's cost, where the original would make it slower.
    """

    name = "dp"
    cost = "original"
    summary = "the original's: log of cumulated singular values, by its complexity formula"

    def left_alone(self, candidate):
        """The original's largest rank: to the original there is nothing above it."""
        return min(len(candidate.singular_values), candidate.spec.part.weight_shape[0])

    def kept(self, singular_values):
        """Cumulated singular values, not normalised."""
        return _positive(np.cumsum(singular_values))


@register
class EnergyDP(_SpectrumRule):
    """Maximise the product of *energies*, shares of squared singular values (Zhang et al., eq. 13, on the kernels)."""

    name = "dp-energy"
    cost = "macs"
    summary = "product of squared-singular-value energies, by MACs"

    def kept(self, singular_values):
        """Cumulated squares as a share of them all."""
        squares = _positive(np.cumsum(np.square(singular_values)))
        return squares / squares[-1]


def original_ranks(candidates, budget, cost):
    """Ranks as the original's recurrence chose them: every layer is split, even where that costs more.

    Parameters
    ----------
    candidates, budget, cost
        See :meth:`RankRule.select`.

    Returns
    -------
    Selection
    """
    rule, ranks, costs, values = OriginalDP(), [], [], []
    for candidate in candidates:
        kept = rule.kept(candidate.singular_values)
        ranks.append(_original_ranks(candidate))
        costs.append(np.array([cost.chain(candidate.spec, candidate.chain(rank)) for rank in ranks[-1]], float))
        values.append(np.log(kept[:len(ranks[-1])]))
    choice = knapsack.solve(costs, values, budget)
    if choice is None:
        raise Unreachable(sum(float(c.min()) for c in costs))
    chosen = {candidate.name: options[pick] for candidate, options, pick in zip(candidates, ranks, choice.picks)}
    return Selection(chosen, choice.value, choice.bound)


def _original_ranks(candidate):
    """The ranks the original looked at: as many as there are singular values, and no more than filters."""
    return [rank for rank in candidate.ranks() if rank <= candidate.spec.part.weight_shape[0]]


def _cheaper_ranks(candidate, cost):
    """Ranks up to the number of filters with their costs; None, leaving the layer alone, for those not cheaper."""
    whole = cost.layer(candidate.spec)
    ranks, costs = [], []
    for rank in _original_ranks(candidate):
        price = cost.chain(candidate.spec, candidate.chain(rank))
        if price >= whole:
            break
        ranks.append(rank)
        costs.append(price)
    if len(ranks) < len(_original_ranks(candidate)) or not ranks:
        ranks, costs = ranks + [None], costs + [whole]
    return ranks, np.array(costs, float)


def _positive(values):
    """Keep logarithms finite: a kernel of zeros loses nothing at any rank."""
    return values if values[-1] > 0 else np.ones_like(values)

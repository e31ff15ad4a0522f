"""The original's rank selection: dynamic programming over the ranks of all layers, solved exactly."""
from abc import abstractmethod

import numpy as np

from accnn.ranks.base import RankRule, register
from accnn.ranks.fill import Option, fill


class SpectrumRule(RankRule):
    """Maximise the sum over layers of the log of what their ranks keep of the singular values.

    The options of a layer are the ranks that make it cheaper, and leaving it alone.
    """

    def refuse(self, method):
        """Methods without singular values cannot be weighed."""
        if not method.has_singular_values:
            return ("%s has no singular values, which the rank rule %s stands on: choose another `rank_selection`"
                    % (method.name, self.name))
        return None

    @abstractmethod
    def kept(self, singular_values):
        """ndarray: for K = 1, 2, ... what K singular values keep, on the scale the logarithm is taken of."""

    def ranks(self, candidate, problem):
        """list of int: the ranks to look at."""
        return problem.ranks(candidate)

    def alone(self, values, ranks, cheaper):
        """Value of leaving a layer alone, or None where that is no option.

        Parameters
        ----------
        values : ndarray
            Of K = 1, 2, ...
        ranks : list of int
            The ranks that were looked at.
        cheaper : list of Option
            Those of them that cost less than the layer.
        """
        return values[-1]

    def select(self, problem):
        """See :meth:`RankRule.select`; the objective is natural log, as in the original."""
        seen = {}
        options = {name: self._options(candidates, problem, seen) for name, candidates in problem.layers().items()}
        return fill(options, problem.budget)

    def _options(self, candidates, problem, seen):
        """list of Option; `seen` keeps the costs of layers that are alike."""
        options = []
        for candidate in candidates:
            spec, whole = candidate.spec, problem.cost.layer(candidate.spec)
            key = candidate.method.name, spec.part, spec.in_shape, spec.repeats, whole
            if key not in seen:
                seen[key] = [(rank, problem.cost.chain(spec, candidate.chain(rank)))
                             for rank in self.ranks(candidate, problem)]
            values = np.log(self.kept(candidate.decomposition.singular_values))
            cheaper = [Option(candidate, rank, cost, values[rank - 1]) for rank, cost in seen[key] if cost < whole]
            options += cheaper
            alone = self.alone(values, [rank for rank, _ in seen[key]], cheaper)
        if alone is not None:
            options.append(Option(None, None, whole, alone))
        return options


@register
class EnergyDP(SpectrumRule):
    """Maximise the product of *energies*, shares of squared singular values (Zhang et al., eq. 13, on the kernels)."""

    name = "dp-energy"
    cost = "macs"
    summary = "keep the largest product of energies, shares of squared singular values"

    def kept(self, singular_values):
        """Cumulated squares as a share of them all."""
        squares = _positive(np.cumsum(np.square(singular_values / (singular_values[0] or 1))))
        return squares / squares[-1]


@register
class OriginalDP(SpectrumRule):
    """The original's objective: the sum of logs of *cumulated singular values*, under its own complexity formula.

    As in the original a rank is at most the number of filters, and a layer that all these ranks make cheaper is split.
    Where one would cost as much as the layer, or more, leaving it alone takes its place, at no less value and cost.

    Notes
    -----
    ``rank_selection.get_ranksel`` keeps the original's options to the letter; this rule's objective is never lower,
    because it differs only in leaving a layer alone, at the layer's cost, where the original would make it slower.
    """

    name = "dp"
    cost = "original"
    any_rank = True
    summary = "the original's choice: keep the largest product of cumulated singular values"

    def kept(self, singular_values):
        """Cumulated singular values, not normalised."""
        return _positive(np.cumsum(singular_values))

    def ranks(self, candidate, problem):
        """Ranks up to the number of filters."""
        return [rank for rank in problem.ranks(candidate) if rank <= candidate.spec.part.outputs]

    def alone(self, values, ranks, cheaper):
        """The value of the original's largest rank: to the original there is nothing above it."""
        if ranks and len(cheaper) == len(ranks):
            return None
        return values[ranks[-1] - 1] if ranks else values[-1]

    def select_to_the_letter(self, problem):
        """Choose as the original's recurrence did: every layer is split, even where that costs more."""
        options = {}
        for candidate in problem.candidates:
            values = np.log(self.kept(candidate.decomposition.singular_values))
            options[candidate.name] = [
                Option(candidate, rank, problem.cost.chain(candidate.spec, candidate.chain(rank)), values[rank - 1])
                for rank in self.ranks(candidate, problem)]
        return fill(options, problem.budget)


def _positive(values):
    """Keep logarithms finite: a kernel of zeros loses nothing at any rank."""
    return values if values[-1] > 0 else np.ones_like(values)

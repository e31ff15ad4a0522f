"""The original's rank selection: dynamic programming over the ranks of all layers, solved exactly."""
import numpy as np

from accnn.ranks.base import RankRule, register
from accnn.ranks.fill import Option, fill


class SpectrumRule(RankRule):
    """Maximise the sum over layers of the log of what their ranks keep of the singular values.

    The options are the original's: every rank up to the number of filters. Where one would cost as much as the layer,
    or more, its place is taken by leaving the layer alone; a layer that each of these ranks makes cheaper is split.
    """

    def refuse(self, method):
        """Methods without singular values cannot be weighed."""
        if not method.has_singular_values:
            return "%s has no singular values, which the rank rule %s stands on" % (method.name, self.name)
        return None

    def kept(self, singular_values):
        """ndarray: for K = 1, 2, ... what K singular values keep, on the scale the logarithm is taken of."""
        raise NotImplementedError

    def select(self, problem):
        """See :meth:`RankRule.select`; the objective is natural log, as in the original."""
        seen = {}
        options = {name: self._options(candidates, problem, seen) for name, candidates in problem.layers().items()}
        return fill(options, problem.budget)

    def _options(self, candidates, problem, seen):
        """list of Option; `seen` keeps the costs of layers that are alike."""
        options, alone = [], []
        for candidate in candidates:
            spec = candidate.spec
            key = candidate.method.name, spec.part, spec.in_shape, spec.repeats
            if key not in seen:
                seen[key] = [(rank, problem.cost.chain(spec, candidate.chain(rank)))
                             for rank in original_ranks(candidate, problem.align)]
            values, whole = np.log(self.kept(candidate.decomposition.singular_values)), problem.cost.layer(spec)
            cheaper = [Option(candidate, rank, cost, values[rank - 1]) for rank, cost in seen[key] if cost < whole]
            options += cheaper
            if not cheaper or len(cheaper) < len(seen[key]):
                alone = [Option(None, None, whole, values[self.left_alone(candidate) - 1])]
        return options + alone

    def left_alone(self, candidate):
        """int: the rank whose value leaving the layer alone has; 0 stands for all singular values."""
        return 0


@register
class OriginalDP(SpectrumRule):
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
        return len(original_ranks(candidate))

    def kept(self, singular_values):
        """Cumulated singular values, not normalised."""
        return _positive(np.cumsum(singular_values))

    def select_to_the_letter(self, problem):
        """Choose as the original's recurrence did: every layer is split, even where that costs more."""
        options = {}
        for candidate in problem.candidates:
            values = np.log(self.kept(candidate.decomposition.singular_values))
            options[candidate.name] = [
                Option(candidate, rank, problem.cost.chain(candidate.spec, candidate.chain(rank)), values[rank - 1])
                for rank in original_ranks(candidate)]
        return fill(options, problem.budget)


@register
class EnergyDP(SpectrumRule):
    """Maximise the product of *energies*, shares of squared singular values (Zhang et al., eq. 13, on the kernels)."""

    name = "dp-energy"
    cost = "macs"
    summary = "product of squared-singular-value energies, by MACs"

    def kept(self, singular_values):
        """Cumulated squares as a share of them all."""
        squares = _positive(np.cumsum(np.square(singular_values)))
        return squares / squares[-1]


def original_ranks(candidate, align=1):
    """list of int: the ranks the original looked at, as many as there are singular values and no more than filters."""
    return [rank for rank in candidate.ranks(align) if rank <= candidate.spec.part.outputs]


def _positive(values):
    """Keep logarithms finite: a kernel of zeros loses nothing at any rank."""
    return values if values[-1] > 0 else np.ones_like(values)

"""From a ratio to a budget of cost for the layers that may be split."""
import math
from dataclasses import dataclass

from accnn import ranks
from accnn.core.errors import TargetError
from accnn.core.layers import CONVOLUTION
from accnn.core.text import percent, times


@dataclass(frozen=True)
class Total:
    """What the ratio is taken of: all cost that counts before, and what no candidate can change of it after."""

    before: float
    fixed: float

    def after(self, cost):
        """Cost of the network when the candidates cost `cost`."""
        return self.fixed + cost


class BudgetAllocator:
    """The budget that a ratio leaves for the candidates, and how a rank rule shares it among them.

    Layers that count but are no candidates keep their cost, or have that of the chain they are pinned to, so the
    candidates must make up for them.

    Parameters
    ----------
    accelerator : Accelerator
    candidates : list of Candidate
    request : Request
    cost : Cost
        An analytic one, or the LatencyModel of this network.
    select : callable
        ``select(problem)`` returns a Selection: :meth:`accnn.ranks.RankRule.select` or the like.
    pinned : dict of str to (Candidate, rank), optional

    Attributes
    ----------
    request : Request
    pinned : dict
    total : Total
    """

    def __init__(self, accelerator, candidates, request, cost, select, pinned=None):
        self.request, self.pinned = request, pinned or {}
        self._accelerator, self._candidates, self._cost = accelerator, candidates, cost
        self._select = select if candidates else _select_nothing
        self.total = _total(accelerator, candidates, request, cost, self.pinned)

    def speed_up(self, cost):
        """float: the ratio when the candidates cost `cost`; infinite where nothing is left."""
        after = self.total.after(cost)
        return self.total.before / after if after > 0 else math.inf

    def solve(self, ratio=None):
        """Return the Selection for a ratio, by default the one that was asked for.

        Raises
        ------
        accnn.ranks.Unreachable
            The `ratio` cannot be reached.
        TargetError
            The ratio that was asked for cannot be reached; says which can.
        """
        if ratio is not None:
            return self._select(self._problem(ratio))
        try:
            return self._select(self._problem(self.request.ratio))
        except ranks.Unreachable as error:
            raise TargetError(self._best_instead(error)) from None

    def _problem(self, ratio):
        total, request, accelerator = self.total, self.request, self._accelerator
        return ranks.Problem(
            self._candidates, total.before / ratio - total.fixed, self._cost, request.align, accelerator.responses,
            total.before, total.fixed, request.margin, request.initial_ranks, accelerator.progress)

    def _best_instead(self, error):
        request, total = self.request, self.total
        best = math.floor(100 * self.speed_up(error.least)) / 100  # down, so that asking for it succeeds
        over = "all convolutions" + (" and fully connected layers" if request.fc else "")
        stay = "" if not total.fixed else " (%s of the cost is in what stays%s)" % (
            percent(total.fixed / total.before, 0), " and what `fixed` says" if self.pinned else "")
        return ("%gx (%s, over %s) cannot be reached: the best is %s, with the least rank everywhere%s; ask for "
                "less%s" % (request.ratio, self._cost.name, over, times(best), stay,
                   " or a smaller `align`" if request.align > 1 else ""))


def _select_nothing(problem):
    """What a rule is not asked for: there are no candidates, because every layer to be planned is pinned."""
    if problem.budget < 0:
        raise ranks.Unreachable(0)
    return ranks.Selection({}, 0, 0.0, 0.0)


def _total(accelerator, candidates, request, cost, pinned):
    names = {candidate.name for candidate in candidates}
    counted = [spec for spec in accelerator.layers
               if spec.part is not None and (request.fc or spec.kind == CONVOLUTION)]
    after = {name: cost.chain(candidate.spec, candidate.chain(rank)) for name, (candidate, rank) in pinned.items()}
    rest = cost.rest
    return Total(rest + sum(cost.layer(spec) for spec in counted),
                 rest + sum(after[spec.name] if spec.name in after else cost.layer(spec)
                            for spec in counted if spec.name not in names))

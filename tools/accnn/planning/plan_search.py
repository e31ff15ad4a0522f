"""The search for a plan of one ratio, as a generator of what is to be timed."""
from accnn.planning.attempts import Attempt, Network
from accnn.ranks.base import Unreachable

_ATTEMPTS = 6  # plans that are timed for a ratio
_STEPS = 40  # budgets, most of which lead to plans that were timed already
_MOST = 1e9  # speed-up


class PlanSearch:
    """Plans of one network for one ratio, `_ATTEMPTS` of them at most beside those that were timed for others.

    Its generators yield Attempts that are to be timed; when they go on, `attempts` has them.

    Parameters
    ----------
    allocator : BudgetAllocator
    model : LatencyModel
    profiler : LatencyProfiler
    attempts : Attempts
        Which searches for other ratios share.
    """

    def __init__(self, allocator, model, profiler, attempts):
        self._allocator, self._model, self._profiler = allocator, model, profiler
        self._attempts, self._timed = attempts, 0

    def aim_at(self, asked):
        """Time plans until one has the speed-up `asked`, or there is no plan left between a slower and a faster."""
        aim, tried = self._attempts.aim(asked), []
        for _ in range(_STEPS):
            if aim is None or self._attempts.has_near(asked):
                break
            attempt, is_new = yield from self._try(max(aim, 1.0))
            if attempt is None or _is_last(attempt, asked, aim):
                break
            tried.append((aim, attempt))
            aim = self._attempts.aim(asked) if is_new else self._attempts.further(asked, tried)

    def refine_fastest(self):
        """Where even the cheapest chains are too slow, bisect the budgets beside the fastest plan.

        The more layers are split the more kernels there are to be started, which the sum of chains hardly tells: a plan
        of dearer chains may be faster. The plan that changes nothing counts.
        """
        if self._attempts.is_complete:
            yield from self._try(1 - 1e-9)
            while self._attempts.beside_fastest() and (yield from self._try(self._attempts.beside_fastest()))[1]:
                pass

    def _try(self, aim):
        """Return the Attempt for a budget, and whether it is new; (None, False) where there were enough."""
        attempt = attempt_for(self._allocator, self._model, aim)
        is_new = attempt not in self._attempts
        if is_new and (attempt.network.keys or self._profiler.converts):  # what changes nothing has a known ratio
            if self._timed == _ATTEMPTS:
                return None, False
            self._timed += 1
            yield attempt
        return self._attempts.add(attempt), is_new


def _is_last(attempt, asked, aim):
    """bool: whether no plan is faster than one that is too slow, or none slower than one that is too fast."""
    return attempt.cheapest if attempt.ratio < asked else attempt.ratio > asked and (aim <= 1 or attempt.is_unsplit)


def attempt_for(allocator, model, aim):
    """Attempt: the plan for a budget, a speed-up, or the cheapest there is; not timed.

    Parameters
    ----------
    allocator : BudgetAllocator
    model : LatencyModel
    aim : float
    """
    selection, cheapest = _solve(allocator, aim)
    picks = dict(selection.picks, **allocator.pinned)
    model = model.with_float32(selection.in_fp32)
    return Attempt(selection, Network(model.plan_keys(picks), tuple(selection.in_fp32)),
                   allocator.speed_up(selection.cost), allocator.total.before / model.predicted_ms(picks),
                   cheapest=cheapest)


def _solve(allocator, ratio):
    """Return the Selection for a ratio, or the cheapest there is, and whether it is that."""
    try:
        return allocator.solve(ratio), False
    except Unreachable as error:
        return allocator.solve(min(allocator.speed_up(error.least), _MOST) * (1 - 1e-9)), True

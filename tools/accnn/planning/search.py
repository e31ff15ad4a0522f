"""The search for a plan of a measured speed-up: choose ranks, time the planned networks, correct the budget, repeat."""
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Dict, NamedTuple, Optional, Tuple

from accnn.core.errors import TargetError
from accnn.core.progress import say
from accnn.core.text import percent, times
from accnn.latency.profiler import refuse_noise
from accnn.latency.report import latency_report
from accnn.ranks.base import Selection, Unreachable

TOLERANCE = 0.03  # of the speed-up that was asked for
_AIM = 1.01  # times the speed-up: what is measured next time may be a little less
_NEAR = 0.99  # of the speed-up that was asked for: another plan would take longer than it could be worth
_ATTEMPTS = 6  # plans that are timed
_STEP = 1.015  # by which another speed-up is tried where the last one gave a plan that was timed already
_STEPS = 40  # budgets, most of which lead to plans that were timed already
_MOST = 1e9  # speed-up
_GAP = 1.06  # between predicted speed-ups, from which it is worth looking for a faster plan between them
_NOISY = 0.03  # uncertainty of a ratio from which a machine cannot tell whether a plan is right


class _Network(NamedTuple):
    """A planned network that is to be timed."""

    keys: Dict[str, str]
    in_fp32: Tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """A plan that was timed; or the one that changes nothing, of which the ratio is known.

    Attributes
    ----------
    selection : Selection
    budgeted : float
        Speed-up by what its chains count, of which the budget is one.
    predicted : float
        Speed-up by what its chains take, most likely.
    baseline, timed : dict or None
        Of the whole network, untouched and planned: see :func:`accnn.timing.client.time_networks`.
    cheapest : bool
        Whether no plan has a smaller sum of chains.
    """

    selection: Selection
    budgeted: float
    predicted: float
    baseline: Optional[dict] = None
    timed: Optional[dict] = None
    cheapest: bool = False

    @property
    def ratio(self):
        """float: the median of the measured speed-ups."""
        return 1.0 if self.timed is None else self.timed["measured"]["median"]

    @property
    def is_unsplit(self):
        """bool: whether it changes no layer, in its precision, so that nothing that is as fast loses less."""
        return not any(self.selection.picks.values()) and not self.selection.in_fp32


def search_together(allocators, model, profiler):
    """Choose plans whose measured speed-ups are those asked for, within 3%, or as near above as there is.

    The networks of all are timed together, in turns with one original. On a latency table of another machine nothing
    is timed, and the predicted speed-up counts.

    Parameters
    ----------
    allocators : list of BudgetAllocator
        One for each ratio, with `model` as the cost.
    model : LatencyModel
    profiler : LatencyProfiler

    Returns
    -------
    list of ((Selection, dict) or TargetError)
        And what a plan says of how it was found: ``latency``, see :func:`accnn.latency.report.latency_report`, and the
        ratio ``reached``. An error where no plan is as fast; it says how fast the fastest is.

    Raises
    ------
    AccnnError
        The machine is too noisy to tell.
    """
    found, waiting, known = [None] * len(allocators), {}, {}

    def resume(place, one, answer=None):
        try:
            waiting[place] = one, one.send(answer)
        except StopIteration as end:
            found[place] = end.value
        except TargetError as error:
            found[place] = error

    for place, allocator in enumerate(allocators):
        resume(place, _steps(allocator, model, profiler))
    while waiting:
        asked, waiting = waiting, {}
        answers = _answers(profiler, [what for _, what in asked.values()], known)
        for (place, (one, _)), answer in zip(asked.items(), answers):
            resume(place, one, answer)
    return found


def _answers(profiler, questions, known):
    """List of (dict, dict) or None: original and planned network timed, for each _Network; None for chains.

    `known` are the networks that were timed before: several ratios may lead to the same, above all out of reach.
    """
    profiler.time_chains([key for what in questions if isinstance(what, list) for key in what],
                         "timing what was chosen")
    new = {_mark(what): what for what in questions if isinstance(what, _Network) and _mark(what) not in known}
    if new:
        answer = profiler.time_networks(*zip(*new.values()))
        known.update((mark, (answer["baseline"], timed)) for mark, timed in zip(new, answer["plans"]))
    return [known[_mark(what)] if isinstance(what, _Network) else None for what in questions]


def _mark(network):
    keys, in_fp32 = network
    return tuple(sorted(keys.items())), tuple(sorted(in_fp32))


def _steps(allocator, model, profiler):
    """Search for one ratio, as a generator of what is to be timed: a _Network, or chains as a list of keys."""
    find = _best_timed if profiler.can_measure else _best_predicted
    best, missed = yield from find(allocator, model, profiler)
    model = model.with_float32(best.selection.in_fp32)
    picks, config = dict(best.selection.picks, **allocator.pinned), profiler.config
    model = yield from _with_picks_timed(model, profiler, picks)
    if config.exported is not None:
        profiler.table.export(config.exported, model.keys + [profiler.network_key, profiler.unsplit_key])
    if missed and not config.best_effort:
        raise TargetError(missed + _advice(allocator.request))
    found = latency_report(model, profiler.table, picks, best.timed, best.baseline, missed, profiler.baseline)
    return best.selection, {"latency": found, "reached": found["predicted"] if best.timed is None else best.ratio}


def _best_predicted(allocator, model, _profiler):
    """Return the Attempt for the ratio, which nobody times, and why it misses that, or None."""
    yield from ()  # as a generator that has nothing timed
    best = _attempt(allocator, model, *_solve(allocator, allocator.request.ratio))
    return best, _unreached(allocator, best.predicted, "predicted", best) if best.cheapest else None


def _best_timed(allocator, model, profiler):
    """Return the Attempt nearest to the ratio of those that were timed, and why it misses that, or None."""
    asked, plans = allocator.request.ratio, _PlanSearch(allocator, model, profiler)
    yield from plans.aim_at(asked)
    if plans.best(asked) is None:
        yield from plans.refine_fastest()
    best = plans.best(asked)
    if best is not None:
        return best, None
    best = plans.fastest()
    return best, _unreached(allocator, best.ratio, "measured", best) if plans.is_complete else _not_found(
        asked, plans.attempts)


def _with_picks_timed(model, profiler, picks):
    """LatencyModel: in which the chains of a plan are timed, of which some were interpolated."""
    keys = list(model.plan_keys(picks).values())
    yield keys
    times = {key: profiler.table.ms(key) for key in keys}
    return model.with_alone({key: ms for key, ms in times.items() if ms})


class _PlanSearch:
    """Plans of one network that are timed, `_ATTEMPTS` of them at most.

    Attributes
    ----------
    attempts : list of Attempt
    """

    def __init__(self, allocator, model, profiler):
        self._allocator, self._model, self._profiler = allocator, model, profiler
        self.attempts, self._known, self._halved = [], {}, set()

    def aim_at(self, asked):
        """Time plans until one has the speed-up `asked`, or there is no plan left between a slower and a faster."""
        aim = asked * _AIM if asked > 1 else asked
        for _ in range(_STEPS):
            slowest = aim <= 1  # nothing that was timed may be slower
            attempt, is_new = yield from self._try(max(aim, 1.0))
            if attempt is None:
                break
            if is_new:
                aim = attempt.budgeted * asked * _AIM / attempt.ratio
            else:  # the options are coarse: go on in the same direction
                aim = aim * _STEP if attempt.ratio < asked else aim / _STEP
            found = any(asked * _NEAR <= one.ratio <= asked * (1 + TOLERANCE) and (asked <= 1 or one.timed)
                        for one in self.attempts)
            if found or attempt.ratio < asked and attempt.cheapest or (
                    attempt.ratio > asked and (slowest or attempt.is_unsplit)):
                break
            if self._bracketed(asked, aim):  # larger budgets need not be slower: look between
                aim = self._halfway(asked)
                if aim is None:
                    break

    def best(self, asked):
        """The slowest Attempt that is fast enough, within the tolerance, or splits nothing; None where none is."""
        enough = [one for one in self.attempts if one.ratio >= asked]
        if enough and min(one.ratio for one in enough) <= asked * (1 + TOLERANCE):
            return min(enough, key=lambda one: one.ratio)
        unsplit = [one for one in enough if one.is_unsplit]
        if unsplit:  # a precision may give more than was asked for
            return unsplit[0]
        near = [one for one in self.attempts if one.ratio >= asked * (1 - TOLERANCE) and (asked <= 1 or one.ratio > 1)]
        return min(near, key=lambda one: abs(log(one.ratio / asked)), default=None)

    @property
    def is_complete(self):
        """bool: whether the plan of the cheapest chains is among the attempts."""
        return any(one.cheapest for one in self.attempts)

    def fastest(self):
        """Attempt: that with the largest measured ratio."""
        return max(self.attempts, key=lambda one: one.ratio)

    def refine_fastest(self):
        """Where even the cheapest chains are too slow, bisect the budgets beside the fastest plan.

        The more layers are split the more kernels there are to be started, which the sum of chains hardly tells: a plan
        of dearer chains may be faster. The plan that changes nothing counts.
        """
        if self.is_complete:
            yield from self._try(1 - 1e-9)
            while self._between() and (yield from self._try(self._between()))[1]:
                pass

    def _between(self):
        """As a speed-up, the budget in the middle of the wider gap beside the fastest plan; None if both are small."""
        ascending = sorted(self.attempts, key=lambda one: one.budgeted)
        best = self.fastest()
        beside = [(one.budgeted, other.budgeted) for one, other in zip(ascending, ascending[1:])
                  if best is one or best is other]
        low, high = max(beside, key=lambda gap: gap[1] / gap[0], default=(1, 1))
        return sqrt(low * high) if high > low * _GAP else None

    def _try(self, aim):
        """Return the Attempt for a budget, and whether it is new; (None, False) where there were enough."""
        selection, cheapest = _solve(self._allocator, aim)
        model = self._model.with_float32(selection.in_fp32)
        keys = model.plan_keys(dict(selection.picks, **self._allocator.pinned))
        network = _Network(keys, tuple(selection.in_fp32))
        mark = _mark(network)
        if mark in self._known:
            self._again(mark, cheapest)
            return self._known[mark], False
        is_timed = bool(keys) or self._profiler.converts  # what changes nothing has a known ratio
        if is_timed and sum(one.timed is not None for one in self.attempts) == _ATTEMPTS:
            return None, False
        attempt = _attempt(self._allocator, self._model, selection, cheapest)
        self._known[mark] = (yield from self._timed(attempt, network)) if is_timed else attempt
        self.attempts.append(self._known[mark])
        return self._known[mark], True

    def _again(self, mark, cheapest):
        """A known Attempt that another budget led to before may turn out to be the cheapest."""
        known = self._known[mark]
        if cheapest and not known.cheapest:
            place = next(place for place, one in enumerate(self.attempts) if one is known)
            self._known[mark] = self.attempts[place] = replace(known, cheapest=True)

    def _timed(self, attempt, network):
        """Attempt: with what the whole network takes as it is, and with these chains."""
        baseline, timed = yield network
        refuse_noise(timed["measured"], "the planned network", _NOISY, self._profiler.config.best_effort)
        attempt = replace(attempt, baseline=baseline, timed=timed)
        say("planned %s, measured %s" % (times(attempt.predicted), times(attempt.ratio)))
        return attempt

    def _bracketed(self, asked, aim):
        """True where `aim` lies beyond a plan that was timed on the other side of what is asked for."""
        slower = [one.budgeted for one in self.attempts if one.ratio < asked]
        faster = [one.budgeted for one in self.attempts if one.ratio >= asked]
        return bool(slower and faster) and (
            aim <= min(min(slower), min(faster)) or aim >= max(max(slower), max(faster)))

    def _halfway(self, asked):
        """As a speed-up, the budget in the middle of the widest gap from a slower to a faster plan; each gap once."""
        ascending = sorted(self.attempts, key=lambda one: one.budgeted)
        gaps = [(one.budgeted, other.budgeted) for one, other in zip(ascending, ascending[1:])
                if one.ratio < asked <= other.ratio]
        low, high = max(set(gaps) - self._halved, key=lambda gap: gap[1] / gap[0], default=(1, 1))
        self._halved.add((low, high))
        return sqrt(low * high) if high > low * _STEP else None


def _attempt(allocator, model, selection, cheapest):
    picks = dict(selection.picks, **allocator.pinned)
    predicted_ms = model.with_float32(selection.in_fp32).predicted_ms(picks)
    return Attempt(selection, allocator.speed_up(selection.cost), allocator.total.before / predicted_ms,
                   cheapest=cheapest)


def _solve(allocator, ratio):
    """Return the Selection for a ratio, or the cheapest there is, and whether it is that."""
    try:
        return allocator.solve(ratio), False
    except Unreachable as error:
        return allocator.solve(min(allocator.speed_up(error.least), _MOST) * (1 - 1e-9)), True


def _unreached(allocator, best, how, attempt):
    where = "with the network as it is" if attempt.timed is None and how == "measured" else \
        "with the cheapest choice everywhere" if attempt.cheapest else "and cheaper choices are slower"
    return ("%gx (latency, over the whole network) cannot be reached: the best %s is %s, %s%s"
            % (allocator.request.ratio, how, times(best), where, _staying(allocator.total)))


def _staying(total):
    """The share of the time that no plan changes, where there is some."""
    share = total.fixed / total.before
    return " (%s of the time is in what stays)" % percent(share, 0) if 0.01 <= share <= 1 else ""


def _not_found(asked, attempts):
    found = ", ".join("%s for %s" % (times(one.ratio), times(one.predicted)) for one in attempts)
    return "no plan for %gx (latency, over the whole network) measured what was predicted: %s" % (asked, found)


def _advice(request):
    return "; ask for less%s, or say `best_effort` to have that" % (
        ", or a smaller `align`" if request.align > 1 else "")

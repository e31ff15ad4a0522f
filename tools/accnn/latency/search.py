"""Closing the loop: a plan is measured as a whole, and the budget corrected until the clock says what was asked for."""
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Optional

from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import say
from accnn.core.text import percent, times
from accnn.ranks.base import Selection, Unreachable
from accnn.timing.clock import known_to

TOLERANCE = 0.03  # of the speed-up that was asked for
_AIM = 1.01  # times the speed-up: what the clock says next time may be a little less
_NEAR = 0.99  # of the speed-up that was asked for: another plan would take longer than it could be worth
_ATTEMPTS = 6  # times that plans are measured
_STEP = 1.015  # by which another speed-up is tried where the last one gave a plan that was measured already
_STEPS = 40
_MOST = 1e9  # speed-up
_GAP = 1.06  # between predicted speed-ups, from which it is worth looking for a faster plan between them
_NOISY = 0.03  # uncertainty of a ratio from which a machine cannot tell whether a plan is right
_BRISK_MS = 100.0  # of a network that takes no longer plans are measured three at a time
_BESIDE = 1.02  # times the middle one's speed-up, of the two others
_NEARER = 1.015  # times the speed-up that was asked for: what is found there is near enough, where it takes no time


@dataclass(frozen=True)
class Attempt:
    """A plan that was measured; or the one that changes nothing, of which the ratio is known.

    Attributes
    ----------
    selection : Selection
    budgeted : float
        Speed-up by what its chains count, of which the budget is one.
    predicted : float
        Speed-up by what its chains take, most likely.
    baseline, measured : dict or None
        Of the whole network, untouched and planned: see :func:`accnn.timing.client.time_networks`.
    cheapest : bool
        Whether no plan has a smaller sum of chains.
    """

    selection: Selection
    budgeted: float
    predicted: float
    baseline: Optional[dict] = None
    measured: Optional[dict] = None
    cheapest: bool = False

    @property
    def ratio(self):
        """float: the median of the measured speed-ups."""
        return 1.0 if self.measured is None else self.measured["measured"]["median"]


def settle(sharing, cost, surveyor, measuring):
    """Choose a plan whose measured speed-up is that asked for, within 3%, or as near above as there is.

    Parameters
    ----------
    sharing : accnn.planning.planner.BudgetAllocator
    cost : Measured
    surveyor : LatencyProfiler
    measuring : TimingConfig

    Returns
    -------
    (Selection, dict)

    Raises
    ------
    TargetError
        No plan is as fast; says how fast the fastest is.
    AccnnError
        The machine is too noisy to tell.
    """
    asked = sharing.request.ratio
    if not surveyor.here:
        attempt = _attempt(sharing, cost, *_at(sharing, asked))
        missed = _unreached(sharing, attempt.predicted, "predicted", attempt) if attempt.cheapest else None
        return _ended(sharing, cost, attempt, missed, measuring)
    search = _Search(sharing, cost, surveyor)
    search.aim_at(asked, cost.correction(asked))
    if search.best(asked) is None:
        search.look_around()
    best = search.best(asked)
    if best is None:
        best = search.fastest()
        missed = _unreached(sharing, best.ratio, "measured", best) if search.is_complete else _not_found(
            asked, search.attempts)
    else:
        missed = None
        cost.remember(asked, best.budgeted / best.ratio)
    return _ended(sharing, cost, best, missed, measuring)


class _Search:
    """Plans of one network that are measured, a few at a time, `_ATTEMPTS` times at most.

    Attributes
    ----------
    attempts : list of Attempt
    """

    def __init__(self, sharing, cost, surveyor):
        self._sharing, self._cost, self._surveyor = sharing, cost, surveyor
        self.attempts, self._known, self._rounds = [], {}, 0

    def aim_at(self, asked, correction):
        """Measure plans until one has the speed-up `asked`, or there is no plan left between a slower and a faster."""
        aim = asked * _AIM * correction if asked > 1 else asked
        for _ in range(_STEPS):
            slowest = aim <= 1  # nothing that was measured may be slower
            attempts, is_new = self._try(self._around(max(aim, 1.0)))
            if not attempts:
                break
            attempt = min(attempts, key=lambda one: abs(log(one.ratio / (asked * _AIM))))
            if is_new:
                aim = attempt.budgeted * asked * _AIM / attempt.ratio
            else:  # the options are coarse: go on in the same direction
                aim = aim * _STEP if attempt.ratio < asked else aim / _STEP
            most = _NEARER if self._is_brisk and self._rounds < 2 else 1 + TOLERANCE
            found = any(asked * _NEAR <= one.ratio <= asked * most and (asked <= 1 or one.measured)
                        for one in self.attempts)
            if found or attempt.ratio < asked and attempt.cheapest or attempt.ratio > asked and slowest or (
                    self._bracketed(asked, aim)):
                break

    def best(self, asked):
        """The slowest Attempt that is fast enough, within what the clock can tell; None where none is."""
        enough = [one for one in self.attempts if one.ratio >= asked]
        if enough and min(one.ratio for one in enough) <= asked * (1 + TOLERANCE):
            return min(enough, key=lambda one: one.ratio)
        near = [one for one in self.attempts if one.ratio >= asked * (1 - TOLERANCE) and (asked <= 1 or one.ratio > 1)]
        return min(near, key=lambda one: abs(log(one.ratio / asked)), default=None)

    @property
    def is_complete(self):
        """bool: whether the plan of the cheapest chains is among the attempts."""
        return any(one.cheapest for one in self.attempts)

    def fastest(self):
        """Attempt: that with the largest measured ratio."""
        return max(self.attempts, key=lambda one: one.ratio)

    def look_around(self):
        """Where even the cheapest chains are too slow, look for a faster plan of dearer ones.

        The more layers are split the more kernels there are to be started, which the sum of chains hardly tells. The
        plan that changes nothing counts, and what lies between the fastest one so far and its neighbours is measured.
        """
        if self.is_complete:
            self._try([1 - 1e-9])
            while self._between() and self._try([self._between()])[1]:
                pass

    def _between(self):
        """As a speed-up, the budget in the middle of the wider gap beside the fastest plan; None if both are small."""
        ascending = sorted(self.attempts, key=lambda one: one.budgeted)
        best = self.fastest()
        beside = [(one.budgeted, other.budgeted) for one, other in zip(ascending, ascending[1:])
                  if best is one or best is other]
        low, high = max(beside, key=lambda gap: gap[1] / gap[0], default=(1, 1))
        return sqrt(low * high) if high > low * _GAP else None

    @property
    def _is_brisk(self):
        return self._cost.whole_ms <= _BRISK_MS

    def _around(self, aim):
        """list of float: the speed-ups to be budgeted for beside each other."""
        return [aim / _BESIDE, aim, aim * _BESIDE] if self._is_brisk and aim > _BESIDE else [aim]

    def _try(self, aims):
        """Return the Attempts for some budgets, and whether any is new; ([], False) where there were enough."""
        found, new = [], {}
        for aim in aims:
            selection, cheapest = _at(self._sharing, aim)
            keys = self._cost.plan_keys(dict(selection.picks, **self._sharing.pinned))
            mark = tuple(sorted(keys.items()))
            found.append(mark)
            if mark in self._known:
                self._again(mark, cheapest)
            else:
                new[mark] = _attempt(self._sharing, self._cost, selection, cheapest)
        if any(new) and self._rounds == _ATTEMPTS:
            return [], False
        for mark, attempt in zip(new, self._measured(new)):
            self._known[mark] = attempt
            self.attempts.append(attempt)
        return [self._known[mark] for mark in found], bool(new)

    def _again(self, mark, cheapest):
        """A known Attempt that another budget led to before may turn out to be the cheapest."""
        known = self._known[mark]
        if cheapest and not known.cheapest:
            place = next(place for place, one in enumerate(self.attempts) if one is known)
            self._known[mark] = self.attempts[place] = replace(known, cheapest=True)

    def _measured(self, new):
        """Yield Attempts as they are measured, in order; `new` is a dict of their keys to those that are not."""
        found, plans = {}, [mark for mark in new if mark]
        self._rounds += bool(plans)
        for marks in self._cost.together(plans):
            answer = self._surveyor.networks(list(map(dict, marks)))
            found.update((mark, (answer["baseline"], timed)) for mark, timed in zip(marks, answer["plans"]))
        for mark, attempt in new.items():
            if mark:
                baseline, timed = found[mark]
                refuse_noise(timed["measured"], "the planned network")
                attempt = replace(attempt, baseline=baseline, measured=timed)
                say("planned %s, measured %s" % (times(attempt.predicted), times(attempt.ratio)))
            yield attempt

    def _bracketed(self, asked, aim):
        """True where `aim` lies beyond a plan that was measured on the other side of what is asked for."""
        slower = [one.budgeted for one in self.attempts if one.ratio < asked]
        faster = [one.budgeted for one in self.attempts if one.ratio >= asked]
        return bool(slower and faster) and (
            aim <= min(min(slower), min(faster)) or aim >= max(max(slower), max(faster)))


def _attempt(sharing, cost, selection, cheapest):
    picks = dict(selection.picks, **sharing.pinned)
    return Attempt(selection, sharing.speed_up(selection.cost), sharing.total.before / cost.predicted_ms(picks),
                   cheapest=cheapest)


def _at(sharing, ratio):
    """Return the Selection for a ratio, or the cheapest there is, and whether it is that."""
    try:
        return sharing.at(ratio), False
    except Unreachable as error:
        return sharing.at(min(sharing.speed_up(error.least), _MOST) * (1 - 1e-9)), True


def _unreached(sharing, best, how, attempt):
    where = "with the network as it is" if attempt.measured is None and how == "measured" else \
        "with the cheapest choice everywhere" if attempt.cheapest else "and cheaper choices are slower"
    return ("%gx (latency, over the whole network) cannot be reached: the best %s is %s, %s%s"
            % (sharing.request.ratio, how, times(best), where, _staying(sharing.total)))


def _staying(total):
    """The share of the time that no plan changes, where there is some."""
    share = total.fixed / total.before
    return " (%s of the time is in what stays)" % percent(share, 0) if 0.01 <= share <= 1 else ""


def _not_found(asked, attempts):
    found = ", ".join("%s for %s" % (times(one.ratio), times(one.predicted)) for one in attempts)
    return "no plan for %gx (latency, over the whole network) measured what was predicted: %s" % (asked, found)


def _advice(request):
    return "; ask for less%s, or say --best-effort to have that" % (
        ", or a smaller --align" if request.align > 1 else "")


def _ended(sharing, cost, best, missed, measuring):
    # The table's milliseconds are those of the day it was begun; today's come of the network that was measured.
    before = sharing.total.before if best.baseline is None else best.baseline["median_ms"]
    layers = cost.told(dict(best.selection.picks, **sharing.pinned), before / sharing.total.before)
    if measuring.exported is not None:
        cost.export(measuring.exported)
    if missed and not measuring.best_effort:
        raise TargetError(missed + _advice(sharing.request))
    setting = cost.table.setting
    after, alone = (before * cost.predicted_ms(dict(best.selection.picks, **sharing.pinned), is_alone) /
                    sharing.total.before for is_alone in (False, True))
    found = {"machine": setting.machine, "threads": setting.threads, "batch_size": setting.batch_size,
             "before_ms": before, "predicted": before / after, "predicted_ms": after, "alone_ms": alone,
             "layers": layers, "inside": dict(cost.inside.methods), "rest": cost.inside.rest,
             "foreign": cost.table.foreign, "missed": missed, "measured": None}
    if best.measured is None:
        return best.selection, {"latency": found, "reached": before / after}
    found.update(measured=best.measured["measured"], measured_ms=best.measured["median_ms"],
                 prediction_error=best.ratio * after / before - 1)
    return best.selection, {"latency": found, "reached": best.ratio}


def refuse_noise(sample, what, most=_NOISY):
    """Refuse what cannot be told from noise.

    Parameters
    ----------
    sample : dict
        With ``uncertainty`` and ``rounds``.
    what : str
    most : float
        Uncertainty that is accepted.

    Raises
    ------
    AccnnError
    """
    if sample["uncertainty"] > most:
        known = known_to(sample["uncertainty"])
        raise AccnnError("this machine is too noisy to measure %s: after %d rounds %s, where %g%% is needed, and half "
                         "of them spread over %s of the median; stop what else runs, or give more --repeats"
                         % (what, sample["rounds"], "its time is known to %s only" % known if known else
                            "nothing says how well its time is known", 100 * most, percent(sample["spread"], 0)))

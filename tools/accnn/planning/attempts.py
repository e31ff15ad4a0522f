"""Plans that were timed while others were looked for, and what they tell of the next budget."""
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Dict, NamedTuple, Optional, Tuple

from accnn.ranks.base import Selection

TOLERANCE = 0.03  # of the speed-up that was asked for
_AIM = 1.01  # times the speed-up: what is measured next time may be a little less
_NEAR = 0.99  # of the speed-up that was asked for: another plan would take longer than it could be worth
_STEP = 1.015  # by which another speed-up is tried where the last one gave a plan that was timed already
_GAP = 1.06  # between predicted speed-ups, from which it is worth looking for a faster plan between them
_FAR = 1.25  # between measured speed-ups, from which a plan between two budgets is not faster than both
_STEEPEST = 2.0  # so many times as far a budget is moved, in logarithms, as a measured speed-up is to move, at most
_LIKE = 1.3  # times the speed-up, or as much less: plans of earlier runs that tell of one
_WIDE = 0.03  # in logarithms: of these the nearer ones count more, but for so small a distance
_BARELY_LESS = 1 - 1e-6  # times a speed-up: a budget that is not, by rounding, less than what a plan costs
_APART = 1.05  # between measured speed-ups, from which two of them tell how one follows the budget


class Network(NamedTuple):
    """A planned network that is to be timed.

    Attributes
    ----------
    keys : dict of str to str
        Layer -> key of the chain in its place.
    in_fp32 : tuple of str
        Layers that stay in float32 beside those that have to.
    """

    keys: Dict[str, str]
    in_fp32: Tuple[str, ...]

    @property
    def mark(self):
        """tuple: the same of the same networks."""
        return tuple(sorted(self.keys.items())), tuple(sorted(self.in_fp32))


@dataclass(frozen=True)
class Attempt:
    """A plan that was timed, or is to be; or the one that changes nothing, of which the ratio is known.

    Attributes
    ----------
    selection : Selection
    network : Network
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
    network: Network
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


class Attempts:
    """The plans of one network that were timed, for whichever ratio: what one search learnt serves all.

    Parameters
    ----------
    unsplit : float
        Speed-up of the network with no layer split, which is known before any plan: 1, or what its precision gives.
    earlier : sequence of (float, float)
        Of plans of earlier runs what they counted and what they were measured to be: where to begin.
    """

    def __init__(self, unsplit=1.0, earlier=()):
        self._unsplit, self._earlier, self._known = unsplit, earlier, {}

    def __iter__(self):
        return iter(self._known.values())

    def __len__(self):
        return len(self._known)

    def __contains__(self, attempt):
        """bool: whether the same network is known."""
        return attempt.network.mark in self._known

    def add(self, attempt):
        """Attempt: `attempt`, known from now on, or what was known of the same network.

        That another budget led to it may show that it is the cheapest.
        """
        known = self._known.get(attempt.network.mark)
        if known is None or attempt.cheapest and not known.cheapest:
            known = self._known[attempt.network.mark] = replace(known or attempt, cheapest=attempt.cheapest)
        return known

    def best(self, asked):
        """The slowest Attempt that is fast enough, within the tolerance, or splits nothing; None where none is."""
        enough = [one for one in self if one.ratio >= asked]
        if enough and min(one.ratio for one in enough) <= asked * (1 + TOLERANCE):
            return min(enough, key=lambda one: one.ratio)
        unsplit = [one for one in enough if one.is_unsplit]
        if unsplit:  # a precision may give more than was asked for
            return unsplit[0]
        near = [one for one in self if one.ratio >= asked * (1 - TOLERANCE) and (asked <= 1 or one.ratio > 1)]
        return min(near, key=lambda one: abs(log(one.ratio / asked)), default=None)

    def has_near(self, asked):
        """bool: whether one is so near to what is asked for that no other is worth the time it takes."""
        return any(asked * _NEAR <= one.ratio <= asked * (1 + TOLERANCE) and (asked <= 1 or one.timed) for one in self)

    @property
    def is_complete(self):
        """bool: whether the plan of the cheapest chains is among them."""
        return any(one.cheapest for one in self)

    def fastest(self):
        """Attempt: that with the largest measured ratio."""
        return max(self, key=lambda one: one.ratio)

    def aim(self, asked):
        """float: as a speed-up, the budget that should give a little more than the ratio `asked`.

        Between a slower and a faster plan it is interpolated. Beyond all of them it is as far from the nearest as the
        way from another tells; the network with no layer split counts, where chains alone take nothing.
        """
        target = asked * _AIM if asked > 1 else asked
        if not self._known:
            return _as_earlier(self._earlier, asked) if asked > 1 else target
        unsplit, points = (self._unsplit, self._unsplit), [(one.budgeted, one.ratio) for one in self]
        around = min(_gaps([unsplit] + points, target), key=_width, default=None)
        return _between(*around, target) if around else _beyond(points, unsplit, target)

    def further(self, asked, tried):
        """float or None: as a speed-up, another budget where the last one led to a plan that was timed already.

        In the middle between a slower and a faster plan, None where nothing is between them; else further in the same
        direction.

        Parameters
        ----------
        asked : float
        tried : list of (float, Attempt)
            Budgets, and what they led to; the last one last.
        """
        points = [(aim, one.ratio) for aim, one in tried] + [(one.budgeted, one.ratio) for one in self]
        gaps = _gaps(points, asked)
        if gaps:
            low, high = (end[0] for end in min(gaps, key=_width))
            return sqrt(low * high) if high > low * _STEP else None
        aim, last = tried[-1]
        step = _STEP ** sum(one.network == last.network for _, one in tried)
        return aim * step if last.ratio < asked else aim / step

    def beside_fastest(self):
        """float or None: as a speed-up, the budget in the middle of the wider gap beside the fastest plan.

        None where both gaps are small, or where even the cheapest chains are far faster than the plan before.
        """
        ascending = sorted(self, key=lambda one: one.budgeted)
        best = self.fastest()
        beside = [(one.budgeted, other.budgeted) for one, other in zip(ascending, ascending[1:])
                  if best is one or best is other and not (best.cheapest and _is_far_behind(one, best))]
        low, high = max(beside, key=lambda gap: gap[1] / gap[0], default=(1, 1))
        return sqrt(low * high) if high > low * _GAP else None


def _is_far_behind(one, best):
    """bool: whether a plan was timed and is so slow that none between it and a faster one should beat that."""
    return one.timed is not None and one.ratio * _FAR < best.ratio


def _as_earlier(points, asked):
    """float: where plans are as much faster than they count as those of earlier runs were, the budget for a ratio.

    That of an earlier plan where one was near enough to what is asked for: it comes out again.
    """
    target = asked * _AIM
    near = sorted((abs(log(ratio / target)), budgeted, ratio) for budgeted, ratio in points)
    if near and asked * _NEAR <= near[0][2] <= asked * (1 + TOLERANCE):
        return near[0][1] * _BARELY_LESS
    like = [one for one in near if one[0] <= log(_LIKE)] or near[:1]
    weights = [(_WIDE + distance) ** -2 for distance, *_ in like]
    off = sum(weight * log(budgeted / ratio) for weight, (_, budgeted, ratio) in zip(weights, like))
    return target * exp(off / sum(weights)) if like else target


def _width(gap):
    """float: how many times faster the second of two points is."""
    return gap[1][1] / gap[0][1]


def _gaps(points, target):
    """list of pairs of neighbours among points (budgeted, ratio), of which the first is too slow, the second not."""
    ascending = sorted(points)
    return [(one, other) for one, other in zip(ascending, ascending[1:]) if one[1] < target <= other[1]]


def _between(one, other, target):
    """float: the budget for a ratio on the line through two points, in logarithms."""
    return one[0] * (target / one[1]) ** (log(other[0] / one[0]) / log(other[1] / one[1]))


def _beyond(points, unsplit, target):
    """float: the budget for a ratio which all points are slower than, or faster; see :meth:`Attempts.aim`."""
    (budgeted, ratio), *others = sorted(points, key=lambda point: abs(log(point[1] / target)))
    far = [one for one in others + [unsplit] if abs(log(one[1] / ratio)) >= log(_APART)]
    slope = log(far[0][0] / budgeted) / log(far[0][1] / ratio) if far else 1
    return budgeted * (target / ratio) ** min(max(slope, 1), _STEEPEST)

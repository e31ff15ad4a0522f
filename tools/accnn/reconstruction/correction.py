"""Predicted divergences put right by the few that were measured."""
import numpy as np

_USEFUL = 0.15   # nats, predicted: no plan splits a layer to lose much more, where it can be helped
_AGREE = 1.7     # how far apart the ratios of measured to predicted may be at two ranks with none measured between
_AS_OTHERS = 1.3  # how far from what another method of the layer told, before a second rank is measured
_LARGE = 0.1     # nats, predicted: beyond, divergences grow faster than to second order,
_STEEPER = 0.7, 1.2  # with so much larger an exponent, where nothing is measured
_MATTERS = 1e-3  # nats
_CLOSE = 0.1     # in logarithms of predictions, of which no slope is told
_LEAST = 1e-7    # nats: below this a divergence is rounding


class Corrected:
    """The divergences of one layer and method at some ranks: predicted at all, measured at a few.

    The ratio of measured to predicted is interpolated in the logarithm of the predicted divergence, constant below what
    was measured, and continued above: large errors cost more than to second order.

    Parameters
    ----------
    predicted : sequence of float
        From the cheapest chain to the dearest.
    wanted : int
        How many are measured at least.
    known : Corrected, optional
        Of another method of the same layer, whose ratios are expected here too: what is behind the layer is the same.
    """

    def __init__(self, predicted, wanted, known=None):
        self.predicted = np.maximum(np.asarray(predicted, np.float64), _LEAST)
        self.measured, self._wanted, self._known = {}, min(wanted, len(self.predicted)), known

    @property
    def _expected(self):
        return self.predicted * (1 if self._known is None else self._known.ratios(self.predicted))

    def add(self, place, value):
        """Take what was measured at a place."""
        self.measured[place] = max(value, _LEAST)

    def first(self):
        """list of int: places to measure before anything is known: the largest useful error, and the middle."""
        if self._wanted >= len(self.predicted):
            return list(range(len(self.predicted)))
        useful = np.flatnonzero(self._expected <= _USEFUL)
        largest = int(useful[0]) if len(useful) else len(self.predicted) - 1
        places = [largest]
        if self._known is None and self._wanted > 1:
            places += self._between(largest, len(self.predicted))
        return places

    def further(self):
        """int: the next place to measure, or None where predictions agree with what was measured."""
        done = sorted(self.measured)
        if len(done) == 1:
            off = abs(np.log(self.measured[done[0]] / self._expected[done[0]]))
            if len(self.predicted) == 1 or self._known is not None and off <= np.log(_AS_OTHERS):
                return None
            return (self._between(done[0], len(self.predicted)) or [done[0] - 1])[0]
        ratios = [np.log(self.measured[place] / self.predicted[place]) for place in done]
        for one, other, ratio, next_ratio in zip(done, done[1:], ratios, ratios[1:]):
            if abs(ratio - next_ratio) > np.log(_AGREE) and other - one > 1:
                return self._between(one, other)[0]
        rest = self._between(done[-1], len(self.predicted))
        if rest and abs(ratios[-1]) > np.log(_AGREE) and self.measured[done[-1]] > _MATTERS:
            return rest[0]  # small errors cost what is predicted, and these do not yet
        return self._widest(done) if len(done) < self._wanted else None

    def values(self):
        """ndarray: the divergences, as measured or corrected."""
        found = self.predicted * self.ratios(self.predicted)
        found[list(self.measured)] = list(self.measured.values())
        return found

    def ratios(self, predicted):
        """ndarray: by what to multiply divergences that were predicted for this layer."""
        places = sorted(self.measured, reverse=True)
        if not places:
            return np.ones(len(predicted))
        ratios = np.log([self.measured[place] / self._expected[place] for place in places])
        expected = np.ones(len(predicted)) if self._known is None else self._known.ratios(predicted)
        order, logs = np.log(np.maximum.accumulate(self.predicted[places])), np.log(predicted)
        slope = (ratios[-1] - ratios[-2]) / max(order[-1] - order[-2], _CLOSE) if len(order) > 1 else 0.0
        above = np.clip(slope, *_STEEPER) * np.maximum(logs - max(order[-1], np.log(_LARGE)), 0)
        return expected * np.exp(np.interp(logs, order, ratios) + above)

    def _between(self, one, other):
        """list of int: the place in the middle between two, by the logarithm of the error; none where they touch."""
        inside = np.arange(one + 1, other)
        if not len(inside):
            return []
        logs = np.log(self.predicted)
        middle = (logs[one] + logs[min(other, len(logs) - 1)]) / 2
        return [int(inside[np.argmin(np.abs(logs[inside] - middle))])]

    def _widest(self, done):
        gaps = np.diff([-1] + done + [len(self.predicted)])
        widest = int(np.argmax(gaps))
        return ([-1] + done)[widest] + int(gaps[widest]) // 2

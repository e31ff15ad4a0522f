"""Thresholds chosen for every tensor by what they do to the network's outputs."""
import numpy as np

from accnn.quantization import thresholds

SEARCHED = "searched"  # in the place of a kind: a multiple of one
_FACTORS = 0.75, 1.25
_SURE = 2.0    # standard errors that a gain has to have
_NEAR = 0.1    # thresholds that differ by less are one
_WORTH = 0.99  # another threshold has to make the divergence smaller by a percent
_DOUBTFUL = 0.02  # share of a tensor's mean square error by which candidates have to differ to be worth a look


def ranges(histograms, kind):
    """dict of str to (float, float): the thresholds of one kind for every tensor.

    Parameters
    ----------
    histograms : dict of str to Histogram
    kind : str
        A name of :mod:`accnn.quantization.thresholds`.
    """
    return {name: _range(one, thresholds.get(kind).threshold(one)) for name, one in histograms.items()}


def choose(histograms, judge, kinds=None, trials=60):
    """Choose a kind for all tensors, then another for every tensor with which the outputs come nearer.

    Parameters
    ----------
    histograms : dict of str to Histogram
    judge : callable
        ``judge(thresholds) -> float or ndarray``: how far the outputs of the INT8 network are from the true ones, on
        images that the histograms have not seen; of every image, so that luck is told from gain.
    kinds : sequence of str, optional
        Default: all there are.
    trials : int
        Thresholds of single tensors that are tried at most, the most promising first.

    Returns
    -------
    found : dict of str to (float, float)
    chosen : dict of str to str
        The kind of every tensor, or `SEARCHED`.
    """
    search = _Search(histograms, judge, list(kinds or thresholds.names()), trials)
    search.try_kinds()
    search.try_factors()
    return search.found, search.chosen


class _Search:
    """Thresholds as they are by now, and what they cost."""

    def __init__(self, histograms, judge, kinds, trials):
        self._histograms, self._judge, self._left = histograms, judge, trials
        self._every = {kind: ranges(histograms, kind) for kind in kinds}
        costs = {kind: judge(self._every[kind]) for kind in kinds}
        self._costs = {kind: float(np.mean(cost)) for kind, cost in costs.items()}
        self._start = min(kinds, key=self._costs.get)
        self.found, self._best = dict(self._every[self._start]), costs[self._start]
        self.chosen = dict.fromkeys(histograms, self._start)

    def try_kinds(self):
        """Try other kinds where local errors are apart, the most doubtful tensors first."""
        candidates = _candidates(self._histograms, self._every, self._start, self._costs)
        for _, name, kind in sorted(candidates, key=lambda item: -item[0]):
            if _differ(self.found[name], self._every[kind][name]):
                self._try(name, self._every[kind][name], kind)

    def try_factors(self):
        """Try smaller and larger thresholds of every tensor, as long as the outputs come nearer."""
        for name, histogram in self._histograms.items():
            for factor in _FACTORS:
                while self._try(name, _scaled(self.found[name], factor, histogram.largest), SEARCHED):
                    pass

    def _try(self, name, thresholds_of_it, kind):
        """bool: whether another range of a tensor is better, and so taken."""
        if not self._left or thresholds_of_it == self.found[name]:
            return False
        self._left -= 1
        tried = dict(self.found, **{name: thresholds_of_it})
        cost = self._judge(tried)
        if not _is_better(cost, self._best):
            return False
        self.found, self._best, self.chosen[name] = tried, cost, kind
        return True


def _is_better(new, old):
    """Whether costs of the same images fell by a percent, and by more than chance would have it."""
    gain = np.atleast_1d(np.asarray(old) - np.asarray(new))
    doubt = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
    return gain.mean() > max((1 - _WORTH) * np.mean(old), _SURE * doubt)


def _scaled(one, factor, largest):
    threshold = min(one[1] * factor, largest)
    return (-threshold if one[0] < 0 else 0.0), threshold


def _candidates(histograms, every, start, costs):
    """Yield (how far local errors are apart, tensor, kind), of kinds that differ from what all tensors have."""
    for name, histogram in histograms.items():
        here = histogram.error(every[start][name][1])
        tried = []
        for kind in sorted(set(every) - {start}, key=costs.get):
            there = every[kind][name]
            if _differ(every[start][name], there) and all(_differ(there, other) for other in tried):
                tried.append(there)
                apart = abs(histogram.error(there[1]) - here) / max(here, 1e-30)
                if apart > _DOUBTFUL:
                    yield apart, name, kind


def _differ(one, other):
    return abs(one[1] - other[1]) > _NEAR * max(one[1], other[1])


def _range(histogram, threshold):
    return (-threshold if histogram.is_signed else 0.0), threshold

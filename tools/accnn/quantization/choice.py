"""Thresholds chosen for every tensor by what they do to the network's outputs."""
from accnn.quantization import thresholds

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
        ``judge(thresholds) -> float``: how far the outputs of the INT8 network are from the true ones, on images that
        the histograms have not seen.
    kinds : sequence of str, optional
        Default: all there are.
    trials : int
        Thresholds of single tensors that are tried at most, the most promising first.

    Returns
    -------
    found : dict of str to (float, float)
    chosen : dict of str to str
        The kind of every tensor.
    """
    kinds, left = list(kinds or thresholds.names()), trials
    every = {kind: ranges(histograms, kind) for kind in kinds}
    costs = {kind: judge(every[kind]) for kind in kinds}
    start = min(kinds, key=costs.get)
    found, chosen, best = dict(every[start]), dict.fromkeys(histograms, start), costs[start]
    for _, name, kind in sorted(_candidates(histograms, every, start, costs), key=lambda item: -item[0]):
        if not left:
            break
        if not _differ(found[name], every[kind][name]):
            continue
        left -= 1
        tried = dict(found, **{name: every[kind][name]})
        cost = judge(tried)
        if cost < _WORTH * best:
            found, best = tried, cost
            chosen[name] = kind
    return found, chosen


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

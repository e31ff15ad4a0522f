"""Thresholds of activations: up to which absolute value INT8 tells numbers apart, from a histogram of them."""
from dataclasses import dataclass

import numpy as np

from accnn.core.registry import Registry
from accnn.quantization.grid import fake_quantized, steps

_BINS = 4096
_CANDIDATES = 80  # thresholds that mse and entropy try
_LEAST = 0.05      # of the largest value: lower thresholds are not tried
_PERCENT = 99.99
_registry = Registry("kind of threshold")
get, names = _registry.get, _registry.names


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often absolute values fell into bins of one width, beginning at 0.

    Attributes
    ----------
    counts : ndarray of int64, shape (bins,)
    width : float
        Of a bin.
    low, high : float
        The least and the largest value, signed.
    """

    counts: np.ndarray
    width: float
    low: float
    high: float

    @classmethod
    def of(cls, values, low=None, high=None):
        """The histogram of an array; `low` and `high`, where it is a sample, are of all values."""
        low = float(values.min()) if low is None else float(low)
        high = float(values.max()) if high is None else float(high)
        width = max(abs(low), abs(high), 1e-30) / _BINS
        places = np.minimum((np.abs(values).ravel() / width).astype(np.int64), _BINS - 1)
        return cls(np.bincount(places, minlength=_BINS), width, low, high)

    @property
    def is_signed(self):
        """bool: whether a negative value was seen; else INT8 has twice as many steps."""
        return self.low < 0

    @property
    def largest(self):
        """float: the largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def centres(self):
        """ndarray of shape (bins,)."""
        return (np.arange(len(self.counts)) + 0.5) * self.width

    def error(self, threshold):
        """float: mean squared error of the values with a threshold."""
        values = self.centres
        lost = np.square(values - fake_quantized(values, threshold, self.is_signed))
        return float(self.counts @ lost / max(self.counts.sum(), 1))


@_registry.register
class Naive:
    """The largest absolute value that was seen."""

    name = "naive"

    def threshold(self, histogram):
        """float."""
        return histogram.largest


@_registry.register
class Percentile:
    """That below which all but one in ten thousand values lie."""

    name = "percentile"

    def threshold(self, histogram, percent=_PERCENT):
        """float: `percent` of the values are not larger, to a bin."""
        below = np.cumsum(histogram.counts)
        place = np.searchsorted(below, below[-1] * percent / 100)
        return min(float((place + 1) * histogram.width), histogram.largest)


@_registry.register
class MeanSquare:
    """The least mean squared error."""

    name = "mse"

    def threshold(self, histogram):
        """float."""
        return min(_tried(histogram), key=histogram.error)


@_registry.register
class Entropy:
    """The least Kullback-Leibler divergence of the values' distribution from that of the INT8 numbers.

    References
    ----------
    Migacz, "8-bit inference with TensorRT", GTC 2017.
    """

    name = "entropy"

    def threshold(self, histogram):
        """float."""
        return min(_tried(histogram), key=lambda threshold: divergence(histogram, threshold))


def divergence(histogram, threshold):
    """Divergence in nats between the distribution up to a threshold, what lies beyond added to its last bin, and what
    is left of it when every INT8 number's share is spread evenly over its bins that are not empty."""
    kept = max(int(round(threshold / histogram.width)), 1)
    # Zeros, of which a ReLU makes many, are told exactly with any threshold: they must not speak for a small one.
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]
    inside = counts[:kept]
    true = inside.copy()
    true[-1] += counts[kept:].sum()
    numbers = int(steps(histogram.is_signed))
    number = np.arange(kept) * numbers // kept
    there = true > 0
    totals, bins = np.bincount(number, inside), np.bincount(number, there)
    made = np.where(there, (totals / np.maximum(bins, 1))[number], 0.0)
    true, made = true / max(true.sum(), 1), made / max(made.sum(), 1e-30)
    return float(np.sum(true[there] * np.log(true[there] / np.maximum(made[there], 1e-12))))


def _tried(histogram):
    """list of float: from the largest value down."""
    return [histogram.largest * share for share in np.geomspace(1, _LEAST, _CANDIDATES)]


def best_threshold(values):
    """float: the threshold with the least mean squared error for an array of values."""
    return get("mse").threshold(Histogram.of(values))

"""INT8 networks compared: how often two engines answer the same, and how far their answers are apart.

Both round at the same places to the same steps. Where a number lies right between two steps, the last bit of a product
decides which it becomes, and whatever follows from that differs by a step, too.
"""
from dataclasses import dataclass

import numpy as np

from accnn.exporting.proof import difference

FEWEST = 100  # real images of which a share of the same answers is believed


@dataclass(frozen=True)
class Bounds:
    """How well an output must agree: the largest relative error, and the least share of images of the same answer."""

    relative_error: float
    same_top1: float


EXACT, ROUNDED_SUMS = Bounds(0.05, 0.95), Bounds(0.15, 0.9)  # without and with one rounding more in residual blocks


def compare(names, pairs, random):
    """Compare outputs batch by batch.

    Parameters
    ----------
    names : list of str
    pairs : iterable of (list of ndarray, list of ndarray)
        What one engine answered, and the other, to each batch: an array for each name.
    random : int
        The first so many batches count for errors only, not for answers.

    Returns
    -------
    dict of str to float
        The largest difference over the largest number.
    dict of str to Parity
    """
    worst, parities = dict.fromkeys(names, 0.0), {name: Parity() for name in names}
    for number, (found, expected) in enumerate(pairs):
        for name, one, other in zip(names, found, expected):
            worst[name] = max(worst[name], difference(one, other))
            parities[name].add(one, other, number >= random)
    return worst, parities


class Parity:
    """Outputs of one name compared, batch by batch.

    Attributes
    ----------
    rows : int
        That told the answers.
    """

    def __init__(self):
        self.rows = self._same = self._classed = self._scored = 0
        self._divergence = self._far = self._large = 0.0

    def add(self, found, expected, answers=True):
        """Count a batch; `answers` False counts it for the relative error only."""
        found, expected = found.astype(np.float64), expected.astype(np.float64)
        if found.shape != expected.shape or not np.isfinite(found).all():
            self._far = np.inf
            return
        self._far += np.square(found - expected).sum()
        self._large += np.square(expected).sum()
        if answers and expected.ndim == 2 and expected.shape[1] > 1:
            self.rows += len(expected)
            self._same += int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
            if _is_distribution(found) and _is_distribution(expected):
                self._scored += len(expected)
                self._divergence += _divergence(expected, found)

    @property
    def relative_error(self):
        """float: norm of the difference over that of what is expected."""
        return float(np.sqrt(self._far / self._large)) if self._large else float(np.inf if self._far else 0)

    @property
    def same_top1(self):
        """float or None: share of examples whose largest output is the same one; None where outputs are no classes."""
        return self._same / self.rows if self.rows else None

    def report(self):
        """dict: ``relative_error``; of outputs in rows ``same_top1``, the number of ``rows``, ``divergence`` in nats.

        The last one is the mean Kullback-Leibler divergence from what is expected, of outputs that are probabilities.
        """
        return {"relative_error": self.relative_error, "same_top1": self.same_top1, "rows": self.rows,
                "divergence": self._divergence / self._scored if self._scored else None}

    def refusal(self, bounds):
        """str or None: what is worse than the bounds."""
        if not self.relative_error <= bounds.relative_error:
            return "differs from MXNet's by a relative error of %.1e, where %g is allowed" % (
                self.relative_error, bounds.relative_error)
        if self.rows >= FEWEST and self.same_top1 < bounds.same_top1:
            return "gives the same answer as MXNet's on %.1f%% of %d examples, where %g%% are wanted" % (
                100 * self.same_top1, self.rows, 100 * bounds.same_top1)
        return None


def relative_error(found, expected):
    """float: norm of the difference over that of `expected`."""
    parity = Parity()
    parity.add(found, expected)
    return parity.relative_error


def _is_distribution(rows):
    return rows.min() >= 0 and np.allclose(rows.sum(axis=1), 1, atol=1e-3)


def _divergence(expected, found):
    """Kullback-Leibler divergence, summed over rows."""
    least = np.finfo(np.float32).tiny
    return float((expected * np.log(np.maximum(expected, least) / np.maximum(found, least))).sum())

"""Where two networks answer differently, and the images whose probabilities changed the most."""
import heapq
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY

_SMALLEST = 1e-12  # of a probability, before its logarithm is taken


@dataclass(frozen=True, order=True)
class ChangedImage:
    """An image, and how far the new network's probabilities are from the original's, in nats."""

    divergence: float
    position: int
    label: int
    before: int
    after: int


class ChangeTally:
    """What two networks made of the same images, counted batch by batch.

    Parameters
    ----------
    after, before : Head
        Of the new network and of the original.
    most : int
        Images that are kept one by one.

    Attributes
    ----------
    images : int
    pairs : Counter
        (answer before, after) -> images with these answers, the same ones included.
    """

    def __init__(self, after, before, most=10):
        self.images, self.pairs = 0, Counter()
        self._heads, self._most, self._largest = (after, before), most, []

    def add(self, first, outputs, best, labels):
        """Count a batch.

        Parameters
        ----------
        first : int
            Position of its first image in the file.
        outputs : sequence of ndarray of shape (n, classes, ...)
            Of the new network and of the original.
        best : sequence of ndarray of shape (n,)
            Their answers.
        labels : ndarray of shape (n,), int
        """
        after, before = (log_probabilities(rows, head) for rows, head in zip(outputs, self._heads))
        divergences = (np.exp(before) * (before - after)).sum(axis=1)
        self.images += len(labels)
        self.pairs.update(zip(best[1].tolist(), best[0].tolist()))
        found = [ChangedImage(float(value), first + row, int(labels[row]), int(best[1][row]), int(best[0][row]))
                 for row, value in enumerate(divergences)]
        self._largest = heapq.nlargest(self._most, self._largest + found)

    @property
    def largest(self):
        """list of ChangedImage: the largest change first."""
        return [one for one in self._largest if one.divergence > 0]


def log_probabilities(output, head):
    """ndarray of shape (n, classes), float64: logarithms of the probabilities that an output stands for.

    Parameters
    ----------
    output : ndarray of shape (n, classes, ...)
    head : Head
    """
    rows = output.reshape(len(output), head.classes).astype(np.float64)
    if head.form == PROBABILITY:
        return np.log(np.maximum(rows / head.total, _SMALLEST))
    if head.form == LOG_PROBABILITY:
        return rows
    return log_softmax(rows, axis=1)

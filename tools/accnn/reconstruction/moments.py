"""Means and Gram matrices of what a layer reads and should answer: all that a linear least-squares solver needs."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """First and second moments of n samples of (x, y): x what is read, y what should be answered.

    Attributes
    ----------
    count : int
        n, the number of samples.
    mean_x : ndarray of shape (D,)
    mean_y : ndarray of shape (N,)
    xx : ndarray of float64, shape (D, D)
        Covariance of x, divided by n.
    yx : ndarray of float64, shape (N, D)
    yy : ndarray of float64, shape (N,)
        Variance of every output.
    """

    count: int
    mean_x: np.ndarray
    mean_y: np.ndarray
    xx: np.ndarray
    yx: np.ndarray
    yy: np.ndarray

    def errors(self, weight, bias):
        """Mean squared error of ``weight @ x + bias`` over the samples.

        Parameters
        ----------
        weight : ndarray of shape (N, D)
        bias : ndarray of shape (N,)

        Returns
        -------
        ndarray of shape (N,)
            Of every output; exact, although the samples are gone.
        """
        offset = self.mean_y - weight @ self.mean_x - bias
        spread = self.yy + np.einsum("nd,nd->n", weight @ self.xx - 2 * self.yx, weight)
        return np.maximum(spread, 0) + offset ** 2

    def bias(self, weight):
        """The bias with which ``weight`` has the least error, ndarray of shape (N,)."""
        return self.mean_y - weight @ self.mean_x

    def seen_through(self, features):
        """The moments of ``features @ x`` and y, for `features` of shape (m, D)."""
        half = features @ self.xx
        return Moments(self.count, features @ self.mean_x, self.mean_y, half @ features.T, self.yx @ features.T,
                       self.yy)

    def taken(self, order):
        """The moments of ``x[order]`` and y, for an array of numbers of values."""
        return Moments(self.count, self.mean_x[order], self.mean_y, self.xx[np.ix_(order, order)], self.yx[:, order],
                       self.yy)


class Accumulator:
    """Adds up the moments of samples that come in blocks.

    Sums are kept in float64. Products of a block are made in float32 around the mean of the first block, where a large
    mean does not eat the digits of a small variance.
    """

    def __init__(self, inputs, outputs):
        self._count, self._pivots = 0, None
        self._x, self._y = np.zeros(inputs), np.zeros(outputs)
        self._xx, self._yx = np.zeros((inputs, inputs)), np.zeros((outputs, inputs))
        self._yy = np.zeros((outputs, outputs))

    @property
    def count(self):
        """int: samples that were added."""
        return self._count

    def pivots(self, x, y):
        """What is subtracted from all samples: the means of the first, of which these blocks are some."""
        if self._pivots is None:
            self._pivots = tuple(array.mean(0, dtype=np.float64).astype(np.float32) for array in (x, y))
        return self._pivots

    def add(self, x, y):
        """Add samples: arrays of shapes (n, D) and (n, N)."""
        if len(x):
            self.merge(block_sums(x, y, *self.pivots(x, y)))

    def merge(self, sums):
        """Add what :func:`block_sums` made of some samples around :meth:`pivots`."""
        self._count += sums[0]
        for own, added in zip((self._x, self._y, self._xx, self._yx, self._yy), sums[1:]):
            own += added

    def moments(self, root=None):
        """Return the Moments of all that was added: of x and y, or of x and ``root @ y``."""
        n, (pivot_x, pivot_y) = max(self._count, 1), self._pivots or (0.0, 0.0)
        x, y, xx, yx, yy = (own / n for own in (self._x, self._y, self._xx, self._yx, self._yy))
        xx, yx, yy = xx - np.outer(x, x), yx - np.outer(y, x), yy - np.outer(y, y)
        mean_x, mean_y = x + pivot_x, y + pivot_y
        if root is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # told by what fits to them
                mean_y, yx, yy = root @ mean_y, root @ yx, root @ yy @ root.T
        return Moments(self._count, mean_x, mean_y, xx, yx, np.maximum(yy.diagonal(), 0))


def block_sums(x, y, pivot_x, pivot_y):
    """Sums over some samples, for :meth:`Accumulator.merge`.

    Parameters
    ----------
    x, y : ndarray of float32, shapes (n, D) and (n, N)
    pivot_x, pivot_y : ndarray of float32, shapes (D,) and (N,)
        Subtracted first.

    Returns
    -------
    (int, ndarray, ndarray, ndarray, ndarray, ndarray)
        n, and the sums of x, of y, and of the products of x with x, y with x and y with y.
    """
    x, y = x - pivot_x, y - pivot_y
    with np.errstate(over="ignore", invalid="ignore"):
        return len(x), x.sum(0, dtype=np.float64), y.sum(0, dtype=np.float64), x.T @ x, y.T @ x, y.T @ y

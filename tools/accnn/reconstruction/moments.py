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


class Accumulator:
    """Adds up the moments of samples that come in blocks.

    Sums are kept in float64. Products of a block are made in float32 around its own mean, where a large mean does not
    eat the digits of a small variance.
    """

    def __init__(self, inputs, outputs):
        self._count = 0
        self._mean_x, self._mean_y = np.zeros(inputs), np.zeros(outputs)
        self._xx, self._yx, self._yy = np.zeros((inputs, inputs)), np.zeros((outputs, inputs)), np.zeros(outputs)

    def add(self, x, y):
        """Add samples: arrays of shapes (n, D) and (n, N)."""
        count = len(x)
        if not count:
            return
        mean_x, mean_y = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
        x, y = x - mean_x.astype(np.float32), y - mean_y.astype(np.float32)
        # Chan, Golub and LeVeque's update: sums around the common mean from sums around the means of both parts.
        share = self._count * count / (self._count + count)
        moved_x, moved_y = mean_x - self._mean_x, mean_y - self._mean_y
        self._xx += x.T @ x
        self._xx += share * np.outer(moved_x, moved_x)
        self._yx += y.T @ x
        self._yx += share * np.outer(moved_y, moved_x)
        self._yy += np.einsum("ij,ij->j", y, y, dtype=np.float64) + share * moved_y ** 2
        self._count += count
        self._mean_x += moved_x * (count / self._count)
        self._mean_y += moved_y * (count / self._count)

    def moments(self):
        """Return the Moments of all that was added."""
        n = max(self._count, 1)
        return Moments(self._count, self._mean_x, self._mean_y, self._xx / n, self._yx / n, self._yy / n)

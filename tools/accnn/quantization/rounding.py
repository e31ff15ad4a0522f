"""Weights rounded to INT8 so that errors make up for each other, in what the layer really reads."""
import numpy as np
from scipy import linalg

from accnn.quantization.grid import SIGNED, largest_weights

_DAMPING = 1e-2  # share of the mean variance added to all: what few samples find correlated


def compensated(matrix, covariance, per_tensor=False, largest=None):
    """Round column after column; what a column loses is made up for by those to come.

    Minimises ``tr((W - Q) C (W - Q)^T)`` greedily over matrices Q that INT8 holds. The largest weight of every step
    stays what it is, so that whoever rounds the result, as oneDNN does, finds the same step and the same numbers.

    Parameters
    ----------
    matrix : ndarray of shape (N, D)
        W.
    covariance : ndarray of shape (D, D)
        C, of what the layer reads: a bias takes up the mean.
    per_tensor, largest
        See :func:`accnn.quantization.grid.rounded`.

    Returns
    -------
    ndarray of float64, shape (N, D)
        To be rounded by :func:`accnn.quantization.grid.rounded`, which only changes the largest weights.

    References
    ----------
    Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", ICLR 2023.
    """
    largest = largest_weights(matrix, per_tensor, largest)
    step = np.broadcast_to(np.where(largest > 0, largest, 1) / SIGNED, (len(matrix), 1))[:, 0]
    fixed = np.abs(matrix) >= largest * (1 - 1e-12)
    left, made, root = matrix.astype(np.float64).copy(), np.empty(matrix.shape), _root(covariance)
    for place in range(matrix.shape[1]):
        wanted = np.where(fixed[:, place], matrix[:, place], left[:, place])
        made[:, place] = np.clip(np.rint(wanted / step), *_ends(fixed[:, place])) * step
        lost = (left[:, place] - made[:, place]) / root[place, place]
        left[:, place + 1:] -= np.outer(lost, root[place, place + 1:])
    return np.where(fixed, matrix, made)


def _ends(fixed):
    """The least and the largest number of a column: -128 would be larger than what stays."""
    return np.where(fixed, -128, -127), np.full(len(fixed), 127)


def _root(covariance):
    """Upper triangular R with R^T R the inverse of the covariance."""
    size = len(covariance)
    damped = covariance + (_DAMPING * np.trace(covariance) / size + 1e-30) * np.eye(size)
    return linalg.cholesky(linalg.inv(damped), lower=False)

"""The numbers that INT8 has: what rounding makes of activations and of weights, as oneDNN does it in MXNet.

A threshold, or the largest weight of an output, is 127.5 steps from zero, 255.5 where nothing is negative; numbers are
-128 to 127, or 0 to 255: the largest one itself is half a step off.
"""
import numpy as np

SIGNED, UNSIGNED = 127.5, 255.5  # steps from zero to the threshold


def fake_quantized(array, threshold, is_signed=True):
    """What an INT8 tensor holds of an array.

    Parameters
    ----------
    array : ndarray
    threshold : float
        The largest absolute value that is kept; larger ones become it.
    is_signed : bool
        An unsigned one holds no negative value.

    Returns
    -------
    ndarray
        Of the same shape: multiples of the step.
    """
    step = max(float(threshold), 1e-30) / steps(is_signed)
    return np.clip(np.rint(array / step), *((-128, 127) if is_signed else (0, 255))) * step


def steps(is_signed):
    """float: from zero to the threshold."""
    return SIGNED if is_signed else UNSIGNED


def rounded(matrix, per_tensor=False, largest=None):
    """Weights as INT8 holds them.

    Parameters
    ----------
    matrix : ndarray of shape (..., N, D)
        Every output, a row, has its own step.
    per_tensor : bool
        One step for all.
    largest : float, optional
        The largest absolute weight for that step, where the matrix is a part of all weights.
    """
    step = largest_weights(matrix, per_tensor, largest) / SIGNED
    return np.clip(np.rint(matrix / np.where(step > 0, step, 1)), -128, 127) * step


def largest_weights(matrix, per_tensor=False, largest=None):
    """ndarray that broadcasts with `matrix`: the largest absolute weight of every step."""
    if per_tensor and largest is not None:
        return np.full((1,) * np.ndim(matrix), largest)
    return np.abs(matrix).max(None if per_tensor else -1, keepdims=True)


def channel_errors(channels, groups=1, per_tensor=False):
    """Squares of what rounding changes in the weights that read each channel.

    Parameters
    ----------
    channels : ndarray of shape (C, N / groups, K)
        See :meth:`accnn.quantization.producers.Consumer.channels`.

    Returns
    -------
    ndarray of shape (C,)
    """
    rows = channels.reshape((groups, -1) + channels.shape[1:]).transpose(0, 2, 1, 3)
    shape = rows.shape
    rows = rows.reshape(shape[:2] + (-1,))
    lost = np.square(rows - rounded(rows, per_tensor)).reshape(shape)
    return lost.sum((1, 3)).ravel()

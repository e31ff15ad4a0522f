"""The nonlinearities of MXNet's operators as functions of NumPy arrays.

An array has the shape (n, N): n responses of N outputs; numbers of an activation are floats or arrays of shape (N,).
"""
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@dataclass(frozen=True)
class Piece:
    """A stretch ``low <= y <= high`` on which an activation is ``slope * y + intercept``.

    Attributes
    ----------
    low, high, slope, intercept : float or ndarray of shape (N,)
    """

    low: object
    high: object
    slope: object
    intercept: object = 0.0


@dataclass(frozen=True)
class Activation:
    """A nonlinearity r.

    Attributes
    ----------
    name : str
    function : callable
        Takes an array of float32 or float64 of shape (n, N) and returns one alike.
    monotone : bool
        It never falls.
    pieces : tuple of Piece or None
        All of r, where r is piecewise linear and continuous.
    """

    name: str
    function: Callable
    monotone: bool = True
    pieces: Optional[Tuple[Piece, ...]] = None

    def __call__(self, y):
        """Return r(y), an array of the shape and the type of `y`."""
        return self.function(y)


def get(description=None):
    """Return the activation that ``accnn.graph.following`` describes.

    Parameters
    ----------
    description : (str, dict) or None
        Kind and numbers, such as ``('clip', {'low': 0., 'high': 6.})``; None is the identity.

    Returns
    -------
    Activation
    """
    kind, numbers = description or ("identity", {})
    return _KINDS[kind](**numbers)


def names():
    """list of str: the kinds there are."""
    return sorted(_KINDS)


# ---- piecewise linear

def _identity():
    return Activation("identity", lambda y: y, True, (Piece(-np.inf, np.inf, 1.0),))


def _relu():
    return Activation("relu", lambda y: np.maximum(y, 0), True, (Piece(-np.inf, 0.0, 0.0), Piece(0.0, np.inf, 1.0)))


def _leaky(slope):
    def function(y):
        return np.where(y > 0, y, y * np.asarray(slope, y.dtype))

    return Activation("leaky", function, bool(np.all(np.asarray(slope) >= 0)),
                      (Piece(-np.inf, 0.0, slope), Piece(0.0, np.inf, 1.0)))


def _clip(low, high):
    pieces = Piece(-np.inf, low, 0.0, low), Piece(low, high, 1.0), Piece(high, np.inf, 0.0, high)
    # A bound at infinity has no stretch behind it.
    pieces = tuple(piece for piece in pieces if np.isfinite(piece.intercept))
    return Activation("clip", lambda y: np.clip(y, low, high), True, pieces)


def _hard_sigmoid(alpha, beta):
    """``min(max(alpha * y + beta, 0), 1)`` with a positive alpha."""
    low, high = -beta / alpha, (1 - beta) / alpha
    return Activation("hard_sigmoid", lambda y: np.clip(alpha * y + beta, 0, 1), True,
                      (Piece(-np.inf, low, 0.0), Piece(low, high, alpha, beta), Piece(high, np.inf, 0.0, 1.0)))


# ---- smooth

def _sigmoid():
    return Activation("sigmoid", lambda y: 0.5 * np.tanh(0.5 * y) + 0.5)


def _softrelu():
    """``log(1 + exp(y))``, without overflow."""
    return Activation("softrelu", lambda y: np.maximum(y, 0) + np.log1p(np.exp(-np.abs(y))))


def _softsign():
    return Activation("softsign", lambda y: y / (1 + np.abs(y)))


def _elu(slope):
    """``y`` where positive, else ``slope * (exp(y) - 1)``."""
    return Activation("elu", lambda y: np.maximum(y, 0) + slope * np.expm1(np.minimum(y, 0)), slope >= 0)


def _selu():
    elu = _elu(_SELU_ALPHA)
    return Activation("selu", lambda y: _SELU_SCALE * elu(y))


def _gelu():
    """``y * P(x < y)`` for a standard normal x, that is ``max(y, 0) - |y| * P(x > |y|)``."""
    return Activation("gelu", lambda y: np.maximum(y, 0) - np.abs(y) * _normal_tail(np.abs(y)), False)


def _normal_tail(y):
    """``P(x > y)`` for a standard normal x and ``y >= 0``, to 1e-7: Abramowitz and Stegun, 7.1.26."""
    t = 1 / (1 + 0.3275911 * 0.5 ** 0.5 * y)
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return 0.5 * series * np.exp(-0.5 * y * y)


_KINDS = {"identity": _identity, "relu": _relu, "leaky": _leaky, "clip": _clip, "hard_sigmoid": _hard_sigmoid,
          "sigmoid": _sigmoid, "tanh": lambda: Activation("tanh", np.tanh), "softrelu": _softrelu,
          "softsign": _softsign, "elu": _elu, "selu": _selu, "gelu": _gelu}

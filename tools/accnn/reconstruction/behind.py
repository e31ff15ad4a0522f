"""What follows a layer, in the form that the solvers use."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

from accnn.reconstruction import activations

_LEAST = 1e-6  # importance of an output that counts for nothing: the others must not depend on it


@dataclass(frozen=True, eq=False)
class Behind:
    """The BatchNorm and the nonlinearity behind a layer: ``activation(scale * y + shift)``.

    Attributes
    ----------
    scale, shift : ndarray of shape (N,)
        Ones and zeros without a BatchNorm.
    nonlinearity : (str, dict) or None
        See :class:`accnn.graph.following.Following`.
    """

    scale: np.ndarray
    shift: np.ndarray
    nonlinearity: Optional[object] = None

    @classmethod
    def of(cls, following, outputs):
        """Take over a :class:`accnn.graph.following.Following` of a layer with so many outputs."""
        scale = np.ones(outputs) if following.scale is None else following.scale
        shift = np.zeros(outputs) if following.shift is None else following.shift
        return cls(scale, shift, following.activation)

    @property
    def activation(self):
        """Activation: the identity where there is none."""
        return activations.get(self.nonlinearity)

    @property
    def importance(self):
        """ndarray of shape (N,): what a squared error of every output weighs behind the BatchNorm, the largest 1."""
        squares = np.square(self.scale)
        return np.maximum(squares / (squares.max() or 1.0), _LEAST)

    def part(self, rows):
        """Return the same for some of the outputs, a slice."""
        nonlinearity = self.nonlinearity and (self.nonlinearity[0], {
            name: value[rows] if np.ndim(value) else value for name, value in self.nonlinearity[1].items()})
        return Behind(self.scale[rows], self.shift[rows], nonlinearity)

"""All factors of a block-term decomposition improved at once, from where Principal Component Iteration crawls."""
import numpy as np

from accnn.methods.hooi import on_inputs, squared_norm
from accnn.methods.pci import Blocks

_MEMORY = 10     # pairs of steps that L-BFGS keeps; 20 bring hardly more and take a third longer
_LEAST = 0.1     # of the largest unit: the smallest one there is
_PATIENCE = 4.0  # times the tolerance, of the squared norm's share: an iteration that brings less is the last one
_RAN_OUT = 1     # SciPy's status where a limit was reached, of iterations or of evaluations


def improve(blocks, tensor, effort):
    """Minimise the residual over the inputs, outputs and cores of all blocks together, by L-BFGS.

    Alternating methods descend in small steps where blocks have to move together; a gradient of everything costs about
    as much as one sweep of theirs and knows it.

    Parameters
    ----------
    blocks : Blocks
    tensor : ndarray of shape (P, N, C)
    effort : Effort
        Its iterations, and its tolerance for what one of them brings.

    Returns
    -------
    Blocks
        With orthonormal bases, their residual no larger than that of `blocks`.
    settled : bool
        Whether it ended before the iterations did.
    """
    from scipy import optimize  # takes 0.1 s to import, for which help and a mistyped option do not wait

    norm = squared_norm(tensor)
    if not norm:
        return blocks, True
    start = _Vector(blocks)
    found = optimize.minimize(lambda values: _loss(values, start, tensor, norm), start.values, jac=True,
                              method="L-BFGS-B", options={"maxiter": effort.iterations, "maxcor": _MEMORY,
                                                          "maxfun": 2 * effort.iterations + 10,
                                                          "ftol": _PATIENCE * effort.tolerance, "gtol": 0.0})
    return orthonormal(start.blocks(found.x)), found.status != _RAN_OUT


def orthonormal(blocks):
    """Blocks with the same sum whose bases are orthonormal; what that takes goes into the cores."""
    inputs, left = _qr(blocks.inputs)
    outputs, right = _qr(blocks.outputs)
    return Blocks(inputs, outputs, np.matmul(np.matmul(right[:, None], blocks.cores), left.transpose(0, 2, 1)[:, None]))


class _Vector:
    """Blocks as one vector and back, in units that make the residual about equally curved in all directions.

    Where bases are orthonormal its curvature is 1 for the cores, and for a column of a basis the squared norm of the
    slice of the core that stands on it: so columns are told in multiples of that norm. That takes a third of the
    iterations.
    """

    def __init__(self, blocks):
        self._units = _lengths(blocks.cores, (1, 2)), _lengths(blocks.cores, (1, 3)), np.float32(1)
        self._shapes = [array.shape for array in _arrays(blocks)]
        self._ends = np.cumsum([np.prod(shape) for shape in self._shapes])[:-1]
        self.values = self._joined(array * unit for array, unit in zip(_arrays(blocks), self._units))

    def blocks(self, values):
        """Blocks: what a vector stands for."""
        parts = zip(np.split(values, self._ends), self._shapes, self._units)
        return Blocks(*(part.reshape(shape).astype(np.float32) / unit for part, shape, unit in parts))

    def gradient(self, *arrays):
        """ndarray: derivatives by inputs, outputs and cores as those by the vector."""
        return self._joined(array / unit for array, unit in zip(arrays, self._units))

    @staticmethod
    def _joined(arrays):
        return np.concatenate([array.ravel() for array in arrays]).astype(np.float64)


def _loss(values, vector, tensor, norm):
    """(residual's share of the squared norm, its gradient)."""
    blocks = vector.blocks(values)
    count, _, inner = blocks.inputs.shape
    places, outputs, channels = tensor.shape
    bases, kernels = blocks.side_by_side()
    residual = np.matmul(kernels, bases.T)
    residual -= tensor
    inputs = residual.reshape(-1, channels).T @ kernels.reshape(-1, count * inner)
    # By block: (R, P, N, s).
    reduced = np.ascontiguousarray(on_inputs(residual, bases).reshape(places, outputs, count, inner).transpose(
        2, 0, 1, 3))
    by_outputs = np.matmul(reduced, blocks.cores.transpose(0, 1, 3, 2)).sum(axis=1)
    by_cores = np.matmul(blocks.outputs.transpose(0, 2, 1)[:, None], reduced)
    by_inputs = inputs.reshape(channels, count, inner).transpose(1, 0, 2)
    return squared_norm(residual) / norm, vector.gradient(by_inputs, by_outputs, by_cores) * (2 / norm)


def _arrays(blocks):
    return blocks.inputs, blocks.outputs, blocks.cores


def _lengths(cores, axes):
    """ndarray of shape (R, 1, n): norms of slices of the cores, none so small that dividing by it would harm."""
    lengths = np.sqrt(np.square(cores).sum(axis=axes))[:, None]
    return np.maximum(lengths, _LEAST * (lengths.max() or 1))


def _qr(bases):
    pairs = [np.linalg.qr(basis) for basis in bases]
    return np.array([q for q, _ in pairs]), np.array([r for _, r in pairs])

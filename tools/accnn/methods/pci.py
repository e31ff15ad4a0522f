"""Principal Component Iteration: a kernel as a sum of Tucker-2 blocks (Wang and Cheng 2016, algorithm 1).

T ~ sum_r G_r x_1 A_r x_2 B_r, their eq. (2). Tensors are (P, N, C), as in ``hooi.py``.
"""
from dataclasses import dataclass

import numpy as np

from accnn.methods.hooi import by_inputs, by_outputs, leading, led, on_inputs, outputs_basis, squared_norm


@dataclass
class Blocks:
    """The R blocks, all of one size; bases are orthonormal unless said otherwise.

    Attributes
    ----------
    inputs : ndarray of shape (R, C, s)
        The paper's A.
    outputs : ndarray of shape (R, N, t)
        Its B.
    cores : ndarray of shape (R, P, t, s)
        Its G.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    cores: np.ndarray

    @classmethod
    def empty(cls, tensor, rank):
        """Blocks of zeros for `tensor` (P, N, C) at `rank` (S', T', R)."""
        places, outputs, channels = tensor.shape
        inner, outer, count = rank[0] // rank[2], rank[1] // rank[2], rank[2]
        return cls(*(np.zeros(shape, np.float32) for shape in (
            (count, channels, inner), (count, outputs, outer), (count, places, outer, inner))))

    def side_by_side(self):
        """(A, F) of shapes (C, S') and (P, N, S'): all inputs' bases, and the kernels from them to the outputs.

        ``F @ A.T`` is the sum of all blocks.
        """
        places, (count, channels, inner) = self.cores.shape[1], self.inputs.shape
        kernels = np.matmul(self.outputs[:, None], self.cores).transpose(1, 2, 0, 3)
        return (self.inputs.transpose(1, 0, 2).reshape(channels, -1),
                np.ascontiguousarray(kernels).reshape(places, -1, count * inner))

    def residual(self, tensor):
        """ndarray of shape (P, N, C): what of `tensor` the blocks leave."""
        bases, kernels = self.side_by_side()
        return tensor - np.matmul(kernels, bases.T)


class PrincipalComponentIteration:
    """The iteration on one kernel at one rank.

    Parameters
    ----------
    tensor : ndarray of shape (P, N, C)
    rank : tuple of int
        (S', T', R): totals, R divides both.
    starts : sequence of ndarray of shape (N, t)
        Orthonormal: of every block the outputs' basis that its first HOOI starts with.

    Attributes
    ----------
    blocks : Blocks
    residual : ndarray of shape (P, N, C)
        Of all blocks; never computed anew: a block that changes adds its old term and takes off its new one, which
        as one product has inner dimension 2 s.

    Notes
    -----
    The paper's HOOI on the residual of all other blocks is here one step, started with the block's last bases, and
    each half of it takes a basis towards the eigenvectors instead of computing them: a block that were solved to the
    end would have to be solved again in the next sweep. Neither half can make the residual larger, so a sweep never
    does.
    """

    _FIRST_STEPS = 2  # of HOOI, in the first sweep: what starts with an arbitrary basis

    def __init__(self, tensor, rank, starts):
        self.blocks, self.residual = Blocks.empty(tensor, rank), tensor.copy()
        self._starts = starts

    def sweep(self):
        """Improve every block in turn; return the squared norm of the residual."""
        for block in range(len(self.blocks.cores)):
            self._improve(block)
        self._starts = None
        return squared_norm(self.residual)

    def _improve(self, r):
        """HOOI on what all other blocks leave, which is the residual + B_r G_r A_r^T at every place."""
        blocks = self.blocks
        first = self._starts is not None
        old_inputs, old_core = blocks.inputs[r].copy(), blocks.cores[r].copy()
        old_outputs, outputs = blocks.outputs[r].copy(), self._starts[r] if first else blocks.outputs[r]
        for _ in range(self._FIRST_STEPS if first else 1):
            reduced = np.matmul(outputs.T, self.residual)
            if not first:
                reduced += np.matmul(np.matmul(outputs.T @ old_outputs, old_core), old_inputs.T)
            inputs = self._basis(by_inputs(reduced), old_inputs, first)
            reduced = on_inputs(self.residual, inputs)
            if not first:
                reduced += np.matmul(old_outputs, np.matmul(old_core, old_inputs.T @ inputs))
            outputs = self._basis(by_outputs(reduced), old_outputs, first)
        core = np.matmul(outputs.T, reduced)
        blocks.inputs[r], blocks.outputs[r], blocks.cores[r] = inputs, outputs, core
        self._replace(np.matmul(outputs, core), inputs, None if first else np.matmul(old_outputs, old_core), old_inputs)

    @staticmethod
    def _basis(unfolded, old, first):
        return leading(unfolded, old.shape[1]) if first else led(unfolded, old)

    def _replace(self, kernel, inputs, old_kernel, old_inputs):
        """Take kernel inputs^T off the residual and put the old one back: place by place, which stays in the cache."""
        if old_kernel is not None:
            kernel = np.concatenate([kernel, -old_kernel], axis=2)
            inputs = np.concatenate([inputs, old_inputs], axis=1)
        for place, part in zip(self.residual, kernel):
            place -= part @ inputs.T


def starts(tensor, rank, rng=None):
    """The bases that the blocks' first iterations start with: slices of HOSVD's, or random ones.

    Parameters
    ----------
    tensor : ndarray of shape (P, N, C)
    rank : tuple of int
    rng : RandomState, optional

    Returns
    -------
    list of ndarray of shape (N, t)
    """
    outer = rank[1] // rank[2]
    if rng is None:
        basis = outputs_basis(tensor, rank[1])
        return [basis[:, r * outer:(r + 1) * outer] for r in range(rank[2])]
    return [np.linalg.qr(rng.standard_normal((tensor.shape[1], outer)))[0].astype(np.float32) for _ in range(rank[2])]

"""Tucker-2 of kernels with thousands of outputs, such as a fully connected layer's, without their eigenproblem."""
import numpy as np

from accnn.methods import hooi
from accnn.methods.tucker import TuckerDecomposition

_GAIN = 1e-3  # of fitness: iterations that bring less are not worth their 10 seconds on fc6 of VGG-16
_BLOCK = 2  # times the vectors wanted that the subspace iteration carries


class ManyOutputs(TuckerDecomposition):
    """Higher-order orthogonal iteration that improves its basis of the outputs by steps of subspace iteration.

    Each step costs some products of the unfolded kernel with twice as many vectors as the basis has, instead of all
    eigenvectors of an N x N matrix. The other vectors let it converge soon; it starts with random ones, and with the
    basis of the inputs that truncated HOSVD has. Where the basis is to be more than a quarter of the outputs, nothing
    would be saved, and the eigenproblem is solved.

    Parameters
    ----------
    weight : ndarray of shape (N, C, kh, kw)
    effort : Effort
        Its tolerance counts where it is coarser than `_GAIN`.

    References
    ----------
    Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm 4.4.
    """

    def _iterated(self, rank):
        inputs = hooi.eigenvectors(sum(place.T @ place for place in self._tensor), rank[0])
        block, kept, steps, tolerance = None, 0.0, 0, max(self._effort.tolerance, _GAIN)
        while steps < self._effort.iterations:
            steps += 1
            reduced = hooi.on_inputs(self._tensor, inputs)
            block = self._block(np.ascontiguousarray(hooi.by_outputs(reduced)), rank[1], block)
            outputs = np.ascontiguousarray(block[:, :rank[1]])
            # The inputs' step comes last, so that a core that is taken is the best for both bases.
            rows = np.matmul(outputs.T, self._tensor)
            inputs = hooi.leading(hooi.by_inputs(rows), rank[0])
            core = np.matmul(rows, inputs)
            before, kept = kept, min(hooi.squared_norm(core) / self._norm, 1.0) if self._norm else 1.0
            if np.sqrt(1 - before) - np.sqrt(1 - kept) < tolerance:
                break
        return inputs, outputs, core, steps

    def _block(self, unfolded, count, block):
        """ndarray of shape (N, m): orthonormal, its first `count` columns near the leading singular vectors."""
        size = _BLOCK * count
        if 2 * size > len(unfolded):
            return hooi.leading(unfolded, count)
        if block is None:
            rng = np.random.RandomState(self._effort.seed)
            block = _towards(unfolded, rng.standard_normal((len(unfolded), size)).astype(np.float32))
        block = _towards(unfolded, block)
        image = block.T @ unfolded
        return block @ hooi.eigenvectors(image @ image.T, size)


def _towards(unfolded, block):
    """A step of subspace iteration."""
    return np.linalg.qr(unfolded @ (unfolded.T @ block))[0]

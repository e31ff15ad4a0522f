"""Kernels unfolded to matrices, one for every group, and taken apart by their singular values."""
from accnn.methods.base import Decomposition
from accnn.methods.evbmf import estimated_rank
from accnn.methods.svd import BalancedSVD, common_values


class UnfoldedDecomposition(Decomposition):
    """The singular values of all groups, and their factors at any rank; a subclass folds these to weights.

    Parameters
    ----------
    weight : ndarray of shape (N, C/groups, kh, kw)
        Not kept.
    part : SubConv
        The layer.
    unfolded : callable
        ``unfolded(weight, part)`` yields the kernel of every group as a matrix.
    """

    def __init__(self, weight, part, unfolded):
        self._part, self._unfolded = part, unfolded
        self._svds = [BalancedSVD(matrix) for matrix in unfolded(weight, part)]
        self.singular_values = common_values(self._svds)

    def _pairs(self, weight, rank):
        """list of (ndarray, ndarray): of every group the best factors at `rank`, of shapes (m, rank) and (rank, n)."""
        return [svd.factors(matrix, rank) for svd, matrix in zip(self._svds, self._unfolded(weight, self._part))]

    def estimated_rank(self):
        """int: that of the unfolded kernel, of the group that needs most."""
        return max(estimated_rank(svd.singular_values, svd.shape) for svd in self._svds)

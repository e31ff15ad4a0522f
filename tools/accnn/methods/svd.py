"""The singular value decomposition both methods of the original stand on, once a matrix."""
import contextlib

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from accnn.core.threads import side_by_side

_AT_A_TIME = 4096  # columns
LARGE = 1000  # of the smaller side: from here on a basis takes seconds
_stores = []


@contextlib.contextmanager
def bases_kept(store):
    """Context in which matrices with :data:`LARGE` sides take their bases from where earlier runs left them.

    Parameters
    ----------
    store : object or None
        ``read(matrix)`` returns singular values and basis, or None where it knows them not; ``write(matrix, values,
        basis)`` keeps them. None: nothing is kept.
    """
    _stores.append(store)
    try:
        yield
    finally:
        _stores.pop()


class BalancedSVD:
    """Best rank-K factors of a matrix, the square roots of the singular values on both sides.

    Parameters
    ----------
    matrix : ndarray of shape (m, n)
        Not kept.

    Attributes
    ----------
    singular_values : ndarray of shape (min(m, n),)
        Largest first, float64.
    shape : (int, int)
        The matrix's.

    Notes
    -----
    Computed from the eigenvectors of the smaller Gram matrix in float64, which takes a third of the time of an SVD
    in float32. Projecting onto orthonormal eigenvectors loses nothing: ``A V V^T`` has the Eckart-Young error whatever
    the accuracy of small singular values, and those are off by about the square root of float64's epsilon times the
    largest one, less than the weights' own rounding.

    The Gram matrix is made tridiagonal once, which tells all singular values. Eigenvectors are computed where they are
    asked for, and no more than that: rank rules ask for values only, and to find all vectors of a fully connected
    layer takes longer than all else. Within :func:`bases_kept` all are found, once and for every later rank.
    """

    _basis = None

    def __init__(self, matrix):
        self._wide, self.shape = matrix.shape[0] <= matrix.shape[1], matrix.shape
        side = matrix if self._wide else matrix.T
        # Scaled, because squares of float64 weights could overflow.
        self._scale = float(np.abs(matrix).max()) or 1.0
        self._store = _stores[-1] if _stores and len(side) >= LARGE else None
        known = self._store and self._store.read(matrix)
        if known:
            self.singular_values, self._basis = known
        else:
            self._tridiagonal = _Tridiagonal(sum(block @ block.T for block in _blocks(side, self._scale)))
            self.singular_values = self._scale * np.sqrt(np.maximum(self._tridiagonal.values()[::-1], 0))
        self._vectors = np.zeros((len(side), 0), np.float32)

    def factors(self, matrix, rank):
        """Return (left, right) of shapes (m, rank) and (rank, n), their product the best approximation of `matrix`."""
        # Just as many, for where values are equal the vectors depend on how many are asked for; the last ones are kept.
        rank = min(rank, len(self._vectors))
        if rank != self._vectors.shape[1]:
            self._vectors = self._leading(rank) if self._store is None else self._every(matrix)[:, :rank]
        side = matrix if self._wide else matrix.T
        kind = np.float32 if matrix.dtype == np.float32 and len(side) >= LARGE else np.float64  # half the time
        basis = self._vectors.astype(kind)
        projected = np.concatenate(side_by_side(
            lambda columns: basis.T @ _scaled(side[:, columns], self._scale, kind), _columns(side)), axis=1)
        # Lengths, not singular_values: where a value is tiny the length is what balances the two sides.
        root = np.sqrt(np.maximum(np.linalg.norm(projected, axis=1), np.finfo(np.float32).tiny))
        half = np.sqrt(self._scale)
        left, right = basis * (root * half), projected / root[:, None] * half
        return (left, right) if self._wide else (right.T, left.T)

    def _leading(self, count):
        # float32 halves what a whole network's decompositions take; its rounding is that of the weights themselves.
        return self._tridiagonal.vectors(count)[:, ::-1].astype(np.float32)

    def _every(self, matrix):
        """ndarray: the whole basis, as it was kept, or found now and kept."""
        if self._basis is None:
            self._basis = self._leading(len(self._vectors))
            self._store.write(matrix, self.singular_values, self._basis)
        return self._basis


class _Tridiagonal:
    """A symmetric matrix as ``Q T Q^T`` with T tridiagonal; the matrix given is used up.

    Q is the product of Householder reflections, of which each column below the diagonal holds one (LAPACK's ``sytrd``).
    """

    def __init__(self, matrix):
        if len(matrix) < 2:
            self._diagonal, self._beside, self._reflections = np.diagonal(matrix).copy(), np.zeros(0), None
            return
        work, _ = lapack.dsytrd_lwork(len(matrix), lower=1)
        below, self._diagonal, self._beside, tau, _ = lapack.dsytrd(matrix.T, lower=1, lwork=int(work),
                                                                    overwrite_a=1)  # .T: in the order of Fortran
        self._reflections = below[1:, :-1].astype(np.float32), tau

    def values(self):
        """ndarray: all eigenvalues, smallest first."""
        return linalg.eigh_tridiagonal(self._diagonal, self._beside, eigvals_only=True, check_finite=False)

    def vectors(self, count):
        """ndarray of shape (n, count): eigenvectors of the largest eigenvalues, of these the smallest first."""
        size = len(self._diagonal)
        if count == 0:
            return np.zeros((size, 0))
        if self._reflections is None:  # one number, which LAPACK's wrapper in SciPy 1.10 does not take
            return np.ones((size, count))
        # SciPy would take LAPACK's stein here, which makes neighbours orthogonal one by one: seven times as long.
        _, found = linalg.eigh_tridiagonal(self._diagonal, self._beside, select="i", check_finite=False,
                                           select_range=(size - count, size - 1), lapack_driver="stemr")
        reflections, tau = self._reflections
        rows = np.asfortranarray(found[1:])
        reflections = np.asfortranarray(reflections, np.float64)
        _, work, _ = lapack.dormqr("L", "N", reflections, tau, rows, -1)
        found[1:], _, _ = lapack.dormqr("L", "N", reflections, tau, rows, int(work[0]), overwrite_c=1)
        return found


def common_values(svds):
    """Singular values of several groups as one: each keeps its K largest, so the K-th step of all counts as one.

    Parameters
    ----------
    svds : list of BalancedSVD

    Returns
    -------
    ndarray of shape (r,)
        The norm over the groups.
    """
    spectra = np.array([svd.singular_values for svd in svds])
    largest = spectra.max() or 1.0
    return largest * np.linalg.norm(spectra / largest, axis=0)


def _blocks(matrix, scale):
    """Yield `matrix` / `scale` as float64, some columns at a time: VGG-16's fc6 would take 0.8 GB in one piece."""
    for columns in _columns(matrix):
        yield _scaled(matrix[:, columns], scale, np.float64)


def _columns(matrix):
    """list of slice: of some columns each."""
    return [slice(start, start + _AT_A_TIME) for start in range(0, matrix.shape[1], _AT_A_TIME)] or [slice(0)]


def _scaled(block, scale, kind):
    return block.astype(kind) / kind(scale)

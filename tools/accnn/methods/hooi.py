"""Higher-order orthogonal iteration on the channel modes of a kernel, which tucker and btd stand on.

A kernel (N, C, kh, kw) is handled as (P, N, C), P = kh kw places of N x C matrices: so the products with a factor of
either channel mode are large matrix products on memory as it lies. These are made in float32, whose rounding is that
of the weights; what is small (Gram matrices, their eigenvectors, norms) in float64.
"""
import numpy as np
from scipy import linalg

_FEW = 0.25  # of all eigenvectors: up to here LAPACK's search for single ones is quicker than that for all


def places_first(weight):
    """Return (tensor of shape (P, N, C), scale) with ``weight = scale * tensor``, float32, no value above 1.

    Scaled, because squares of float64 weights could overflow.
    """
    scale = float(np.abs(weight).max()) or 1.0
    tensor = (weight / scale).astype(np.float32).reshape(weight.shape[:2] + (-1,))
    return np.ascontiguousarray(tensor.transpose(2, 0, 1)), scale


def squared_norm(array):
    """float: the sum of squares, added up in float64."""
    return float(np.einsum("pij,pij->", array, array, dtype=np.float64))


def eigenvectors(gram, count):
    """ndarray of float32, shape (n, count): the eigenvectors of the largest eigenvalues, largest first."""
    n = len(gram)
    gram = np.asarray(gram, np.float64)
    if count <= _FEW * n:
        vectors = linalg.eigh(gram, subset_by_index=(n - count, n - 1), check_finite=False)[1]
    else:
        vectors = linalg.eigh(gram, driver="evd", check_finite=False)[1][:, n - count:]
    return vectors[:, ::-1].astype(np.float32)


def leading(matrix, count):
    """ndarray of float32, shape (m, count): orthonormal, its first columns the leading left singular vectors."""
    rows, columns = matrix.shape
    if rows <= columns or count > columns:
        return eigenvectors(matrix @ matrix.T, count)
    image = matrix.astype(np.float64) @ eigenvectors(matrix.T @ matrix, count)
    return np.linalg.qr(image)[0].astype(np.float32)


def led(matrix, basis):
    """ndarray of shape (m, k): an orthonormal basis (m, k) taken towards the leading left singular vectors.

    Two steps of orthogonal iteration, neither of which can lose any of the matrix's squared norm on the basis.
    """
    for _ in range(2):
        basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    return basis


def outputs_basis(tensor, count=None):
    """ndarray of shape (N, count): the leading left singular vectors of the unfolding by outputs, HOSVD's start."""
    return eigenvectors(sum(place @ place.T for place in tensor), count or tensor.shape[1])


def unfolded_spectrum(tensor):
    """(singular values, shape) of `tensor` (P, N, C) as a matrix of N rows and C P columns."""
    places, rows, columns = tensor.shape
    values = linalg.eigvalsh(sum((place @ place.T).astype(np.float64) for place in tensor))
    return np.sqrt(np.maximum(values[::-1], 0))[:min(rows, columns * places)], (rows, columns * places)


def by_inputs(reduced):
    """ndarray of shape (C, P t): unfolding of `reduced` (P, t, C); its leading vectors are the best inputs' basis."""
    return reduced.reshape(-1, reduced.shape[2]).T


def by_outputs(reduced):
    """ndarray of shape (N, P s): unfolding of `reduced` (P, N, s); its leading vectors are the best outputs' basis."""
    return reduced.transpose(1, 0, 2).reshape(reduced.shape[1], -1)


def on_inputs(tensor, inputs):
    """ndarray of shape (P, N, s): `tensor` (P, N, C) on a basis (C, s) of its inputs."""
    places, outputs, channels = tensor.shape
    return (tensor.reshape(-1, channels) @ inputs).reshape(places, outputs, -1)


def hooi(tensor, rank, start, effort):
    """Tucker-2 of the channel modes by alternating the bases, each step the best one for the other basis.

    Parameters
    ----------
    tensor : ndarray of shape (P, N, C)
    rank : (int, int)
        Of inputs and outputs, (s, t).
    start : ndarray of shape (N, t)
        Orthonormal.
    effort : Effort
        Its iterations and tolerance.

    Returns
    -------
    inputs, outputs, core : ndarray of shape (C, s), (N, t) and (P, t, s)
        Both bases are orthonormal.
    steps : int
        Iterations that were made.

    Notes
    -----
    Kim et al., ICLR 2016, section 3.1; De Lathauwer, De Moor, Vandewalle 2000, where it is called HOOI.
    """
    norm, kept, outputs = squared_norm(tensor) or 1.0, 0.0, start
    steps = 0
    while steps < effort.iterations:
        steps += 1
        inputs = leading(by_inputs(np.matmul(outputs.T, tensor)), rank[0])
        reduced = on_inputs(tensor, inputs)
        outputs = leading(by_outputs(reduced), rank[1])
        core = np.matmul(outputs.T, reduced)
        before, kept = kept, min(squared_norm(core) / norm, 1.0)
        # The fitness is 1 - sqrt(1 - kept).
        if np.sqrt(1 - before) - np.sqrt(1 - kept) < effort.tolerance:
            break
    return inputs, outputs, core, steps

"""Reduced rank regression: the closed form of Zhang et al., section 3.2, for methods that keep d' dimensions."""
import numpy as np
from scipy import linalg

from accnn.reconstruction.quadratic import solve_positive


def projection(regression, gram, rank, importance):
    """Split the best map of a given rank into the two factors of ``channel``.

    Solves eq. (8), ``min ||Z - M Y||`` under ``rank(M) <= d'``: with M^ the regression without the constraint and U the
    first d' left singular vectors of M^ in the metric of Y (its generalised SVD), M = U U^T M^.

    Parameters
    ----------
    regression : ndarray of shape (N, m)
        M^, the coefficients without the constraint.
    gram : ndarray of shape (m, m)
        Y Y^T, or the covariance.
    rank : int
        d'.
    importance : ndarray of shape (N,)
        Weight of every output's squared error, positive.

    Returns
    -------
    out : ndarray of shape (N, d')
        P.
    back : ndarray of shape (d', m)
        Q^T: M = P Q^T.
    """
    roots = np.sqrt(importance)
    answers = roots[:, None] * regression
    values, vectors = linalg.eigh(answers @ gram @ answers.T, check_finite=False)
    basis = vectors[:, ::-1][:, :rank]
    # Half of the size on either side, so that fine-tuning finds gradients of the same scale.
    size = np.sqrt(np.sqrt(np.maximum(values[::-1][:rank], 0)))
    size = np.where(size > 1e-6 * (size[:1].max(initial=0) or 1), size, 1.0)
    back = (basis.T @ answers) / size[:, None]
    if back.shape[0] < rank:  # more dimensions than outputs, which only a person asks for
        raise ValueError("rank %d of %d outputs" % (rank, len(regression)))
    return basis * size / roots[:, None], back


def regressed(cross, gram):
    """M^ = Z Y^T (Y Y^T)^-1 of shape (N, m)."""
    return solve_positive(gram, cross.T).T

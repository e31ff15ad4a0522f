"""The nonlinear solution of Zhang et al., section 3.2: auxiliary variables and the regression on them, in turn."""
import numpy as np

from accnn.reconstruction.nonlinear import auxiliary
from accnn.reconstruction.quadratic import factored, solved

_PENALTIES = (0.01, 25), (1.0, 25)  # lambda, and how many iterations with it


def relaxed(features, responses, start, behind, ridge, truncate=None):
    """Fit ``L @ f + b`` to responses behind a nonlinearity, eq. (6).

    Alternates between the auxiliary variables z (eq. 9) and the regression of z on the features (eq. 7).

    Parameters
    ----------
    features : ndarray of float32, shape (n, m)
        f, one row a sample.
    responses : ndarray of float32, shape (n, N)
        y, the true ones before BatchNorm and nonlinearity.
    start : (ndarray of shape (N, m), ndarray of shape (N,))
        L and b of the linear solution; the ridge pulls towards this L.
    behind : Behind
    ridge : float
        A share of the mean variance of the features.
    truncate : callable, optional
        ``truncate(L, gram)`` returns the best L of the wanted rank.

    Returns
    -------
    (ndarray of shape (N, m), ndarray of shape (N,))
    """
    scale, shift = behind.scale.astype(np.float32), behind.shift.astype(np.float32)
    live = np.abs(scale) > 1e-4 * np.abs(scale).max(initial=0)  # of the others nothing can be learnt behind BatchNorm
    first, (slope, bias) = start[0], start
    true = responses * scale + shift
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean.astype(np.float32)
    gram = (centred.T @ centred).astype(np.float64) / len(features)
    ridge = ridge * np.trace(gram) / len(gram)
    gram[np.diag_indices_from(gram)] += ridge
    factor, activation = factored(gram), behind.activation
    for penalty, iterations in _PENALTIES:
        for _ in range(iterations):
            predicted = (features @ slope.T.astype(np.float32) + bias.astype(np.float32)) * scale + shift
            z = auxiliary(true, predicted, penalty, activation)
            goal = np.where(live, (z - shift) / np.where(live, scale, 1), responses)
            centre = goal.mean(0, dtype=np.float64)
            cross = (goal - centre.astype(np.float32)).T @ centred / len(features) + ridge * first
            slope = solved(factor, cross.T).T
            if truncate:
                slope = truncate(slope, gram)
            bias = centre - slope @ mean
    return slope, bias


def activated_error(features, responses, slope, bias, behind):
    """Mean squared error behind BatchNorm and nonlinearity, as a share of the variance there."""
    activation = behind.activation

    def passed(y):
        return activation(y * behind.scale + behind.shift).astype(np.float64)

    true = passed(responses)
    missed = true - passed(features @ slope.T + bias)
    return float(np.square(missed).sum() / max(np.square(true - true.mean(0)).sum(), np.finfo(float).tiny))

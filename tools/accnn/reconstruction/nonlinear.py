"""The auxiliary variables of the nonlinear reconstruction: the subproblem that is solved element by element.

References
----------
X. Zhang, J. Zou, K. He, J. Sun, "Accelerating very deep convolutional networks for classification and detection",
section 3.2, equations 9 to 11.
"""
import numpy as np

from accnn.reconstruction import activations
from accnn.reconstruction.quadratic import factored, solved

_PENALTIES = (0.01, 25), (1.0, 25)  # lambda, and how many iterations with it


def relaxed(features, responses, start, post_ops, ridge, truncate=None):
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
    post_ops : PostOps
    ridge : float
        A share of the mean variance of the features.
    truncate : callable, optional
        ``truncate(L, gram)`` returns the best L of the wanted rank.

    Returns
    -------
    (ndarray of shape (N, m), ndarray of shape (N,))
    """
    scale, shift = post_ops.scale.astype(np.float32), post_ops.shift.astype(np.float32)
    live = np.abs(scale) > 1e-4 * np.abs(scale).max(initial=0)  # of the others nothing can be learnt behind BatchNorm
    first, (slope, bias) = start[0], start
    true = responses * scale + shift
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean.astype(np.float32)
    gram = (centred.T @ centred).astype(np.float64) / len(features)
    ridge = ridge * np.trace(gram) / len(gram)
    gram[np.diag_indices_from(gram)] += ridge
    factor, activation = factored(gram), activations.get(post_ops.activation)
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


def activated_error(features, responses, slope, bias, post_ops):
    """Mean squared error behind BatchNorm and nonlinearity, as a share of the variance there."""
    activation = activations.get(post_ops.activation)

    def passed(y):
        return activation(y * post_ops.scale + post_ops.shift).astype(np.float64)

    true = passed(responses)
    missed = true - passed(features @ slope.T + bias)
    return float(np.square(missed).sum() / max(np.square(true - true.mean(0)).sum(), np.finfo(float).tiny))


_CHUNK = 1 << 14  # elements at a time: what is computed of them stays in the cache, and memory stays bounded
_POINTS = 16  # of the grid that finds the right valley of the objective
_HALVINGS = 8  # of the step from there: the place is known to 1/4000 of the interval


def auxiliary(y, predicted, penalty, activation):
    """Return the z that is close to a prediction and whose activation is close to the true one.

    .. math:: z = argmin_z (r(y) - r(z))^2 + penalty (z - predicted)^2

    Exact where r is piecewise linear (ReLU, leaky, clip); else searched, and never worse than z = predicted.

    Parameters
    ----------
    y : ndarray of shape (n, N)
        What the true network has before the activation r.
    predicted : ndarray of shape (n, N)
        What the approximated one has there.
    penalty : float
        Positive; lambda in the paper.
    activation : Activation

    Returns
    -------
    ndarray of shape (n, N)
        float32 where both arrays are, else float64.
    """
    dtype = np.result_type(y, predicted, np.float32)
    solve = _searched if activation.pieces is None else _piecewise
    z = np.empty(y.shape, dtype)
    rows = max(_CHUNK // max(y.shape[1], 1), 1)
    for start in range(0, len(y), rows):
        part = slice(start, start + rows)
        z[part] = solve(y[part].astype(dtype, copy=False), predicted[part].astype(dtype, copy=False), penalty,
                        activation)
    return z


def objective(y, predicted, penalty, activation, z):
    """Return what `auxiliary` minimises (eq. 9), for every element: ndarray of shape (n, N)."""
    return _objective(activation(y) - activation(z), z - predicted, penalty)


def _objective(missed, moved, penalty):
    return missed * missed + penalty * (moved * moved)


def _piecewise(y, predicted, penalty, activation):
    """The best of the minima of all pieces, each the minimum of a parabola or the end of the piece next to it.

    On a piece ``r(z) = slope * z + intercept`` the parabola has its minimum at

    .. math:: z = p + slope (r(y) - slope p - intercept) / (penalty + slope^2)

    which for the two pieces of the ReLU, with its bounds at 0, are equations 10 and 11.
    """
    target = activation(y)
    best = lowest = None
    for piece in activation.pieces:
        low, high, slope, intercept = (np.asarray(number, y.dtype) for number in
                                       (piece.low, piece.high, piece.slope, piece.intercept))
        goal = target - intercept
        z = np.clip(predicted + (slope / (penalty + slope * slope)) * (goal - slope * predicted), low, high)
        value = _objective(goal - slope * z, z - predicted, penalty)
        if best is None:
            best, lowest = z, value
        else:
            _keep_better(best, lowest, z, value)
    return best


def _searched(y, predicted, penalty, activation):
    """The best point of a grid, then of its neighbours at steps that halve.

    The grid is even in asinh(z): activations bend within a few units of 0, and valleys far from there are wide.
    """
    target = activation(y)
    missed = target - activation(predicted)
    best, lowest = predicted.copy(), missed * missed

    def take(z):
        _keep_better(best, lowest, z, _objective(target - activation(z), z - predicted, penalty))

    first, last = map(np.arcsinh, _interval(y, predicted, missed, penalty, activation.monotone))
    gap = (last - first) / _POINTS
    for point in range(_POINTS + 1):
        take(np.sinh(first + point * gap))
    gap = np.abs(gap)
    # From z to the grid's next point away from 0; the one towards 0 is nearer.
    step = np.sqrt(1 + best * best) * np.sinh(gap) + np.abs(best) * (np.cosh(gap) - 1)
    for _ in range(_HALVINGS):
        step *= 0.5
        take(best + step)
        take(best - step)
    return best


def _interval(y, predicted, missed, penalty, monotone):
    """The two ends between which the minimum lies; `missed` is ``r(y) - r(predicted)``.

    With any r it is no further from `predicted` than `y` is, nor than ``|missed| / sqrt(penalty)``, since at these
    distances the second term alone is the whole objective of ``z = y`` and of ``z = predicted``. With a monotone r it
    lies between `predicted` and `y`, since beyond either both terms only grow.
    """
    reach = np.minimum(np.abs(y - predicted), np.abs(missed) / np.sqrt(penalty).astype(y.dtype))
    if monotone:
        return predicted, predicted + np.copysign(reach, y - predicted)
    return predicted - reach, predicted + reach


def _keep_better(best, lowest, z, value):
    """Write the elements of `z` whose `value` is lower into `best` and `lowest`."""
    np.copyto(best, z, where=value < lowest)
    np.minimum(lowest, value, out=lowest)

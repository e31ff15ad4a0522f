"""How many singular values of a matrix are signal: empirical variational Bayes matrix factorisation, analytically."""
import numpy as np

_TAU = 2.5129  # the limit of Nakajima et al.'s eq. (24): tau below this times sqrt(alpha) is noise
_LEAST = 1e-12  # noise as a share of the matrix's mean square: less is the rounding of weights
_GRID = 64  # noise levels looked at before the best of them is refined: the free energy has several minima


def estimated_rank(singular_values, shape):
    """Return the rank of what a matrix holds besides noise of equal variance everywhere, at least 1.

    Parameters
    ----------
    singular_values : ndarray of shape (min(shape),)
        Largest first.
    shape : (int, int)

    Returns
    -------
    int

    References
    ----------
    Nakajima, Sugiyama, Babacan, Tomioka, "Global analytic solution of fully-observed variational Bayesian matrix
    factorization", JMLR 14, 2013: theorem 2 (the threshold) and section 4.2 (the noise variance).
    """
    short, long = sorted(shape)
    if not singular_values[0]:
        return 1
    squares = np.square(np.asarray(singular_values, np.float64) / singular_values[0]) / long
    alpha = short / long
    threshold = (1 + _TAU * np.sqrt(alpha)) * (1 + np.sqrt(alpha) / _TAU)
    noise = _noise(squares, alpha, threshold)
    return max(int((squares > noise * threshold).sum()), 1)


def _noise(squares, alpha, threshold):
    """The variance of the noise that makes the free energy least; `squares` are of singular values, over M."""
    from scipy import optimize  # takes 0.1 s to import, for which help and a mistyped option do not wait

    most = squares.mean()
    signals = max(int(np.ceil(len(squares) / (1 + alpha))) - 1, 0)
    rest = squares[min(signals, len(squares) - 1):]
    least = max(rest[0] / threshold, rest.mean(), _LEAST * most)
    if least >= most:
        return most
    grid = np.linspace(np.log(least), np.log(most), _GRID)
    best = int(np.argmin([_free_energy(level, squares, alpha, threshold) for level in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    return np.exp(optimize.minimize_scalar(_free_energy, bounds=around, method="bounded",
                                           args=(squares, alpha, threshold)).x)


def _free_energy(level, squares, alpha, threshold):
    """The free energy but for a constant, at the logarithm of a noise variance."""
    # Values of zero would be worth minus infinity at any level: floored, they weigh alike at all of them.
    values = np.maximum(squares, _LEAST * squares.max()) / np.exp(level)
    signal, noise = values[values > threshold], values[values <= threshold]
    shifted = signal - (1 + alpha)
    tau = (shifted + np.sqrt(np.square(shifted) - 4 * alpha)) / 2
    return float((noise - np.log(noise)).sum() + (signal - tau + np.log((tau + 1) / signal)
                                                  + alpha * np.log(tau / alpha + 1)).sum())

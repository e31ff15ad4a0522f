"""One layer's chain, fitted so that its responses are the true ones."""
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
from scipy import linalg

from accnn.graph.following import PostOps
from accnn.reconstruction.fitting import ChainFit, Target, as_matrix, flat_kernel, from_matrix, seen_by_last
from accnn.reconstruction.nonlinear import activated_error, relaxed
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


RIDGES = 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0  # shares of the mean variance
_WORSE = 1.01
_DIGITS = 1e-9  # of a mean's square: what variance is no more than rounding
_NOTHING = 1e-30  # a variance
SWEEPS = 2
WIDEST_PATCH = 6000  # values of a patch whose Gram matrix is kept, 0.3 GB; beyond it only the last part is solved for


@dataclass(frozen=True, eq=False)
class Task:
    """A layer and its chain: the whole, or one group of a grouped convolution.

    Attributes
    ----------
    kernel : ndarray of shape (N, D) or None
        The layer's own; what is fitted by features alone needs none.
    bias : ndarray of shape (N,)
    lifts : list of ndarray
        The parts of the chain at the start, see :func:`accnn.reconstruction.fitting.to_spatial_first`.
    post_ops : PostOps
    wide : list of ndarray, optional
        The parts before their responses are reduced, for methods that do this: the last has all N outputs.
    groups : tuple of int, optional
        Groups of its own that every part has; where the last one has more than 1, only its bias is solved for.
        Default: 1 each.
    """

    kernel: Optional[np.ndarray]
    bias: np.ndarray
    lifts: list
    post_ops: PostOps
    wide: Optional[list] = None
    groups: Optional[tuple] = None

    @property
    def sealed(self):
        """bool: whether the last part has groups of its own."""
        return self.groups is not None and self.groups[-1] > 1


@dataclass(frozen=True, eq=False)
class Fit:
    """A candidate for the chain.

    Attributes
    ----------
    lifts : list of ndarray
    bias : ndarray of shape (N,)
        Of the last part.
    error : float
        Mean squared error of the responses on the samples held aside, as a share of their variance.
    ridge : float
        What it was fitted with.
    """

    lifts: list
    bias: np.ndarray
    error: float
    ridge: float = 0.0


def fit_linear(task, evidence):
    """Fit a chain by linear least squares; what is best on the samples held aside counts.

    Parameters
    ----------
    task : Task
    evidence : CalibrationSplit

    Returns
    -------
    start : Fit
        The factors that need no images.
    best : Fit
        The same object where nothing is better.
    """
    features = seen_by_last(task.lifts)
    if not evidence.enough:
        start = as_it_is(task, features, evidence)
        return start, start
    train, held = evidence.moments()
    pull = features @ features.T, task.kernel @ features.T
    start, best = fit_last(task, train.seen_through(features), held.seen_through(features), pull,
                           np.trace(train.xx) / evidence.width)
    if not start.error > 0 or not np.trace(train.xx) > 0:
        return start, best  # nothing to gain, or nothing to learn from
    ridge = best.ridge or RIDGES[-1]
    for fit in _further(task, Target(train, task.kernel, ridge, task.post_ops.importance)):
        kernel = fit.kernel()
        bias = train.bias(kernel)
        best = better(best, Fit(list(fit.lifts), bias, mean_error(task, held, kernel, bias), ridge))
    return start, best


def as_it_is(task, features, evidence):
    """The Fit with the factors that need no images, which can be judged by any samples."""
    rows = as_matrix(task.lifts[-1])
    return Fit(task.lifts, task.bias, mean_error(task, evidence.moments(features)[0], rows, task.bias))


def fit_last(task, train, held, pull, variance):
    """The factors that need no images, and the best with the last part solved anew, over all ridges.

    `train` and `held` are moments of what the last part reads; a ridge adds its share of `variance`, times `pull`, to
    the matrix and the right side.
    """
    rows = as_matrix(task.lifts[-1])
    start = best = Fit(task.lifts, task.bias, mean_error(task, held, rows, task.bias))
    if not variance > 0:  # it reads the same everywhere: nothing to learn from
        return start, best
    best = better(best, _rebiased(task, train, held))
    for error, ridge, solution, bias in () if task.sealed else until_worse(
            _solved_with(ridge, task, train, held, pull, variance) for ridge in RIDGES):
        if error < best.error:
            best = Fit(task.lifts[:-1] + [from_matrix(solution, task.lifts[-1].shape)], bias, error, ridge)
    return start, best


def _solved_with(ridge, task, train, held, pull, variance):
    """(error, ridge, rows, bias) of the last part: see :func:`fit_last`."""
    gram, cross = (own + ridge * variance * pulled for own, pulled in zip((train.xx, train.yx), pull))
    solution = solve_positive(gram, cross.T).T
    bias = train.bias(solution)
    return mean_error(task, held, solution, bias), ridge, solution, bias


def until_worse(tried):
    """Yield what growing ridges give, tuples with an error in front, up to one clearly worse than the one before.

    Errors on samples held aside fall while a ridge keeps a fit from learning its own by heart, and then rise.
    """
    before = np.inf
    for one in tried:
        yield one
        if one[0] > _WORSE * before:
            break
        before = one[0]


def last_solved(task, train, ridge=1e-4):
    """The layer's kernel and bias, (N, D) and (N,), with the last part of its chain solved from moments."""
    features = seen_by_last(task.lifts)
    if task.sealed:
        rows = as_matrix(task.lifts[-1])
    else:
        seen, pull = train.seen_through(features), ridge * np.trace(train.xx) / len(train.xx)
        gram = seen.xx + pull * features @ features.T + 1e-12 * np.eye(len(features))
        rows = solve_positive(gram, (seen.yx + pull * task.kernel @ features.T).T).T
    kernel = rows @ features
    return kernel, train.bias(kernel)


def _rebiased(task, train, held):
    """The factors that need no images, with the best bias for them."""
    rows = as_matrix(task.lifts[-1])
    bias = train.bias(rows)
    return Fit(task.lifts, bias, mean_error(task, held, rows, bias))


def mean_error(task, held, rows, bias):
    """float: mean squared error of ``rows @ x + bias`` as a share of the variance, over the samples of `held`."""
    importance = task.post_ops.importance
    # Responses that hardly vary are known to float32's digits only.
    variance = importance @ held.yy + _DIGITS * (importance @ np.square(held.mean_y))
    return float(importance @ held.errors(rows, bias) / max(variance, _NOTHING))


def fit_nonlinear(task, start, linear, evidence):
    """Fit the last part, or the two that reduce the responses, behind BatchNorm and nonlinearity.

    Parameters
    ----------
    task : Task
    start, linear : Fit
        What :func:`fit_linear` returned.
    evidence : CalibrationSplit

    Returns
    -------
    start, linear, best : Fit
        With their errors behind the nonlinearity; `best` is one of the others where nothing is better.
    """
    solver = _Last(task, linear) if task.wide is None else _Reduced(task, linear)
    features, responses, train = evidence.features(solver.matrix), evidence.responses(), ~evidence.held
    ridge = linear.ridge or RIDGES[0]
    slope, bias = relaxed(features[train], responses[train], (solver.start, linear.bias), task.post_ops, ridge,
                          solver.truncate)
    relaxed_fit = Fit(solver.lifts(slope), bias, 0.0, ridge)
    start, linear, found = (replace(fit, error=_activated(evidence, fit, responses, task.post_ops))
                            for fit in (start, linear, relaxed_fit))
    return start, linear, better(better(start, linear), found)


def _activated(evidence, fit, responses, post_ops):
    seen = evidence.features(seen_by_last(fit.lifts))[evidence.held]
    return activated_error(seen, responses[evidence.held], as_matrix(fit.lifts[-1]), fit.bias, post_ops)


class _Last:
    """Solves for the last part alone."""

    truncate = None

    def __init__(self, task, linear):
        self._linear = linear
        self.matrix, self.start = seen_by_last(linear.lifts), as_matrix(linear.lifts[-1])

    def lifts(self, slope):
        return self._linear.lifts[:-1] + [from_matrix(slope, self._linear.lifts[-1].shape)]


class _Reduced:
    """Solves for the two parts that reduce the responses, as in the paper: L is M, eq. (8)."""

    def __init__(self, task, linear):
        self._task = task
        self.matrix = flat_kernel(task.wide)
        # What the linear solution makes of the wide chain's answers, as near as that goes.
        self.start = np.linalg.lstsq(self.matrix.T, flat_kernel(linear.lifts).T, rcond=1e-6)[0].T
        self._gram = None

    def truncate(self, slope, gram):
        self._gram = gram
        out, back = projected(self._task, slope, gram)
        return out @ back

    def lifts(self, slope):
        return _narrowed(self._task, slope, self._gram)


def _further(task, target):
    """Yield what may be better than solving for the last part: a closed form, then sweeps over all parts."""
    fit = ChainFit(task.lifts if task.wide is None else _reduced(task, target), target, task.groups)
    if task.wide is not None:
        yield fit
    if not task.sealed and len(fit.lifts) > 1 and fit.widest() <= WIDEST_PATCH:
        fit.solve_last()
        for _ in range(SWEEPS):
            fit.sweep()
            yield fit


def _reduced(task, target):
    """The parts by reduced rank regression on what the wide chain answers (Zhang et al., eq. 7 and 8)."""
    wide = flat_kernel(task.wide)
    gram = wide @ target.gram @ wide.T
    return _narrowed(task, regressed(target.cross @ wide.T, gram), gram)


def _narrowed(task, regression, gram):
    out, back = projected(task, regression, gram)
    return reduced_to(task, out, back)


def reduced_to(task, out, back):
    """list of ndarray: the parts of a chain whose wide responses are reduced by ``out @ back``."""
    return task.wide[:-1] + [np.matmul(back, task.wide[-1]), out[None, None]]


def projected(task, regression, gram):
    """See :func:`projection`, to the rank of a task's chain."""
    return projection(regression, gram, task.lifts[-1].shape[3], task.post_ops.importance)


def better(best, other):
    """Fit: the one with the smaller error."""
    return other if other.error < best.error else best

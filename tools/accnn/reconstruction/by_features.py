"""One layer's chain, fitted by moments of what its last part reads, or of what is reduced, alone."""
import numpy as np

from accnn.reconstruction.fitting import ChainFit, Target, as_matrix, flat_kernel, seen_by_last
from accnn.reconstruction.layer import (
    RIDGES,
    SWEEPS,
    Fit,
    as_it_is,
    better,
    fit_last,
    mean_error,
    projected,
    reduced_to,
    regressed,
)


def fit_by_features(task, evidence):
    """As :func:`accnn.reconstruction.layer.fit_linear`, without moments of whole patches.

    Parameters
    ----------
    task : Task
    evidence : CalibrationSplit or FeatureSplit

    Returns
    -------
    start, best : Fit
    """
    features = seen_by_last(task.lifts)
    if not evidence.enough:
        start = as_it_is(task, features, evidence)
        return start, start
    wide = task.wide and flat_kernel(task.wide)
    answered = None if wide is None else evidence.moments(wide)  # first, as they span what the last part reads
    train, held = evidence.moments(features)
    pull = np.eye(len(features)), as_matrix(task.lifts[-1])
    start, best = fit_last(task, train, held, pull, np.trace(train.xx) / len(features))
    if not start.error > 0:
        return start, best
    if answered is not None:
        return start, better(best, _reduced(task, *answered))
    larger = evidence.larger_than(task, features) if evidence.by_features else None
    return start, best if larger is None else _within(task, best, *larger)


def _within(task, best, larger, first, train, held):
    """Improve both parts of a chain, its first being kept a combination of a larger chain's.

    Parameters
    ----------
    task : Task
    best : Fit
    larger : list of ndarray
        The parts of the larger chain.
    first : ndarray of shape (r, R)
        What makes the chain's first part of the larger one's.
    train, held : Moments
        Of what the last part of the larger chain reads.
    """
    ridge, last = best.ridge or RIDGES[-1], larger[-1]
    # Channels first, as patches of a layer are; what the last part reads has them last.
    order = np.arange(len(train.xx)).reshape(-1, last.shape[3]).T.ravel()
    target = Target(train.taken(order), as_matrix(last)[:, order], ridge, task.post_ops.importance)
    fit = ChainFit([first[None, None], best.lifts[-1]], target)
    for _ in range(SWEEPS):
        fit.sweep()
        kernel = np.empty_like(target.cross)
        kernel[:, order] = fit.kernel()
        bias = train.bias(kernel)
        lifts = [np.matmul(fit.lifts[0], larger[0]), fit.lifts[1]]
        best = better(best, Fit(lifts, bias, mean_error(task, held, kernel, bias), ridge))
    return best


def _reduced(task, train, held):
    """The best reduction of what the wide chain answers, with the ridge that suits it before it is reduced."""
    pull = np.eye(len(train.xx)) * np.trace(train.xx) / len(train.xx)
    tried = []
    for ridge in RIDGES:
        gram = train.xx + ridge * pull
        regression = regressed(train.yx + ridge * pull, gram)
        tried.append((mean_error(task, held, regression, train.bias(regression)), ridge, regression, gram))
    _, ridge, regression, gram = min(tried, key=lambda one: one[:2])
    out, back = projected(task, regression, gram)
    slope = out @ back
    return Fit(reduced_to(task, out, back), train.bias(slope), mean_error(task, held, slope, train.bias(slope)), ridge)

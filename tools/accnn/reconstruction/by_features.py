"""One layer's chain, fitted by moments of what its last part reads, or of what is reduced, alone."""
import numpy as np

from accnn.reconstruction.fitting import as_matrix, flat_kernel, seen_by_last
from accnn.reconstruction.layer import (
    RIDGES,
    Fit,
    as_it_is,
    better,
    fit_last,
    mean_error,
    projected,
    reduced_to,
    regressed,
    until_worse,
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
    if answered is None or not start.error > 0:
        return start, best
    return start, better(best, _reduced(task, *answered))


def _regressed_with(ridge, task, train, held, pull):
    """(error, ridge, coefficients, Gram matrix) of the regression on what the wide chain answers."""
    gram = train.xx + ridge * pull
    regression = regressed(train.yx + ridge * pull, gram)
    return mean_error(task, held, regression, train.bias(regression)), ridge, regression, gram


def _reduced(task, train, held):
    """The best reduction of what the wide chain answers, with the ridge that suits it before it is reduced."""
    pull = np.eye(len(train.xx)) * np.trace(train.xx) / len(train.xx)
    _, ridge, regression, gram = min(until_worse(_regressed_with(ridge, task, train, held, pull) for ridge in RIDGES),
                                     key=lambda one: one[:2])
    out, back = projected(task, regression, gram)
    slope = out @ back
    return Fit(reduced_to(task, out, back), train.bias(slope), mean_error(task, held, slope, train.bias(slope)), ridge)

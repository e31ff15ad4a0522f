"""From a layer, a method and a rank to a chain whose arrays were fitted to responses."""
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from accnn.core.errors import AccnnError
from accnn.graph.following import PostOps
from accnn.graph.rewrite import Replacement
from accnn.reconstruction import DATA_FREE, LINEAR, NONLINEAR
from accnn.reconstruction.by_features import fit_by_features
from accnn.reconstruction.fitting import balanced, from_spatial_first, to_spatial_first
from accnn.reconstruction.layer import WIDEST_PATCH, Task, fit_linear, fit_nonlinear, last_solved, mean_error

_HARDLY = 0.01  # of an error


@dataclass(frozen=True)
class Outcome:
    """What came of a layer's reconstruction.

    Attributes
    ----------
    before, after : float
        Mean squared error of the responses on samples held aside, as a share of their variance, both in the metric
        that was fitted in (the mean over the groups of a grouped convolution): with the factors that need no images,
        and with those that are used. For the solver 'nonlinear' plain squares behind the activation, where there is
        one, else before it.
    solver : {'linear', 'nonlinear', 'data-free'}
        What made those that are used.
    samples, unknowns : int
        To how many places it was fitted, and how many values one of them gave.
    wanted : int
        How many places there were: fewer were used where more changed the fit no longer.
    """

    before: float
    after: float
    solver: str
    samples: int
    unknowns: int
    wanted: int


def rebuild(candidate, rank, bias, post_ops, evidence, solver=LINEAR):
    """Fit the chain of a candidate to responses.

    Parameters
    ----------
    candidate : Candidate
    rank : int or tuple of int
    bias : ndarray of shape (N,) or None
        The layer's own.
    post_ops : PostOps
    evidence : list of CalibrationSplit
        For every group: what the layer reads in the network that is being built, and answered in the original.
    solver : {'linear', 'nonlinear'}

    Returns
    -------
    Replacement
        Its last part has a bias also where the layer has none.
    Outcome

    Raises
    ------
    AccnnError
        The chain joins groups of the layer, or numbers are too large to be squared.
    """
    part, chain, arrays = candidate.spec.part, candidate.chain(rank), candidate.arrays(rank, bias)
    if any(one.groups % len(evidence) for one in chain):
        raise AccnnError("%s joins the groups of the layer %r, so that no group can be fitted alone: say "
                         "`exclude='%s'`, or `solver=None`" % (candidate.method.name, candidate.name, candidate.name))
    whole = tasks(part, candidate.weight(), bias, chain, arrays, candidate.wide(rank), post_ops, len(evidence))
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        starts, fits, solvers = zip(*(_fitted(task, seen, solver) for task, seen in zip(whole, evidence)))
    outcome = Outcome(_mean(starts), _mean(fits), max(solvers, key=(DATA_FREE, LINEAR, NONLINEAR).index),
                      evidence[0].fitted, evidence[0].width, evidence[0].available)
    if not np.isfinite(outcome.before):
        raise AccnnError("what the layer %r reads or answers is too large to be squared, or NaN behind it: check the "
                         "parameters, `mean` and `std`" % candidate.name)
    if outcome.solver != DATA_FREE:
        arrays = _arrays(chain, arrays, fits, len(evidence))
        chain = tuple(chain[:-1]) + (replace(chain[-1], bias=True),)
    return Replacement(candidate.spec, chain, arrays), outcome


class Settling:
    """Says whether more images would still change the fit of a layer's chain.

    Parameters
    ----------
    candidate : Candidate
    rank : int or tuple of int
    bias : ndarray of shape (N,) or None
    post_ops : PostOps
    roots : list of (ndarray or None)
        Of every group, see :class:`accnn.reconstruction.streams.SummedSplit`.
    """

    def __init__(self, candidate, rank, bias, post_ops, roots):
        chain, arrays = candidate.chain(rank), candidate.arrays(rank, bias)
        self._tasks = [_turned_task(task, root) for task, root in zip(tasks(
            candidate.spec.part, candidate.weight(), bias, chain, arrays, None, post_ops, len(roots)), roots)]
        self._roots, self._before = roots, None

    def __call__(self, sums):
        """Whether what was solved from half of the images is worse by less than a hundredth on those held aside."""
        moments = [split.moments() for split in sums.splits(self._roots)]
        now = [last_solved(task, train) for task, (train, _) in zip(self._tasks, moments)]
        before, self._before = self._before, now
        if before is None:
            return False
        errors = [[mean_error(task, held, *one) for task, (_, held), one in zip(self._tasks, moments, solved)]
                  for solved in (before, now)]
        return sum(errors[0]) <= (1 + _HARDLY) * sum(errors[1])


def _fitted(task, evidence, solver):
    """(start, best, what made the best) of one group."""
    start, best = _in_metric(task, evidence)
    used = DATA_FREE if best is start else LINEAR
    if (solver == NONLINEAR and task.post_ops.activation and evidence.enough and not task.sealed
            and not evidence.by_features):
        start, linear, best = fit_nonlinear(task, start, best, evidence)
        used = DATA_FREE if best is start else LINEAR if best is linear else NONLINEAR
    return start, best, used


def _in_metric(task, evidence):
    """(start, best) of the linear fit, where errors count in the metric R^T R of the evidence.

    The whole problem is turned by R, in which it is one of plain squares, and what is found back again.
    """
    by_features = evidence.by_features or evidence.width > WIDEST_PATCH
    fit = fit_by_features if by_features else fit_linear
    if evidence.root is None:
        return fit(task, evidence)
    root = evidence.root
    start, best = fit(_turned_task(replace(task, kernel=None) if by_features else task, root), evidence)
    if best is start:
        start = replace(start, lifts=task.lifts, bias=task.bias)
        return start, start
    back = linalg.solve_triangular(root, np.eye(len(root)))
    return (replace(start, lifts=task.lifts, bias=task.bias),
            replace(best, lifts=_turned(best.lifts, back), bias=back @ best.bias))


def _turned_task(task, root):
    if root is None:
        return task
    kernel = task.kernel if task.kernel is None else root @ task.kernel
    return replace(task, kernel=kernel, bias=root @ task.bias, post_ops=PostOps().filled(len(task.bias)),
                   lifts=_turned(task.lifts, root), wide=task.wide and _turned(task.wide, root))


def _turned(lifts, matrix):
    return lifts[:-1] + [np.matmul(matrix, lifts[-1])]


def tasks(part, weight, bias, chain, arrays, wide, post_ops, groups):
    """Yield the Task of every group; `arrays` are those of the chain, `wide` what ``Candidate.wide`` gives."""
    outputs = part.outputs // groups
    bias = np.zeros(part.outputs) if bias is None else bias
    inner = [one.groups // groups for one in chain]
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)

        def lift(array, within, group=group):
            share = len(array) // groups
            return to_spatial_first(array[group * share:(group + 1) * share], within)

        yield Task(weight[rows].reshape(outputs, -1).astype(np.float64), bias[rows].astype(np.float64),
                   [lift(array, within) for (array, _), within in zip(arrays, inner)], post_ops.part(rows),
                   wide and [lift(array, within) for array, within in zip(wide, inner)],
                   tuple(inner))


def _arrays(chain, arrays, fits, groups):
    """The fitted parts as arrays."""
    new, fitted = [], [balanced(fit.lifts) for fit in fits]
    for place, (one, (weight, bias)) in enumerate(zip(chain, arrays)):
        weight = np.concatenate([from_spatial_first(lifts[place], one.groups // groups) for lifts in fitted])
        weight = weight.reshape(one.weight_shape)
        new.append((weight.astype(np.float32), bias))
    return new[:-1] + [(new[-1][0], np.concatenate([fit.bias for fit in fits]).astype(np.float32))]


def _mean(fits):
    return float(np.mean([fit.error for fit in fits]))

"""From a layer, a method and a rank to a chain whose arrays were fitted to responses."""
from dataclasses import dataclass, replace

import numpy as np

from accnn.graph.rewrite import Replacement
from accnn.reconstruction.evidence import Evidence
from accnn.reconstruction.fitting import lifted, lowered
from accnn.reconstruction.layer import Task, fit_linear, fit_nonlinear

LINEAR, NONLINEAR, DATA_FREE = "linear", "nonlinear", "data-free"
SOLVERS = LINEAR, NONLINEAR


@dataclass(frozen=True)
class Outcome:
    """What came of a layer's reconstruction.

    Attributes
    ----------
    before, after : float
        Mean squared error of the responses on samples held aside, as a share of their variance (the mean over the
        groups of a grouped convolution): with the factors that need no images, and with those that are used.
    solver : {'linear', 'nonlinear', 'data-free'}
        What made those that are used.
    samples, unknowns : int
        To how many places it was fitted, and how many values one of them gave.
    """

    before: float
    after: float
    solver: str
    samples: int
    unknowns: int


def rebuild(candidate, rank, bias, behind, inputs, responses, images, solver=LINEAR):
    """Fit the chain of a candidate to responses.

    Parameters
    ----------
    candidate : Candidate
    rank : int or tuple of int
    bias : ndarray of shape (N,) or None
        The layer's own.
    behind : Behind
    inputs, responses : Samples
        What the layer reads in the network that is being built, and what it answered in the original.
    images : int
        How many of them were sampled.
    solver : {'linear', 'nonlinear'}

    Returns
    -------
    Replacement
        Its last part has a bias also where the layer has none.
    Outcome
    """
    part, chain, arrays = candidate.spec.part, candidate.chain(rank), candidate.arrays(rank, bias)
    groups = getattr(part, "groups", 1)
    tasks = _tasks(part, candidate.weight(), bias, chain, arrays, candidate.wide(rank), behind, groups)
    fits, starts, solvers = [], [], set()
    for group, task in enumerate(tasks):
        evidence = Evidence(inputs, responses, images, group, groups)
        start, best = fit_linear(task, evidence)
        used = DATA_FREE if best is start else LINEAR
        if solver == NONLINEAR and task.behind.nonlinearity:
            best, better = fit_nonlinear(task, best, evidence)
            used = NONLINEAR if better else used
        fits.append(best)
        starts.append(start)
        solvers.add(used)
    outcome = Outcome(_mean(starts), _mean(fits), max(solvers, key=(DATA_FREE, LINEAR, NONLINEAR).index),
                      evidence.fitted, evidence.width)
    if outcome.solver != DATA_FREE:
        arrays = _arrays(chain, arrays, fits, groups)
        chain = tuple(chain[:-1]) + (replace(chain[-1], bias=True),)
    return Replacement(candidate.spec, chain, arrays), outcome


def _tasks(part, weight, bias, chain, arrays, wide, behind, groups):
    """Yield the Task of every group."""
    outputs = part.outputs // groups
    bias = np.zeros(part.outputs) if bias is None else bias
    inner = [getattr(one, "groups", 1) // groups for one in chain]
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)

        def lift(array, within, group=group):
            share = len(array) // groups
            return lifted(array[group * share:(group + 1) * share], within)

        yield Task(weight[rows].reshape(outputs, -1).astype(np.float64), bias[rows].astype(np.float64),
                   [lift(array, within) for (array, _), within in zip(arrays, inner)], behind.part(rows),
                   wide and [lift(array, within) for array, within in zip(wide, inner)],
                   mixed=any(within > 1 for within in inner))


def _arrays(chain, arrays, fits, groups):
    """The fitted parts as arrays; those with groups of their own were not touched."""
    new = []
    for place, (one, (weight, bias)) in enumerate(zip(chain, arrays)):
        if getattr(one, "groups", 1) == groups:
            weight = np.concatenate([lowered(fit.lifts[place]) for fit in fits]).reshape(one.weight_shape)
        new.append((weight.astype(np.float32), bias))
    return new[:-1] + [(new[-1][0], np.concatenate([fit.bias for fit in fits]).astype(np.float32))]


def _mean(fits):
    return float(np.mean([fit.error for fit in fits]))

"""Chains at many ranks, fitted as far as one system of equations goes: what second-order predictions start from."""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from accnn.core.layers import CONVOLUTION
from accnn.graph.following import PostOps
from accnn.reconstruction.fitting import as_matrix, flat_kernel, seen_by_last
from accnn.reconstruction.layer import RIDGES, projection, regressed
from accnn.reconstruction.quadratic import solve_positive
from accnn.reconstruction.rebuilding import tasks

_AMPLE = 4           # samples for each unknown of an output, with which a solution is taken without looking


@dataclass(frozen=True, eq=False)
class Answer:
    """What a chain answers to a patch of one group: ``left @ features @ patch + bias``, or ``left @ patch + bias``.

    Attributes
    ----------
    left : ndarray of shape (N, m)
    features : ndarray of shape (m, D) or None
    bias : ndarray of shape (N,)
    """

    left: np.ndarray
    features: np.ndarray
    bias: np.ndarray

    def dense(self):
        """Return the same in float32 with one dense kernel of shape (N, D), and no features."""
        kernel = self.left.astype(np.float32)
        return Answer(kernel if self.features is None else kernel @ self.features.astype(np.float32), None, self.bias)


def answers_of(candidate, replacement):
    """list of Answer: those of a chain as it is, one for every group of the layer."""
    part, (_, bias) = candidate.spec.part, replacement.arrays[-1]
    made = tasks(part, candidate.weight(), bias, replacement.chain, replacement.arrays, None,
                 PostOps().filled(part.outputs), part.patch_shape[0])
    return [Answer(flat_kernel(task.lifts).astype(np.float32), None, task.bias) for task in made]


class FastFits:
    """Chains of one layer and method, with nothing but the last part, or the reduction, solved anew.

    A ridge is chosen once, at the first rank, on samples held aside, where the factors that need no images stay if they
    are better; no part is swept. That is a tenth of the work of :func:`accnn.reconstruction.rebuilding.rebuild`.

    Parameters
    ----------
    candidate : Candidate
        Its patches have up to :data:`accnn.reconstruction.layer.WIDEST_PATCH` values.
    bias : ndarray of shape (N,) or None
        The layer's own.
    evidence : list of CalibrationSplit or None
        For every group. None: the factors that need no images.
    """

    def __init__(self, candidate, bias, evidence):
        self._candidate, self._bias, self._evidence = candidate, bias, evidence
        self._ridge = None

    def answers(self, rank):
        """list of Answer: one for every group of the layer, or None where the chain joins groups."""
        candidate, part = self._candidate, self._candidate.spec.part
        chain, groups = candidate.chain(rank), part.patch_shape[0]
        if any(one.groups % groups for one in chain):
            return None
        wide = candidate.wide(rank) if self._evidence else None
        made = tasks(part, candidate.weight(), self._bias, chain, candidate.arrays(rank, self._bias), wide,
                     PostOps().filled(part.outputs), groups)
        found = [self._answer(task, seen) for task, seen in zip(made, self._evidence or [None] * groups)]
        # Of a fully connected layer a dense kernel may take half a gigabyte, of a convolution features take more.
        return [one.dense() for one in found] if part.kind == CONVOLUTION else found

    def _answer(self, task, seen):
        features, rows = seen_by_last(task.lifts), as_matrix(task.lifts[-1])
        start = Answer(rows, features, task.bias)
        if seen is None or not seen.enough or task.sealed:
            return start
        system = _System(task, seen, features if task.wide is None else flat_kernel(task.wide))
        if not system.variance > 0:
            return start
        if self._ridge is None:
            self._ridge = min(RIDGES, key=system.error)
        elif seen.fitted >= _AMPLE * len(system.features):
            return system.solved(self._ridge)  # it is better, and to tell it takes as long as to solve
        return system.solved(self._ridge) if system.error(self._ridge) < system.error_of(start) else start


class _System:
    """The normal equations of a last part, in the metric of the evidence."""

    def __init__(self, task, seen, features):
        self._task, self.features, self._root, self._factors = task, features, seen.root, {}
        train, self._held = seen.moments()
        self._train, self.variance = train.seen_through(features), np.trace(train.xx) / seen.width
        kernel = task.kernel if self._root is None else self._root @ task.kernel
        self._pull = features @ features.T, kernel @ features.T

    @cached_property
    def _seen_held(self):
        return self._held.seen_through(self.features)

    def error(self, ridge):
        """float: on the samples held aside."""
        left = self._left(ridge)
        return float(self._seen_held.errors(left, self._train.bias(left)).sum())

    def error_of(self, answer):
        """float: of a chain that is not in the metric, on the samples held aside."""
        rows, bias = answer.left, answer.bias
        if self._root is not None:
            rows, bias = self._root @ rows, self._root @ bias
        held = self._seen_held if self._task.wide is None else self._held.seen_through(answer.features)
        return float(held.errors(rows, bias).sum())

    def solved(self, ridge):
        """Answer: of the layer, no longer in the metric."""
        left, (out, back) = self._left(ridge), self._factors[ridge]
        bias = self._train.bias(left)
        left, features = (left, self.features) if back is None else (out, back @ self.features)
        if self._root is not None:
            left, bias = (linalg.solve_triangular(self._root, array) for array in (left, bias))
        return Answer(left, features, bias)

    def _left(self, ridge):
        """ndarray: what multiplies the features, in the metric."""
        if ridge not in self._factors:
            gram, cross = (own + ridge * self.variance * pull
                           for own, pull in zip((self._train.xx, self._train.yx), self._pull))
            self._factors[ridge] = self._solution(gram, cross)
        out, back = self._factors[ridge]
        return out if back is None else out @ back

    def _solution(self, gram, cross):
        if self._task.wide is None:
            return solve_positive(gram, cross.T).T, None
        rank = self._task.lifts[-1].shape[3]
        return projection(regressed(cross, gram), gram, rank, np.ones(len(cross)))

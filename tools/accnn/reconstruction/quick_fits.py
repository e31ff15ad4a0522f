"""Chains at many ranks, fitted as far as moments of what their last parts read tell: sensitivities stand on them."""
from dataclasses import dataclass

import numpy as np

from accnn.core.layers import CONVOLUTION
from accnn.graph.following import PostOps
from accnn.reconstruction.fitting import flat_kernel, product
from accnn.reconstruction.quadratic import factored, solved
from accnn.reconstruction.rebuilding import tasks

_AMPLE = 12   # samples for each unknown of an output: more change little
_SAME = 1e-4  # of the norm of features: nearer, they are combinations of others


@dataclass(frozen=True, eq=False)
class Answer:
    """What a chain answers to a patch of one group: ``left @ features @ patch + bias``, or ``left @ patch + bias``.

    Attributes
    ----------
    left : ndarray of float32, shape (N, m)
    features : ndarray of float32, shape (m, D), or None
    bias : ndarray of shape (N,)
    """

    left: np.ndarray
    features: np.ndarray
    bias: np.ndarray


def answers_of(candidate, replacement):
    """list of Answer: those of a chain that joins no groups of the layer, one for every group."""
    part, (_, bias) = candidate.spec.part, replacement.arrays[-1]
    made = tasks(part, candidate.weight(), bias, replacement.chain, replacement.arrays, None,
                 PostOps().filled(part.outputs), part.patch_shape[0])
    return [_answer(part, [lift.astype(np.float32) for lift in task.lifts], task.bias) for task in made]


def _answer(part, lifts, bias):
    if part.kind == CONVOLUTION:  # of which features take more than a dense kernel
        return Answer(flat_kernel(lifts), None, bias)
    return Answer(lifts[-1][0, 0], product(lifts[:-1])[0, 0] if len(lifts) > 1 else None, bias)


class FeatureSplit:
    """The samples of one group of a layer, of which only what chains make of patches is summed up.

    Their Gram matrix of whole patches, and to improve all parts by it, would take ten times as long as what the last
    parts of all chains read. That of a smaller rank is mostly a combination of what that of a larger one reads, and so
    are its moments: asked for the largest first, samples are read once. Of chains of two parts the first is then
    improved, too, among the combinations of the largest chain's.

    Parameters
    ----------
    samples : CalibrationSplit
    """

    by_features = True

    def __init__(self, samples):
        self._samples = samples
        self.root, self.width, self.fitted, self.available, self.enough = (
            samples.root, samples.width, samples.fitted, samples.available, samples.enough)
        self._known = None

    def moments(self, matrix):
        """Return the Moments of ``matrix @ patch`` of the samples to fit to, and of those held aside."""
        single = matrix.astype(np.float32)
        through = self._known and self._known.combined(single)
        if through is not None:
            return tuple(one.seen_through(through) for one in self._known.moments)
        self._known = _Known(matrix, single, self._samples.moments(matrix, _AMPLE * len(matrix)))
        return self._known.moments


    def larger_than(self, task, features):
        """A larger chain of two parts of which a chain's first part is a combination.

        Parameters
        ----------
        task : Task
        features : ndarray of shape (m, D)
            What the last part of the chain reads.

        Returns
        -------
        (list of ndarray, ndarray of shape (r, R), Moments, Moments) or None
            The larger chain's parts, the combinations, and the moments of what its last part reads, of the samples to
            fit to and of those held aside. None where there is no such chain, or no combinations of channels alone.
        """
        if len(task.lifts) != 2 or task.groups is not None and max(task.groups) > 1:
            return None
        known, taps = self._known, task.lifts[-1].shape[0] * task.lifts[-1].shape[1]
        if known.matrix is features:
            known.lifts = task.lifts
            return None
        through = known.lifts and known.combined(features.astype(np.float32))
        if through is None:
            return None
        blocks = through.reshape(taps, len(features) // taps, taps, -1)
        return known.lifts, blocks[0, :, 0], *known.moments


class _Known:
    """Features whose moments are known, and the chain whose last part reads them."""

    lifts = None

    def __init__(self, matrix, features, moments):
        self.matrix, self._features, self.moments = matrix, features, moments
        self._factor = factored((features @ features.T).astype(np.float64))

    def combined(self, wanted):
        """ndarray: what to multiply the features by to have those that are wanted; None where nothing does."""
        if len(wanted) > len(self._features):
            return None
        through = solved(self._factor, (self._features @ wanted.T).astype(np.float64)).T
        off = np.linalg.norm(through.astype(np.float32) @ self._features - wanted)
        return through if off <= _SAME * np.linalg.norm(wanted) else None

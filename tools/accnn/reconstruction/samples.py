"""The samples of one layer as the solvers see them: some to fit to, some held aside to judge by."""
import numpy as np
from scipy import linalg

from accnn.reconstruction.moments import Accumulator

_HELD = 8  # every so manyth image is held aside, or every so manyth sample where there are few images
FEWEST_IMAGES = 2 * _HELD
LEAST_HELD = 8  # held aside: on fewer, the luckiest of all solutions looks like the best
_BLOCK = 4096
_SMALL_BLOCK = 1024  # where few values are made of a row: memory that is small enough is used again, not mapped anew


def evidence_of(inputs, responses, images, importance=None):
    """list of CalibrationSplit: for every group of a layer; see :class:`CalibrationSplit`.

    `importance`, an ndarray of shape (outputs, outputs), is the metric of errors in the responses of all groups.
    """
    groups = inputs.shape[0]
    return [CalibrationSplit(inputs, responses, images, group, groups, root)
            for group, root in enumerate(roots(importance, groups, responses.shape[0]))]


def roots(importance, groups, outputs):
    """list of ndarray or None: R of the metric R^T R of every group, `importance` being that of all outputs."""
    rows = [slice(group * outputs // groups, (group + 1) * outputs // groups) for group in range(groups)]
    return [None if importance is None else linalg.cholesky(importance[some, some]) for some in rows]


def held_aside(first, rows, each, images):
    """ndarray of bool, shape (rows,): which of the rows from `first` on are held aside, with `each` of every image."""
    number = np.arange(first, first + rows)
    return (number // each if images >= FEWEST_IMAGES else number) % _HELD == _HELD - 1


class CalibrationSplit:
    """What one group of a layer reads and should answer.

    Parameters
    ----------
    inputs, responses : Samples
        Rows of shapes (groups, D) and (groups * N,), image by image.
    images : int
    group, groups : int
        Which of the layer's groups.
    root : ndarray of shape (N, N), optional
        R of the metric R^T R in which errors count: moments are those of ``R @ response``.
    """

    by_features = False  # whether only what chains make of patches is summed up, and not patches

    def __init__(self, inputs, responses, images, group=0, groups=1, root=None):
        self.root = root
        self._inputs, self._responses = inputs, responses
        self._group = group
        outputs = responses.shape[0] // groups
        self._rows = slice(group * outputs, (group + 1) * outputs)
        each = max(inputs.rows // max(images, 1), 1)
        self._moments = None
        self.held = held_aside(0, inputs.rows, each, images)

    @property
    def width(self):
        """int: D, the values of a patch."""
        return self._inputs.shape[1]

    @property
    def fitted(self):
        """int: how many samples are not held aside."""
        return int((~self.held).sum())

    @property
    def available(self):
        """int: the same."""
        return self.fitted

    @property
    def enough(self):
        """bool: whether so many are held aside that what is better on them can be called better."""
        return int(self.held.sum()) >= LEAST_HELD

    def moments(self, matrix=None, ample=None):
        """Return the Moments of the samples to fit to, and of those held aside.

        Parameters
        ----------
        matrix : ndarray of shape (m, D), optional
            Take ``matrix @ patch`` for the patch. Without it the result is kept, for other ranks of the layer.
        ample : int, optional
            Of the first samples only, where they are so many: some thousands at least.
        """
        if matrix is not None:
            return self._summed(matrix, ample)
        if self._moments is None:
            self._moments = self._summed(None)
        return self._moments

    def _summed(self, matrix, ample=None):
        width = self.width if matrix is None else len(matrix)
        sums = [Accumulator(width, self._rows.stop - self._rows.start) for _ in range(2)]
        through = None if matrix is None else np.ascontiguousarray(matrix, np.float32).T
        for first, patches, responses in self._blocks(ample):
            seen = patches if matrix is None else patches @ through
            held = self.held[first:first + len(seen)]
            sums[0].add(seen[~held], responses[~held])
            sums[1].add(seen[held], responses[held])
        return sums[0].moments(self.root), sums[1].moments(self.root)

    def features(self, matrix):
        """``matrix @ patch`` for all samples, ndarray of float32 of shape (n, m)."""
        return np.concatenate([patches @ matrix.T.astype(np.float32) for _, patches, _ in self._blocks()])

    def responses(self):
        """The true responses of all samples, ndarray of float32 of shape (n, N)."""
        return np.ascontiguousarray(self._responses.array()[:, self._rows])

    def _blocks(self, ample=None):
        most = self._inputs.rows if ample is None else -(-ample // _BLOCK) * _BLOCK
        first = 0
        size = _BLOCK if ample is None else _SMALL_BLOCK
        for patches, responses in zip(self._inputs.blocks(size, most), self._responses.blocks(size, most)):
            yield first, np.ascontiguousarray(patches[:, self._group]), responses[:, self._rows]
            first += len(patches)

"""Moments of what a layer reads and answers, summed up while images run through the network: no sample is kept."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from accnn.core.threads import threads_wanted
from accnn.reconstruction.moments import Accumulator, block_sums
from accnn.reconstruction.samples import FEWEST_IMAGES, LEAST_HELD, held_aside

_BLOCK = 4096  # rows whose products are made at once: float64 sums of fewer would take longer than these


class MomentSums:
    """Takes rows of inputs and of responses, in the same order, in the place of two files of them.

    Products are made by as many threads as there are cores to be used; they are added in order, so that the same
    images give the same bytes.

    Parameters
    ----------
    inputs, outputs : tuple of int
        Shapes of a row: (groups, D) and (groups * N,).
    each : int
        Rows of every image.
    images : int
    responses : iterable of ndarray, optional
        Blocks of responses; without it :attr:`responses` takes them by ``append``, those of an image before its inputs.
    settled : callable, optional
        ``settled(sums)`` says whether more images would change nothing; asked whenever their number has doubled.
    """

    FEWEST = FEWEST_IMAGES  # of fewer, samples are held aside, not images
    FIRST = 2500  # images, before it is first asked whether more are needed

    def __init__(self, inputs, outputs, each, images, responses=None, settled=None):
        self.responses = _Queue(responses or iter(()))
        self._groups, self._each, self._images, self._settled = inputs[0], each, images, settled
        width = outputs[0] // self._groups
        self._sums = [[Accumulator(inputs[1], width) for _ in range(self._groups)] for _ in range(2)]
        self._waiting, self._running = [_Block(inputs, outputs) for _ in range(2)], deque()
        self._pool, self._threads = None, threads_wanted()
        self._rows, self._ask_at, self._closed = 0, self.FIRST * each, False

    def append(self, rows):
        """Take what the layer reads at some places, an array of shape (n, groups, D)."""
        answers = self.responses.take(len(rows))
        if self._closed:
            return
        held = held_aside(self._rows, len(rows), self._each, self._images)
        self._rows += len(rows)
        for place, some in enumerate((~held, held)):
            for first in range(0, len(rows), _BLOCK):  # what fits into two blocks at a time
                part = slice(first, first + _BLOCK)
                if self._waiting[place].add(rows[part], answers[part], some[part]):
                    self._start(place)
        if self._settled and self._rows >= self._ask_at:
            self._ask()

    def splits(self, roots):
        """list of SummedSplit: of every group, errors counting in the metric R^T R of `roots`."""
        self._flush()
        held = held_aside(0, self._images * self._each, self._each, self._images)
        return [SummedSplit(train, apart, int((~held).sum()), root) for train, apart, root in zip(*self._sums, roots)]

    def close(self):
        """Take no more; what was summed up stays."""
        self._flush()
        self._closed = True
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def remove(self):
        """Let go of the threads, as files give back their room."""
        self.close()

    def _ask(self):
        self._ask_at *= 2
        if self._settled(self):
            self.close()

    def _start(self, place):
        self._pool = self._pool or ThreadPoolExecutor(self._threads)
        rows, answers = self._waiting[place].taken()
        outputs = answers.shape[1] // self._groups
        for group, sums in enumerate(self._sums[place]):
            x, y = rows[:, group], answers[:, group * outputs:(group + 1) * outputs]
            self._running.append((sums, self._pool.submit(block_sums, x, y, *sums.pivots(x, y))))
        self._merge(self._threads)

    def _flush(self):
        for place in (0, 1):
            if self._waiting[place].count:
                self._start(place)
        self._merge(0)

    def _merge(self, left):
        while len(self._running) > left:
            sums, future = self._running.popleft()
            sums.merge(future.result())


class SummedSplit:
    """What :class:`accnn.reconstruction.samples.CalibrationSplit` tells by moments, without the samples.

    Parameters
    ----------
    train, held : Accumulator
        Of the samples to fit to, and of those held aside.
    available : int
        Samples to fit to, of which `train` may hold the first ones only.
    root : ndarray of shape (N, N), optional
    """

    by_features = False

    def __init__(self, train, held, available, root=None):
        self._found = train.moments(root), held.moments(root)
        self.root, self.available = root, available
        self.width, self.fitted = len(self._found[0].mean_x), train.count
        self.enough = held.count >= LEAST_HELD

    def moments(self, matrix=None):
        """Return the Moments of the samples to fit to, and of those held aside; see CalibrationSplit."""
        return self._found if matrix is None else tuple(one.seen_through(matrix) for one in self._found)


class _Block:
    """Rows that wait until they are enough."""

    def __init__(self, *shapes):
        self._shapes, self._arrays, self.count = shapes, None, 0

    def add(self, rows, answers, some):
        """Copy those of up to `_BLOCK` rows that `some` marks; return whether there are enough now."""
        if self._arrays is None:
            self._arrays = [np.empty((2 * _BLOCK,) + shape, np.float32) for shape in self._shapes]
        end = self.count + int(some.sum())
        for own, array in zip(self._arrays, (rows, answers)):
            np.compress(some, array, axis=0, out=own[self.count:end])
        self.count = end
        return end >= _BLOCK

    def taken(self):
        """The arrays of what was added; the block is empty afterwards."""
        arrays, count = self._arrays, self.count
        self._arrays, self.count = None, 0
        return [array[:count] for array in arrays]


class _Queue:
    """Rows that come in blocks of any size, and are taken in blocks of any other."""

    def __init__(self, blocks):
        self._blocks, self._ready = blocks, []

    def append(self, rows):
        self._ready.append(rows)

    def take(self, count):
        found = []
        while count:
            block = self._ready.pop(0) if self._ready else next(self._blocks)
            found.append(block[:count])
            if len(block) > count:
                self._ready.insert(0, block[count:])
            count -= len(found[-1])
        return np.concatenate(found)

"""Shuffled, augmented training images in an order that depends on the seed alone, not on the number of workers."""
from dataclasses import asdict, dataclass, replace
from math import prod

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.data.images import next_batch, opened
from accnn.data.kept import MOST_BYTES, KeptPictures, kept_size
from accnn.data.records import part_range

DRAWING = 2  # to be raised when the same seed draws other batches: no run goes on with those of another number
MOST_SHARDS = 8
_SEEDS = 2 ** 31 - 1
_BLOCK_BYTES = 1 << 26  # of images that are read at a time
_WORTH = 4  # pictures are kept where an epoch takes at least the 4th part of them


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images, named as ImageRecordIter names them.

    With `seed_aug`, without which they would depend on the number of threads, ImageRecordIter begins its random numbers
    anew with whatever is read at a time, which is up to 64 MB: so often an epoch repeats its changes, and the next has
    others.
    Pictures that are kept (:mod:`accnn.data.kept`) are changed each by itself.

    Attributes
    ----------
    rand_crop, rand_mirror : bool
        Else the crop is from the middle, and nothing is mirrored.
    pad, fill_value : int
        Pixels added on every side before the crop, and their value 0..255.
    random_h, random_s, random_l : int
        Largest change of hue (0..180), saturation and lightness (0..255).
    max_rotate_angle : int
        Degrees.
    random_resized_crop : bool
        Crop a random share of the area, from `min_random_area` to `max_random_area`, at an aspect ratio changed by
        up to `max_aspect_ratio`.
    """

    rand_crop: bool = True
    rand_mirror: bool = True
    pad: int = 0
    fill_value: int = 127
    random_h: int = 0
    random_s: int = 0
    random_l: int = 0
    max_rotate_angle: int = 0
    random_resized_crop: bool = False
    min_random_area: float = 1.0
    max_random_area: float = 1.0
    max_aspect_ratio: float = 0.0

    def iterator_arguments(self):
        """dict: the arguments of ImageRecordIter that say the same."""
        # A random share of the area is cropped at random already: MXNet refuses to be told both.
        return dict(asdict(self), rand_crop=self.rand_crop and not self.random_resized_crop)


class TrainingStream:
    """The training images of every epoch.

    Pictures of one size that are only cropped, padded and mirrored are decoded in the first epoch and kept, where they
    fit into some memory. Else the records are dealt into shards, each read by an iterator of its own, and every batch
    takes as many images from each. Workers share the shards, or all keep the same pictures, so one worker with a batch
    of B sees in every step what two with B/2 see together.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    augmentation : Augmentation
    batch_size : int
        Of this worker.
    seed : int
    rank, workers : int
    limit : int, optional
        Images an epoch, of all workers.
    most : int
        Bytes that pictures may take which are kept; 0 keeps none.

    Attributes
    ----------
    steps : int
        Batches an epoch; images that fill no batch wait for another epoch's order.

    Raises
    ------
    AccnnError
        There are fewer images than one batch of all workers takes.
    """

    def __init__(self, records, preprocessing, augmentation, batch_size, seed=0, rank=0, workers=1,
                 limit=None, most=MOST_BYTES):
        self._rank, self._all, self._most, self._kept = rank, batch_size * workers, most, None
        self.batch_size, self._records, self._augmentation, self._seed = batch_size, records, augmentation, seed
        self._shards = _shards(len(records), batch_size * workers, workers)
        self.steps = _steps(len(records), batch_size * workers, self._shards)
        if not self.steps:
            raise AccnnError("%s holds %d images, fewer than a batch of %d: choose a smaller `batch_size`"
                             % (records.path, len(records), batch_size * workers))
        if limit is not None:
            self.steps = max(1, min(self.steps, limit // (batch_size * workers)))
        each = self._shards // workers
        self._mine = range(rank * each, (rank + 1) * each)
        self._at_once = min(self.steps, max(1, _BLOCK_BYTES // (4 * prod(preprocessing.shape) * self._all)))
        self._preprocessing = preprocessing
        self._shared = replace(preprocessing, threads=max(1, preprocessing.threads // each))

    def epoch(self, number, skip=0):
        """Yield (images, labels) for every step of an epoch.

        Parameters
        ----------
        number : int
            The same number gives the same images.
        skip : int
            Steps to leave out at the beginning.

        Yields
        ------
        images : mx.nd.NDArray of shape (batch_size, channels, height, width)
        labels : mx.nd.NDArray of shape (batch_size,)
            The next step may overwrite both.
        """
        if self._kept is None:
            self._kept = self._decoded()
        if not self._kept:
            return self._read(number, skip)
        first = self._rank * self.batch_size
        return self._kept.batches(self._seed_of(number), (
            slice(step * self._all + first, step * self._all + first + self.batch_size)
            for step in range(skip, self.steps)))

    def _decoded(self):
        """KeptPictures, or False."""
        size = self.steps * self._all * _WORTH >= len(self._records) and kept_size(
            self._records, self._preprocessing, self._augmentation, self._most)
        try:
            return bool(size) and KeptPictures(self._records, self._preprocessing, self._augmentation, size)
        except AccnnError:  # a picture is no picture, which is said when it is read, or of another size than it says
            return False

    def _read(self, number, skip):
        """Yield the batches of an epoch as MXNet's iterators decode them."""
        with self._records.iterator_arguments() as files:  # for all: an index of many records takes a while to write
            shards = [self._parts(self._iterator(files, number, shard)) for shard in self._mine]
            for step, parts in zip(range(self.steps), zip(*shards)):
                if step >= skip:
                    yield tuple(map(_joined, zip(*parts)))

    def _parts(self, iterator):
        """Yield (images, labels) that a shard has in every step, of which several are read at a time."""
        size = self.batch_size // len(self._mine)
        while True:
            block = next_batch(iterator, self._records)
            for first in range(0, self._at_once * size, size):
                yield block.data[0][first:first + size], block.label[0][first:first + size]

    def _iterator(self, files, number, shard):
        seed = self._seed_of(number, shard)
        return opened(self._records, files, self._shared, self._at_once * self.batch_size // len(self._mine), shard,
                      self._shards, shuffle=True, seed=seed, seed_aug=seed, round_batch=False, prefetch_buffer=1,
                      **self._augmentation.iterator_arguments())

    def _seed_of(self, *place):
        return int(np.random.SeedSequence([self._seed, *place]).generate_state(1)[0]) % _SEEDS


def _shards(count, batch_size, workers):
    """The largest number of shards, up to 8, that workers can share without losing a step."""
    fitting = [shards for shards in range(workers, MOST_SHARDS + 1, workers)
               if MOST_SHARDS % shards == 0 and batch_size % shards == 0 and
               _steps(count, batch_size, shards) == count // batch_size]
    return max(fitting, default=workers)


def _steps(count, batch_size, shards):
    smallest = min(len(part_range(count, shard, shards)) for shard in range(shards))
    return smallest // (batch_size // shards)


def _joined(arrays):
    return arrays[0] if len(arrays) == 1 else mx.nd.concat(*arrays, dim=0)


class JoinedStream:
    """Two files in one stream: every batch takes images of both, in proportion to what they hold.

    Parameters
    ----------
    first, second : Records
    batch_size : int
    make : callable
        ``make(records, batch_size)`` gives a TrainingStream.

    Attributes
    ----------
    steps, batch_size : int
        As of a TrainingStream.
    """

    def __init__(self, first, second, batch_size, make):
        share = round(batch_size * len(second) / (len(first) + len(second)))
        if batch_size < 2:
            raise AccnnError("a batch of 1 holds no images of both %s and %s: choose a larger `batch_size`"
                             % (first.path, second.path))
        share = min(max(share, 1), batch_size - 1)
        self._streams = make(first, batch_size - share), make(second, share)
        self.batch_size, self.steps = batch_size, min(stream.steps for stream in self._streams)

    def epoch(self, number, skip=0):
        """Yield (images, labels) for every step of an epoch; see :meth:`TrainingStream.epoch`."""
        for batches in zip(*(stream.epoch(number, skip) for stream in self._streams)):
            yield tuple(_joined(arrays) for arrays in zip(*batches))

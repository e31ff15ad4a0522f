"""Images to run a network on, over and over: arrays in memory, or some images of a file."""
import contextlib
import zlib
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.data.images import read_images

_FEW, _MANY = 3000, 20000  # images that calibrate
_MULTIPLY_ADDS = 4e12      # of one pass over them: up to there more than a few are used


class ArrayImages:
    """Examples that lie in memory, for networks of any inputs.

    Parameters
    ----------
    arrays : dict of str to ndarray
        By name of the input, the first axis counting the examples.
    batch_size : int

    Attributes
    ----------
    input_names : tuple of str
    count : int
    batch_size : int
    source : str or None
        Path of the file that they were taken from.

    Raises
    ------
    AccnnError
        The arrays hold different numbers of examples.
    """

    source = None

    def __init__(self, arrays, batch_size):
        counts = {len(array) for array in arrays.values()}
        if len(counts) != 1:
            raise AccnnError("the arrays of the inputs %s hold %s examples: give as many of each"
                             % (", ".join(arrays), " and ".join(map(str, sorted(counts))) or "no"))
        self._arrays = arrays
        self.input_names = tuple(arrays)
        self.count = counts.pop()
        self.batch_size = batch_size

    def batches(self, batch_size=None):
        """Yield all examples in order.

        Parameters
        ----------
        batch_size : int, optional
            Default: the attribute of that name.

        Yields
        ------
        first : int
            Number of the first example.
        arrays : dict of str to mx.nd.NDArray
            By name of the input.
        """
        size = batch_size or self.batch_size
        for first in range(0, self.count, size):
            yield first, {name: mx.nd.array(array[first:first + size]) for name, array in self._arrays.items()}

    def fingerprint(self):
        """int: a number that other examples hardly share."""
        mark = 0
        for name, array in self._arrays.items():
            array = np.asarray(array)
            mark = zlib.crc32(array.tobytes(), zlib.crc32(("%s %s" % (name, array.shape)).encode(), mark))
        return mark

    def some(self, numbers):
        """ArrayImages: those of the given numbers."""
        return ArrayImages({name: array[numbers] for name, array in self._arrays.items()}, self.batch_size)

    def in_batches(self, size):
        """ArrayImages: the same in batches of so many."""
        return ArrayImages(self._arrays, size)

    def arrays(self, most):
        """Yield the batches of up to `most` examples, spread evenly over all."""
        chosen = spread(self.count, most)
        for first in range(0, len(chosen), self.batch_size):
            rows = chosen[first:first + self.batch_size]
            yield {name: mx.nd.array(array[rows]) for name, array in self._arrays.items()}


class RecordImages:
    """Images of a RecordIO file, decoded anew on every pass; made by :func:`record_images`.

    Parameters
    ----------
    records : Records
        All of these are read.
    preprocessing : Preprocessing
    input_name : str
    batch_size : int
    source : Records
        The file that they were taken from, which error messages name.
    numbers : sequence of int
        Which records of `source` they are.

    Attributes
    ----------
    input_names : tuple of str
    count : int
    batch_size : int
    numbers : sequence of int
    source : str
        Path of the file.
    """

    def __init__(self, records, preprocessing, input_name, batch_size, source, numbers):
        self._records, self._preprocessing, self.source = records, preprocessing, source.path
        self.numbers = numbers
        self.input_names = (input_name,)
        self.count = len(records)
        self.batch_size = batch_size

    def batches(self, batch_size=None):
        """Yield all images in order.

        Parameters
        ----------
        batch_size : int, optional
            Default: the attribute of that name.

        Yields
        ------
        first : int
            Number of the first image, counted among those chosen.
        arrays : dict of str to mx.nd.NDArray
            The next batch overwrites what was not computed with yet in MXNet.

        Raises
        ------
        AccnnError
            A record holds no image; names it.
        """
        first = 0
        try:
            for batch in read_images(self._records, self._preprocessing, batch_size or self.batch_size):
                first = batch.first
                yield first, {self.input_names[0]: batch.images[:batch.size]}
        except AccnnError as error:
            raise self._named(error, first) from error

    def fingerprint(self):
        """int: a number that other images, or other preprocessing, hardly share."""
        with open(self._records.path, "rb") as handle:
            mark = 0
            for block in iter(lambda: handle.read(1 << 20), b""):
                mark = zlib.crc32(block, mark)
        return zlib.crc32(repr(replace(self._preprocessing, threads=1)).encode(), mark)

    def arrays(self, most):
        """Yield the batches of up to `most` images, spread evenly over all; errors are those of :meth:`batches`."""
        chosen = spread(self.count, most)
        try:
            with self._records.chosen(chosen) as some:
                for batch in read_images(some, self._preprocessing, self.batch_size):
                    yield {self.input_names[0]: batch.images[:batch.size].copy()}
        except AccnnError as error:
            raise self._named(error, 0) from error

    def _named(self, error, first):
        """The error in the words of the file that the images were taken from."""
        for number in range(first, self.count):
            with self._records.cut(number, number + 1) as one:
                try:
                    next(read_images(one, self._preprocessing, 1))
                except AccnnError:
                    return AccnnError("record %d of %s is no image: pack the images again"
                                      % (self.numbers[number], self.source))
        return AccnnError(str(error).replace(self._records.path, self.source))


def few(images, most):
    """Return up to `most` of some images, spread evenly over all, decoded and in memory.

    Parameters
    ----------
    images : ArrayImages or RecordImages
    most : int

    Returns
    -------
    ArrayImages
    """
    if isinstance(images, ArrayImages) and images.count <= most:
        return images
    batches = list(images.arrays(most))
    return ArrayImages({name: np.concatenate([batch[name].asnumpy() for batch in batches]) for name in batches[0]},
                       images.batch_size)


def spread(count, most):
    """ndarray of int: up to `most` of `count` numbers, evenly spread."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def default_count(held, multiply_adds):
    """int: of `held` images those that calibrate where nobody says how many.

    Parameters
    ----------
    held : int
    multiply_adds : int or None
        Of the network for one image, where all images are run through it as often as it has layers to fit; None where
        their samples are kept.
    """
    most = _FEW if multiply_adds is None else max(_FEW, min(_MANY, int(_MULTIPLY_ADDS // max(multiply_adds, 1))))
    return min(held, most)


@contextlib.contextmanager
def record_images(records, preprocessing, input_name, count, seed, batch_size):
    """Yield `count` images of a file, drawn at random since files are often sorted by class, in the file's order.

    Where the file holds fewer, all are used, which is said on stderr.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    input_name : str
    count, seed, batch_size : int

    Yields
    ------
    RecordImages
        As long as the block lasts.
    """
    held = len(records)
    if count < 1:
        raise AccnnError("%d images of %s were asked for: take 1 or more" % (count, records.path))
    if count >= held:
        if count > held:
            say("%s holds %d images: all are used, `count` asked for %d" % (records.path, held, count))
        all_of_them = range(held) if records.numbers is None else records.numbers
        yield RecordImages(records, preprocessing, input_name, batch_size, records, all_of_them)
        return
    numbers = np.sort(np.random.default_rng(seed).choice(held, count, replace=False))
    with records.chosen(numbers) as some:
        numbers = [records.number(number) for number in numbers]
        yield RecordImages(some, preprocessing, input_name, batch_size, records, numbers)


class ImagesApart:
    """All images but some, which :meth:`held` returns: what is fitted to the others is judged by these.

    Parameters
    ----------
    images : ArrayImages or RecordImages
    held : int
        How many are held apart, spread evenly; one stays for the others.
    most : int, optional
        Of the others only so many, spread evenly.
    """

    def __init__(self, images, held, most=None):
        self._images = images
        apart = np.zeros(images.count, bool)
        apart[spread(images.count, max(1, min(held, images.count - 1)))] = images.count > 1
        others = np.nonzero(~apart)[0]
        self._apart, self._others, self.input_names = apart, np.zeros(images.count, bool), images.input_names
        self._others[others[spread(len(others), most or len(others))]] = True
        self.count, self.batch_size = int(self._others.sum()), images.batch_size

    def batches(self, batch_size=None):
        """Yield (first image, dict of str to mx.nd.NDArray) of the others in order, as :class:`ArrayImages` does."""
        size, first, waiting = batch_size or self.batch_size, 0, None
        for arrays in self._chosen(self._others, batch_size):
            waiting = arrays if waiting is None else {
                name: np.concatenate([waiting[name], array]) for name, array in arrays.items()}
            # Whole batches: a network is bound anew for a batch of another size.
            while len(next(iter(waiting.values()))) >= size:
                yield first, {name: mx.nd.array(array[:size]) for name, array in waiting.items()}
                waiting, first = {name: array[size:] for name, array in waiting.items()}, first + size
        if waiting and len(next(iter(waiting.values()))):
            yield first, {name: mx.nd.array(array) for name, array in waiting.items()}

    def held(self):
        """ArrayImages: those apart, in memory; all there are where there is one only."""
        batches = list(self._chosen(self._apart if self._apart.any() else self._others, None))
        arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in self.input_names}
        return ArrayImages(arrays, self.batch_size)

    def _chosen(self, mask, batch_size):
        for first, arrays in self._images.batches(batch_size):
            size = len(next(iter(arrays.values())))
            rows = np.nonzero(mask[first:first + size])[0]
            if len(rows):
                yield {name: array.asnumpy()[rows] for name, array in arrays.items()}

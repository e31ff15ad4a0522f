"""Images of a RecordIO file as batches for a network: every record exactly once, by MXNet's ImageRecordIter."""
import contextlib
import os
from dataclasses import dataclass, field
from typing import Tuple

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import sizes
from accnn.data.choice import choose_shapes
from accnn.data.records import part_range
from accnn.graph.inputs import input_names
from accnn.graph.ir import reason


def image_input(model, given, images=None, labels=False):
    """The single input of an image network; says on stderr where its size is assumed, or one of several.

    Parameters
    ----------
    model : Model
    given : dict
        Shapes of inputs by name, without the batch; None stands for the only input.
    images : callable, optional
        Returns the Records that will be fed to it, see :func:`accnn.data.choice.choose_shapes`.
    labels : bool
        Return the shapes of labels too that are given.

    Returns
    -------
    dict of str to tuple of int
        With one item, and the labels behind it.

    Raises
    ------
    AccnnError
        The network has several inputs, or one that is no image.
    """
    names, _ = input_names(model, given)
    if len(names) != 1:
        raise AccnnError("%s has the inputs %s: images can be fed to networks with one input only"
                         % (model.prefix, ", ".join(names) or "(none)"))
    shapes, assumed = choose_shapes(model, given, images)
    if len(shapes.get(names[0], ())) != 3:
        raise AccnnError("the input %s of %s has the shape %s, which is no image: give `input_shapes=C,H,W`"
                         % (names[0], model.prefix, shapes.get(names[0], "(unknown)")))
    if assumed:
        say("nothing says the size of the input of %s: %s is assumed, give `input_shapes`"
            % (model.prefix, sizes(shapes[names[0]])))
    image = {names[0]: shapes.pop(names[0])}
    return dict(image, **shapes) if labels else image


CHANNELS = "rgb"
_EXTREME = 1e30  # beyond this, or below its inverse, float32 gives no pixels
_BLOCK = 1000    # records in which one that cannot be read is looked for at a time


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of a picture before the network sees it.

    Attributes
    ----------
    shape : tuple of int
        (channels, height, width) of what the network gets: a crop from the middle.
    mean, std : tuple of float
        Subtracted from, then dividing, the pixels 0..255, in the order red, green, blue; one value counts for all.
    resize : int
        Length in pixels to which the shorter side is scaled before the crop; 0 leaves it.
    threads : int
        Decoding threads; MXNet takes at most half of the cores.
    """

    shape: Tuple[int, ...]
    mean: Tuple[float, ...] = (0.0,)
    std: Tuple[float, ...] = (1.0,)
    resize: int = 0
    threads: int = 4

    def __post_init__(self):
        if len(self.shape) != 3 or self.shape[0] not in (1, 3, 4):
            raise AccnnError("images have 1, 3 or 4 channels, a height and a width, as in 3,224,224; not %s"
                             % sizes(self.shape))
        colours = min(self.shape[0], 3)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, colours):
                raise AccnnError("`%s` has %d values, but the network takes %d: give one for every channel"
                                 % (name, len(values), colours))
            if not all(abs(value) < _EXTREME for value in values):
                raise AccnnError("`%s` must be finite numbers, as pixels are 0 to 255" % name)
        if not all(value > 1 / _EXTREME for value in self.std):
            raise AccnnError("`std` must be above 0: pixels are divided by it")

    def iterator_arguments(self):
        """dict: the arguments of ImageRecordIter that say the same."""
        said = {"data_shape": self.shape, "preprocess_threads": min(self.threads, os.cpu_count() or 1),
                "resize": self.resize or -1}
        colours = min(self.shape[0], 3)
        for name, values in (("mean", self.mean), ("std", self.std)):
            full = tuple(values) if len(values) == colours else (values[0],) * colours
            said.update(("%s_%s" % (name, channel), value) for channel, value in zip(CHANNELS, full))
        return said


@dataclass(frozen=True)
class Batch:
    """Some images of a file.

    Attributes
    ----------
    images : mx.nd.NDArray of shape (batch, channels, height, width)
        Rows from `size` on are no images, and may hold anything.
    labels : ndarray of shape (size,)
    first : int
        Number of the first record in the file.
    """

    images: object
    labels: object = field(repr=False)
    first: int = 0

    @property
    def size(self):
        """int: rows that are images."""
        return len(self.labels)


def read_images(records, preprocessing, batch_size, part=0, parts=1, limit=None):
    """Yield every record of a part of a file exactly once, in the order of the file.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    batch_size : int
    part, parts : int
        Read the `part`-th of `parts` shares.
    limit : int, optional
        Stop after the first so many records of the file.

    Yields
    ------
    Batch
        `images` of the last one has rows that are no images. The next batch overwrites them.

    Raises
    ------
    AccnnError
        A record holds no image; names it.
    """
    mine = part_range(len(records), part, parts)
    first, end = mine.start, min(mine.stop, len(records) if limit is None else limit)
    if first >= end:
        return
    # A new iterator for every pass that neither wraps round nor is reset: MXNet's then gives each record once, and
    # the rest of its last batch is memory it did not write. A second prefetched batch would never be freed.
    with iterator(records, preprocessing, batch_size, part, parts, round_batch=False, prefetch_buffer=1) as batches:
        while first < end:
            size = min(batch_size, end - first)
            batch = next_batch(batches, records, first)
            yield Batch(batch.data[0], records.labels[first:first + size], first)
            first += size


@contextlib.contextmanager
def iterator(records, preprocessing, batch_size, part=0, parts=1, **arguments):
    """Yield MXNet's ImageRecordIter over a part of a file; what ImageRecordIter takes may be added."""
    with records.iterator_arguments() as files:
        yield opened(records, files, preprocessing, batch_size, part, parts, **arguments)


def opened(records, files, preprocessing, batch_size, part=0, parts=1, **arguments):
    """Return MXNet's ImageRecordIter over a part of a file.

    Parameters
    ----------
    files : dict
        Of ``records.iterator_arguments()``, which several iterators may share.
    """
    try:
        return mx.io.ImageRecordIter(batch_size=batch_size, num_parts=parts, part_index=part, verbose=False,
                                     **dict(preprocessing.iterator_arguments(), **files, **arguments))
    except mx.base.MXNetError as error:
        raise _unreadable(records, error) from error


def next_batch(batches, records, first=0):
    """Return the next batch of an iterator over `records`, or say which one, from `first` on, it cannot read."""
    try:
        return next(batches)
    except mx.base.MXNetError as error:
        raise _unreadable(records, error, first) from error
    except StopIteration as error:
        raise AccnnError("%s gave fewer images than it holds records: pack it again" % records.path) from error


def _unreadable(records, error, first=0):
    """The error that names the first record that is no image, from `first` on."""
    for start in range(first, len(records), _BLOCK):
        end = min(start + _BLOCK, len(records))
        if _is_readable(records, start, end):
            continue
        while end - start > 1:
            middle = (start + end) // 2
            start, end = (middle, end) if _is_readable(records, start, middle) else (start, middle)
        return AccnnError("record %d of %s is no image: pack the images again"
                          % (records.number(start), records.path))
    return AccnnError("the images of %s cannot be read: %s" % (records.path, reason(error)))


def _is_readable(records, start, end):
    """Whether MXNet's iterator decodes these records: other decoders take what it refuses, and the reverse."""
    with records.cut(start, end) as some, some.iterator_arguments() as files:
        try:
            next(mx.io.ImageRecordIter(batch_size=len(some), data_shape=(3, 1, 1), verbose=False, **files))
        except mx.base.MXNetError:
            return False
    return True

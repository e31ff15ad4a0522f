"""Training pictures of one size, decoded once and kept: every batch is cropped and mirrored as a whole."""
import contextlib
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.progress import Progress
from accnn.data.images import read_images
from accnn.data.sizes import image_sizes

MOST_BYTES = 1 << 30  # of pixels that are kept
_AT_ONCE = 64         # pictures that are decoded at a time
_LOOKS = 100          # at sizes, before that at all


def kept_size(records, preprocessing, augmentation, most=MOST_BYTES):
    """Whether pictures can be kept.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    augmentation : Augmentation
    most : int
        Bytes that they may take.

    Returns
    -------
    (int, int) or None
        Height and width of them all; None where sizes differ or are not told by headers, pictures are scaled, rotated
        or coloured, have a fourth channel, are smaller than what the network reads, or take more memory.
    """
    plain = replace(type(augmentation)(), rand_crop=augmentation.rand_crop, rand_mirror=augmentation.rand_mirror,
                    pad=augmentation.pad, fill_value=augmentation.fill_value)
    if preprocessing.resize or preprocessing.shape[0] > 3 or augmentation != plain or not most:
        return None
    found = _size_of_all(records, _LOOKS)
    padded = tuple(side + 2 * augmentation.pad for side in found or (0, 0))
    if any(side < wanted for side, wanted in zip(padded, preprocessing.shape[1:])):
        return None
    if len(records) * preprocessing.shape[0] * padded[0] * padded[1] > most:
        return None
    return _size_of_all(records, len(records))


def _size_of_all(records, looks):
    """(height, width) of so many pictures, or None."""
    found = None
    for _, size in image_sizes(records, looks):
        if size is None or found not in (None, size):
            return None
        found = size
    return found


class KeptPictures:
    """All pictures of a file, decoded by MXNet's own iterator.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    augmentation : Augmentation
    size : (int, int)
        See :func:`kept_size`.

    Raises
    ------
    AccnnError
        A record holds no image; names it.
    """

    def __init__(self, records, preprocessing, augmentation, size):
        self._how, self._changes, self._labels = preprocessing, augmentation, records.labels
        channels, pad = preprocessing.shape[0], augmentation.pad
        height, width = size
        self._pixels = np.full((len(records), channels, height + 2 * pad, width + 2 * pad), augmentation.fill_value,
                               np.uint8)
        inside, progress = self._pixels[:, :, pad:pad + height, pad:pad + width], Progress(
            "decoding %s, pictures" % records.path, len(records))
        whole = replace(preprocessing, shape=(channels, height, width), mean=(0.0,), std=(1.0,))
        with contextlib.closing(progress):
            for batch in read_images(records, whole, _AT_ONCE):
                inside[batch.first:batch.first + batch.size] = batch.images.asnumpy()[:batch.size]
                progress(batch.first + batch.size)
        self._mean, self._std = (np.asarray(values, np.float32).reshape(1, -1, 1, 1)
                                 for values in (preprocessing.mean, preprocessing.std))

    def batches(self, seed, places):
        """Yield shuffled, changed pictures.

        Parameters
        ----------
        seed : int
            Decides order, crops and mirrors of an epoch.
        places : iterable of slice
            Which of the shuffled ones every batch holds.

        Yields
        ------
        images : mx.nd.NDArray of shape (batch, channels, height, width)
        labels : mx.nd.NDArray of shape (batch,)
        """
        random, count = np.random.RandomState(seed), len(self._pixels)
        order, mirrored = random.permutation(count), random.randint(0, 2, count) * self._changes.rand_mirror
        corners = [random.randint(0, room + 1, count) if self._changes.rand_crop else np.full(count, room // 2)
                   for room in np.subtract(self._pixels.shape[2:], self._how.shape[1:])]
        for place in places:
            images = self._cut(order[place], *(corner[place] for corner in corners))
            turned = mirrored[place].astype(bool)
            images[turned] = images[turned][..., ::-1]
            images -= self._mean
            images /= self._std
            yield mx.nd.array(images), mx.nd.array(self._labels[order[place]])

    def _cut(self, numbers, tops, lefts):
        """ndarray of shape (batch, channels, height, width), float32: crops of some pictures."""
        windows = np.lib.stride_tricks.sliding_window_view(self._pixels, self._how.shape[1:], axis=(2, 3))
        return windows[numbers, :, tops, lefts].astype(np.float32)

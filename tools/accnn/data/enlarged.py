"""A look at some pictures of a file: MXNet enlarges those that are smaller than the input without a word."""
from accnn.core.progress import say
from accnn.data.sizes import image_sizes

_MOST = 25  # pictures that are looked at


def tell_enlarged(records, preprocessing, pad=0):
    """Say on stderr where pictures are smaller than what the network reads.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    pad : int
        Pixels that are added on every side before the crop.
    """
    sizes = {position: size for position, size in image_sizes(records, _MOST) if size}
    small = [position for position, size in sizes.items() if _is_small(size, preprocessing, pad)]
    if small:
        height, width = preprocessing.shape[1:]
        say("%d of %d pictures of %s that were looked at are smaller than the input of %dx%d, such as record %d of "
            "%dx%d: they are enlarged"
            % (len(small), len(sizes), records.path, height, width, records.number(small[0]), *sizes[small[0]]))


def _is_small(size, preprocessing, pad):
    scale = preprocessing.resize / min(size) if preprocessing.resize else 1
    return any(round(side * scale) + 2 * pad < wanted for side, wanted in zip(size, preprocessing.shape[1:]))

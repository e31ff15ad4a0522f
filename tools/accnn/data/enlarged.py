"""A look at some pictures of a file: MXNet enlarges those that are smaller than the input without a word."""
import math

from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.data.sizes import common_size, image_sizes

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
    sizes, small = _looked_at(records, preprocessing, pad)
    if small:
        height, width = preprocessing.shape[1:]
        say("%d of %d pictures of %s that were looked at are smaller than the input of %dx%d, such as record %d of "
            "%dx%d: they are enlarged"
            % (len(small), len(sizes), records.path, height, width, records.number(small[0]), *sizes[small[0]]))


def check_alike(records, others, preprocessing, pad=0):
    """Refuse pictures that another file's are not like, which a network would see at another scale.

    Parameters
    ----------
    records : Records
    others : Records or None
        Whose pictures the network is made for.
    preprocessing : Preprocessing
    pad : int

    Raises
    ------
    AccnnError
        Pictures are smaller than the input, of one size where those of the other file are of another, or all larger
        or smaller than those.
    """
    sizes, small = _looked_at(records, preprocessing, pad)
    if small:
        raise AccnnError("record %d of %s is %dx%d, smaller than the input of %dx%d: pack pictures of that size, or "
                         "give `resize`" % (records.number(small[0]), records.path, *sizes[small[0]],
                                            *preprocessing.shape[1:]))
    if others is None or preprocessing.resize:
        return
    found = [common_size(some) for some in (records, others)]
    if len(set(found)) == 2 and None not in found:
        raise AccnnError("the pictures of %s are %dx%d and those of %s %dx%d: pack them at one size, or give `resize`"
                         % (records.path, *found[0], others.path, *found[1]))
    (least, most), (least_there, most_there) = _shorter_sides(records), _shorter_sides(others)
    if least > most_there or most < least_there:
        raise AccnnError("the shorter sides of the pictures of %s are %d to %d and those of %s %d to %d: pack them at "
                         "one size, or give `resize`" % (records.path, least, most, others.path, least_there,
                                                         most_there))


def _shorter_sides(records):
    """(least, most) of some pictures; everything where no header tells."""
    sides = [min(size) for _, size in image_sizes(records, _MOST) if size]
    return (min(sides), max(sides)) if sides else (0, math.inf)


def _looked_at(records, preprocessing, pad):
    """(sizes of some pictures by position, positions of those that are smaller than the input)."""
    sizes = {position: size for position, size in image_sizes(records, _MOST) if size}
    return sizes, [position for position, size in sizes.items() if _is_small(size, preprocessing, pad)]


def _is_small(size, preprocessing, pad):
    scale = preprocessing.resize / min(size) if preprocessing.resize else 1
    return any(round(side * scale) + 2 * pad < wanted for side, wanted in zip(size, preprocessing.shape[1:]))

"""A look at some pictures of a file: MXNet enlarges those that are smaller than the input without a word."""
import numpy as np

from accnn.cli import say
from accnn.compat import mx

_MOST = 25  # pictures that are looked at
_HEAD = 8  # bytes in front of a record
_IR_HEADER = 24


def tell_enlarged(records, preprocessing, pad=0):
    """Say on stderr where pictures are smaller than what the network reads; nothing where OpenCV is not there.

    Parameters
    ----------
    records : Records
    preprocessing : Preprocessing
    pad : int
        Pixels that are added on every side before the crop.
    """
    if mx.recordio.cv2 is None:
        return
    chosen = np.unique(np.linspace(0, len(records) - 1, min(_MOST, len(records))).astype(int))
    sizes = {int(position): size for position, size in zip(chosen, _sizes(records, chosen)) if size}
    small = [position for position, size in sizes.items() if _is_small(size, preprocessing, pad)]
    if small:
        height, width = preprocessing.shape[1:]
        say("%d of %d pictures of %s that were looked at are smaller than the input of %dx%d, such as record %d of "
            "%dx%d: they are enlarged"
            % (len(small), len(sizes), records.path, height, width, records.number(small[0]), *sizes[small[0]]))


def _is_small(size, preprocessing, pad):
    scale = preprocessing.resize / min(size) if preprocessing.resize else 1
    return any(round(side * scale) + 2 * pad < wanted for side, wanted in zip(size, preprocessing.shape[1:]))


def _sizes(records, positions):
    """Yield (height, width) of pictures; None for what is none."""
    with open(records.content or records.path, "rb") as handle:
        for position in positions:
            handle.seek(int(records.offsets[position]))
            length = int.from_bytes(handle.read(_HEAD)[4:], "little") & ((1 << 29) - 1)
            content = handle.read(length)
            content = content[_IR_HEADER + 4 * int.from_bytes(content[:4], "little"):]
            yield _size(content) if content else None


def _size(content):
    cv2 = mx.recordio.cv2
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if pixels is None else pixels.shape[:2]

"""Height and width of packed images, read from their headers; nothing is decoded."""
import os
import struct

import numpy as np

_MOST = 1000     # images that are looked at, spread evenly over the file
_LOOK = 1 << 17  # bytes of each, which hold the metadata of most
_RECORD, _IMAGE = struct.Struct("<II"), struct.Struct("<IfQQ")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's start-of-frame markers


def common_size(records):
    """The size that all images of a file have, as far as it was looked through: up to 1000 of them.

    Parameters
    ----------
    records : Records

    Returns
    -------
    (int, int) or None
        Height and width; None where they differ, or a header is that of neither JPEG nor PNG.
    """
    found = None
    for _, size in image_sizes(records, _MOST):
        if size is None or found not in (None, size):
            return None
        found = size
    return found


def image_sizes(records, most):
    """Yield (number of the record, its (height, width) or None): of `most` images at most, spread evenly."""
    numbers = np.unique(np.linspace(0, len(records) - 1, min(len(records), most)).round().astype(int))
    lengths = np.diff(records.offsets, append=records.offsets[-1:] + _LOOK)
    looks = np.where(lengths > 0, np.minimum(lengths, _LOOK), _LOOK)
    with open(records.content or records.path, "rb") as handle:
        for number in map(int, numbers):
            yield number, _image_size(os.pread(handle.fileno(), int(looks[number]), int(records.offsets[number])))


def _image_size(record):
    """(height, width) of the image in a record that begins the bytes, or None."""
    _, word = _RECORD.unpack_from(record)
    labels, = struct.unpack_from("<I", record, _RECORD.size)
    start = _RECORD.size + _IMAGE.size + 4 * labels
    content = record[start:_RECORD.size + (word & ((1 << 29) - 1))]
    try:
        if content.startswith(_PNG):
            return struct.unpack_from(">II", content, 16)[::-1]
        return _jpeg_size(content) if content.startswith(_JPEG) else None
    except struct.error:
        return None


def _jpeg_size(content):
    place = len(_JPEG)
    while True:
        mark, kind, length = struct.unpack_from(">BBH", content, place)
        if mark != 0xFF:
            return None
        if kind in _FRAMES:
            return struct.unpack_from(">HH", content, place + 5)
        place += 1 if kind == 0xFF else 2 + length  # a marker may be filled up with any number of 0xFF

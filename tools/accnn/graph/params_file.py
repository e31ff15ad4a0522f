"""The layout of ``.params`` files: enough of it to see that a file is whole before MXNet trusts it.

``mx.nd.load`` and ``mx.nd.save`` do the reading and writing. But a damaged size makes the first one allocate whatever
it says, or crash, and the second one does not look whether the last block reached the disk.
"""
import os
import struct
from math import prod

import numpy as np

from accnn.errors import AccnnError

_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_ITEM_SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}  # MXNet's numbers of its data types
_FLOAT32 = 0
_MOST_AXES = 32


class _Damaged(Exception):
    pass


class _NotJudged(Exception):
    """An array in a form that is not described here."""


def check_whole(path):
    """Refuse a parameter file whose sizes do not add up to the file's.

    Parameters
    ----------
    path : str

    Raises
    ------
    AccnnError
        The file is cut short, garbage, or has names that are no text.
    """
    try:
        with open(path, "rb") as handle:
            _walk(handle, os.fstat(handle.fileno()).st_size)
    except _NotJudged:
        return
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (path, error.strerror)) from error
    except (_Damaged, UnicodeDecodeError) as error:
        raise AccnnError("%s is no complete parameter file (%s): save or copy the checkpoint again"
                         % (path, error)) from error


def expected_size(arrays):
    """Bytes that ``mx.nd.save`` writes for a dict of dense arrays."""
    size = 3 * 8
    for array in arrays.values():
        size += 4 + 4 + 4 + 8 * len(array.shape) + 8 + 4 + array.size * np.dtype(array.dtype).itemsize
    return size + 8 + sum(8 + len(key.encode()) for key in arrays)


def _walk(handle, size):
    magic, _, count = _read(handle, "<QQQ")
    if magic != _LIST_MAGIC:
        raise _Damaged("it does not begin as one")
    for _ in range(_counted(handle, count, 4, size)):
        _skip_array(handle, size)
    names, = _read(handle, "<Q")
    if names not in (0, count):
        raise _Damaged("it has %d arrays and %d names" % (count, names))
    for _ in range(names):
        length, = _read(handle, "<Q")
        handle.read(_counted(handle, length, 1, size)).decode("utf-8")


def _skip_array(handle, size):
    magic, = _read(handle, "<I")
    if magic in (_V2, _V3):
        storage, = _read(handle, "<i")
        if storage > 0:  # sparse: refused by its name once it is loaded
            raise _NotJudged
    if magic in (_V1, _V2, _V3):
        axes, = _read(handle, "<i")
        shape = _shape(handle, axes, "q")
    else:  # MXNet 0.x wrote the number of axes where later ones have their mark
        axes, shape = magic, _shape(handle, magic, "I")
    if axes < 0 or (axes == 0 and magic != _V3):
        return  # no array at all
    _read(handle, "<ii")
    kind, = _read(handle, "<i")
    if kind not in _ITEM_SIZES:
        raise _Damaged("it has an array of unknown type %d" % kind)
    handle.seek(_counted(handle, prod(shape), _ITEM_SIZES[kind], size) * _ITEM_SIZES[kind], os.SEEK_CUR)


def _shape(handle, axes, code):
    if axes > _MOST_AXES:
        raise _Damaged("it has an array of %d axes" % axes)
    shape = _read(handle, "<%d%s" % (max(axes, 0), code))
    if any(length < 0 for length in shape):
        raise _Damaged("it has an array of shape %s" % (shape,))
    return shape


def _counted(handle, count, item_size, size):
    """Return `count` when so many items can still follow."""
    if count * item_size > size - handle.tell():
        raise _Damaged("it ends too early")
    return count


def _read(handle, layout):
    data = handle.read(struct.calcsize(layout))
    if len(data) < struct.calcsize(layout):
        raise _Damaged("it ends too early")
    return struct.unpack(layout, data)


def places(path):
    """Where the float32 arrays of a file lie, in the form in which MXNet has written dense ones since 1.0.

    Parameters
    ----------
    path : str
        A file that was found whole.

    Returns
    -------
    dict
        Key -> (first byte, shape); empty where any array has another form.
    """
    with open(path, "rb") as handle:
        _, _, count = _read(handle, "<QQQ")
        found = [_place(handle) for _ in range(count)]
        if None in found or _read(handle, "<Q") != (count,):
            return {}
        keys = [handle.read(*_read(handle, "<Q")).decode("utf-8") for _ in found]
    return {key: (start, shape) for key, (start, shape, kind) in zip(keys, found) if kind == _FLOAT32}


def _place(handle):
    magic, storage, axes = _read(handle, "<Iii")
    if magic not in (_V2, _V3) or storage > 0 or axes < 1:
        return None
    *shape, _, _, kind = _read(handle, "<%dqiii" % axes)
    start = handle.tell()
    handle.seek(prod(shape) * _ITEM_SIZES[kind], os.SEEK_CUR)
    return start, tuple(shape), kind

"""Files of arrays, ``.params``: MXNet reads and writes them, and what is known of their layout says if one is whole.

Of ``mx.nd.load`` and ``mx.nd.save``, a damaged size makes the first one allocate whatever it says, or crash, and the
second one does not look whether the last block reached the disk.
"""
import os
import struct
from math import prod

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.ir import reason

_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_ITEM_SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}  # MXNet's numbers of its data types
_MARKS = (_V1, _V2, _V3)
_INDEX_ARRAYS = {0: 0, 1: 1, 2: 2}  # by MXNet's numbers of its forms of storage: dense, rows, CSR
_FLOAT32 = 0
_MOST_AXES = 32


class _Damaged(Exception):
    pass


def read_arrays(path):
    """Return the arrays of a file that ``mx.nd.save`` wrote: a dict by name, or a list.

    Raises
    ------
    AccnnError
        The file is missing, cut short or of another kind.
    """
    check_whole(path)
    try:
        return mx.nd.load(path)
    except mx.base.MXNetError as error:
        if "is_np_shape" in str(error):
            raise AccnnError("%s was saved in NumPy mode (npx.set_np): load the network there, reset_np(), and save it "
                             "again" % path) from error
        raise AccnnError("%s is no complete parameter file (%s): save or copy the checkpoint again"
                         % (path, reason(error))) from error


def write_arrays(path, arrays, named):
    """Write a dict of arrays to `path`, a temporary file for what errors call `named`.

    Raises
    ------
    AccnnError
        The disk did not take all of it.
    """
    try:
        mx.nd.save(path, arrays)
    except mx.base.MXNetError as error:
        raise AccnnError("%s cannot be written (%s): is the disk full?" % (named, reason(error))) from error
    # MXNet does not look whether closing the file succeeded, so a full disk can cut it short unnoticed.
    if os.path.getsize(path) != expected_size(arrays):
        raise AccnnError("%s cannot be written: the disk took only a part of it" % named)


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
    indices = _index_arrays(handle) if magic in (_V2, _V3) else 0
    stored = _shape(handle, magic) if indices else None
    shape = _shape(handle, magic)
    if shape is None:
        return
    _read(handle, "<ii")  # the device
    blocks = [(_item_size(handle), stored if indices else shape)]
    blocks += [(_item_size(handle), _shape(handle, magic)) for _ in range(indices)]
    for item_size, lengths in blocks:
        handle.seek(_counted(handle, prod(lengths or (0,)), item_size, size) * item_size, os.SEEK_CUR)


def _index_arrays(handle):
    """How many arrays of indices a sparse array has beside its values."""
    storage, = _read(handle, "<i")
    if storage not in _INDEX_ARRAYS:
        raise _Damaged("it has an array of unknown storage %d" % storage)
    return _INDEX_ARRAYS[storage]


def _item_size(handle):
    kind, = _read(handle, "<i")
    if kind not in _ITEM_SIZES:
        raise _Damaged("it has an array of unknown type %d" % kind)
    return _ITEM_SIZES[kind]


def _shape(handle, magic):
    """The lengths of the axes, or None where there is no array at all."""
    # MXNet 0.x wrote the number of axes where later ones have their mark.
    axes = _read(handle, "<i")[0] if magic in _MARKS else magic
    if axes == (-1 if magic == _V3 else 0):
        return None
    if not 0 <= axes <= _MOST_AXES:
        raise _Damaged("it has an array of %d axes" % axes)
    shape = _read(handle, "<%d%s" % (axes, "q" if magic in _MARKS else "I"))
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

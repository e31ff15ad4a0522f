"""RecordIO files, walked from header to header: how many records, where, with which labels; nothing is decoded.

MXNet's readers do the reading. But its iterator does not say how many images it gave, and of a damaged file it gives
what it can, so files are looked through before.
"""
import contextlib
import os
import struct
import tempfile
from dataclasses import dataclass

import numpy as np

from accnn.cli import Progress
from accnn.errors import AccnnError

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_WHOLE, _FIRST, _LAST = 0, 1, 3   # what the upper bits say of a record that holds the magic number and was cut there
_HEADER = struct.Struct("<II")    # magic, flag and length
_IMAGE = struct.Struct("<IfQQ")   # IRHeader: number of labels (0: the next field is the label), label, id, id2
_LOOK = _HEADER.size + _IMAGE.size
_TELL_EVERY = 10000


@dataclass(frozen=True)
class Records:
    """A RecordIO file of images that was found whole.

    Attributes
    ----------
    path : str
        The ``.rec`` file.
    offsets : ndarray of shape (n,), int64
        Byte at which every record begins.
    labels : ndarray of shape (n,), float32
        NaN for a record that carries several labels.
    index : str or None
        The ``.idx`` file that agrees with `offsets`, where there is one.
    """

    path: str
    offsets: np.ndarray
    labels: np.ndarray
    index: str = None

    def __len__(self):
        return len(self.offsets)

    def check_classes(self, classes):
        """Refuse labels that are no class of a network.

        Parameters
        ----------
        classes : int

        Raises
        ------
        AccnnError
            Names the first such record.
        """
        fine = np.isfinite(self.labels) & (self.labels >= 0) & (self.labels < classes) & (self.labels % 1 == 0)
        if not fine.all():
            first = int(np.argmin(fine))
            said = "several labels" if np.isnan(self.labels[first]) else "the label %g" % self.labels[first]
            raise AccnnError("record %d of %s has %s, but the network's classes are 0 to %d: it was packed for another "
                             "network, or needs other labels" % (first, self.path, said, classes - 1))

    @contextlib.contextmanager
    def index_file(self):
        """Yield the path of an ``.idx`` for this file: its own, or a temporary one."""
        if self.index is not None:
            yield self.index
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "records.idx")
            with open(path, "w") as handle:
                handle.writelines("%d\t%d\n" % pair for pair in enumerate(self.offsets))
            yield path


def open_records(path, index=None):
    """Look through a RecordIO file of images.

    Parameters
    ----------
    path : str
        The ``.rec`` file.
    index : str, optional
        Its ``.idx``. Default: the file of that name beside it, where there is one.

    Returns
    -------
    Records

    Raises
    ------
    AccnnError
        A file is missing, empty, cut short or of another kind, or the index belongs to another file.
    """
    offsets, labels = _walk(path)
    if index is None and os.path.exists(os.path.splitext(path)[0] + ".idx"):
        index = os.path.splitext(path)[0] + ".idx"
    if index is not None:
        _check_index(index, path, offsets)
    return Records(path, offsets, labels, index)


def part_range(count, part, parts):
    """range: records that MXNet gives to the `part`-th of `parts` readers, the rule of ``num_parts`` with an index."""
    share = -(-count // parts)
    return range(min(part * share, count), min((part + 1) * share, count))


def _walk(path):
    """Return offset and label of every record."""
    offsets, labels = [], []
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size == 0:
                raise AccnnError("%s is empty: pack the images again" % path)
            progress = Progress("looking through %s, MB" % path, size >> 20)
            for offset, label in _records(handle.fileno(), size, path):
                offsets.append(offset)
                labels.append(label)
                if len(offsets) % _TELL_EVERY == 0:
                    progress(offset >> 20)
            progress.close()
    except OSError as error:
        raise AccnnError("%s cannot be read (%s): give a .rec file" % (path, error.strerror)) from error
    return np.array(offsets, np.int64), np.array(labels, np.float32)


def _records(handle, size, path):
    """Yield (offset, label) of every record; parts of one that was cut count once."""
    offset, inside = 0, False
    while offset < size:
        look = os.pread(handle, _LOOK, offset)
        if len(look) < _HEADER.size:
            raise _damaged(path, offset, size, "it ends in the middle of a record")
        magic, word = _HEADER.unpack_from(look)
        if magic != _MAGIC:
            raise _damaged(path, offset, size, "no record begins there") if offset else AccnnError(
                "%s is no RecordIO file: pack the images with pack.py" % path)
        kind, length = word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)
        if inside != (kind not in (_WHOLE, _FIRST)):
            raise _damaged(path, offset, size, "a record of several parts lacks one")
        following = offset + _HEADER.size + -(-length // 4) * 4
        if following > size:
            raise _damaged(path, offset, size, "it ends in the middle of a record")
        if not inside:
            yield offset, _label(look, length, offset, path)
        inside = kind not in (_WHOLE, _LAST)
        offset = following
    if inside:
        raise _damaged(path, offset, size, "a record of several parts lacks one")


def _label(look, length, offset, path):
    if length < _IMAGE.size:
        raise AccnnError("%s: the record at byte %d is too short to hold an image: pack the images again"
                         % (path, offset))
    several, label, _, _ = _IMAGE.unpack_from(look, _HEADER.size)
    return np.nan if several else label


def _damaged(path, offset, size, why):
    return AccnnError("%s is damaged at byte %d of %d (%s): copy or pack it again" % (path, offset, size, why))


def _check_index(index, path, offsets):
    try:
        with open(index, encoding="ascii") as handle:
            listed = np.array([int(line.split("\t")[1]) for line in handle if line.strip()], np.int64)
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (index, error.strerror)) from error
    except (ValueError, IndexError, OverflowError) as error:
        raise AccnnError("%s is no index of a RecordIO file: every line must hold a key, a tab and an offset; remove "
                         "it, or make it again" % index) from error
    if not np.array_equal(np.sort(listed), offsets):
        raise AccnnError("%s does not match %s, which holds %d records (the index lists %d): remove it, or make it "
                         "again" % (index, path, len(offsets), len(listed)))

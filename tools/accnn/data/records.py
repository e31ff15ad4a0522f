"""RecordIO files, walked from header to header: how many records, where, with which labels; nothing is decoded.

MXNet's readers do the reading. But its iterator does not say how many images it gave, and of a damaged file it gives
what it can, so files are looked through before.
"""
import contextlib
import os
import struct
from dataclasses import dataclass
from typing import Optional

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import full_disk_as_sentence, open_input, recover, temporary_folder
from accnn.core.progress import Progress
from accnn.data.headers import without_headers

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_WHOLE, _FIRST, _LAST = 0, 1, 3   # what the upper bits say of a record that holds the magic number and was cut there
_HEADER = struct.Struct("<II")    # magic, flag and length
_IMAGE = struct.Struct("<IfQQ")   # IRHeader: number of labels (0: the next field is the label), label, id, id2
_LABEL = struct.Struct("<f")      # where there is a number, so many follow
_LOOK = _HEADER.size + _IMAGE.size + _LABEL.size
_FOUND = np.dtype([("offset", np.int64), ("label", np.float32), ("several", bool), ("id", np.uint64),
                   ("empty", bool)])
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
        The first one where a record carries several.
    several : ndarray of shape (n,), bool
        Which records carry several labels.
    ids : ndarray of shape (n,), uint64
        The number that the packer gave to every image.
    content : str or None
        The file in which the offsets count, where that is not `path` itself.
    numbers : ndarray of shape (n,), int64, or None
        Which records of `path` they are, where not all.
    first_of_several : bool
        Of several labels the first is the class.
    """

    path: str
    offsets: np.ndarray
    labels: np.ndarray
    several: np.ndarray
    ids: np.ndarray
    content: Optional[str] = None
    numbers: Optional[np.ndarray] = None
    first_of_several: bool = False

    def __len__(self):
        return len(self.offsets)

    def number(self, position):
        """int: which record of the file one of these is."""
        return int(position if self.numbers is None else self.numbers[position])

    def picture(self, position):
        """bytes or None: an image as it was packed; None for a record that was cut into parts."""
        with open(self.content or self.path, "rb") as handle:
            handle.seek(int(self.offsets[position]))
            _, word = _HEADER.unpack(handle.read(_HEADER.size))
            record = handle.read(word & ((1 << _LENGTH_BITS) - 1))
        labels = _IMAGE.unpack_from(record)[0]
        return record[_IMAGE.size + labels * _LABEL.size:] if word >> _LENGTH_BITS == _WHOLE else None

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
        whole = self.labels == np.floor(self.labels)
        fine = whole & (self.labels >= 0) & (self.labels < classes) & (~self.several | self.first_of_several)
        if not fine.all():
            first = int(np.argmin(fine))
            said = self._labels_text(first) if self.several[first] else "the label %g" % self.labels[first]
            raise AccnnError("record %d of %s has %s, but the network's classes are 0 to %d: it was packed for another "
                             "network, or needs other labels" % (self.number(first), self.path, said, classes - 1))

    def _labels_text(self, position):
        """What several labels look like, by the head of their record."""
        with open(self.content or self.path, "rb") as handle:
            handle.seek(int(self.offsets[position]) + _HEADER.size)
            count = _IMAGE.unpack(handle.read(_IMAGE.size))[0]
            labels = np.frombuffer(handle.read(2 * _LABEL.size), "<f4")
        head, width = (int(label) if 0 < label < count else 0 for label in labels)
        # What im2rec packs for detectors: how long this head is, how long an object is, more of the head, the objects.
        if head >= 2 and width >= 5 and (count - head) % width == 0:
            objects = (count - head) // width
            return "%d labels (%d object%s of %d numbers, as for SSD, whose label:%d,%d this is)" % (
                count, objects, "" if objects == 1 else "s", width, objects, width)
        return "%d labels" % count

    @contextlib.contextmanager
    def iterator_arguments(self):
        """Yield the arguments of ImageRecordIter that name this file.

        In names MXNet takes ``#``, ``?`` and ``;`` for commands, an index with keys that are no numbers ends the
        process, and several labels are an error where it was not told how many. So it gets a link, an index and, for
        such records, a list of labels that were made here.
        """
        with temporary_folder() as folder:
            rec, idx, labels = (os.path.join(folder, "images" + end) for end in (".rec", ".idx", ".lst"))
            os.symlink(os.path.abspath(self.content or self.path), rec)
            named = {"path_imgrec": rec, "path_imgidx": idx}
            _write_lines(idx, ("%d\t%d\n" % pair for pair in enumerate(self.offsets.tolist())))
            if self.several.any():
                _write_lines(labels, ("%d\t%r\tx\n" % pair for pair in zip(self.ids, self.labels.tolist())))
                named["path_imglist"] = labels
            yield named

    @contextlib.contextmanager
    def cut(self, start, end):
        """Yield some records as a file of their own, which lasts as long as the block.

        Parameters
        ----------
        start, end : int
            The first record, and the one behind the last.

        Yields
        ------
        Records
        """
        with _copy_of_some() as copy, open(self.content or self.path, "rb") as whole:
            first = int(self.offsets[start])
            whole.seek(first)
            with full_disk_as_sentence(copy.name):
                copy.write(whole.read(int(self.offsets[end]) - first if end < len(self) else -1))
                copy.flush()
            yield Records(copy.name, self.offsets[start:end] - first, self.labels[start:end], self.several[start:end],
                          self.ids[start:end])

    @contextlib.contextmanager
    def chosen(self, numbers):
        """Yield some records, copied as they are, as a file of their own, which lasts as long as the block.

        Parameters
        ----------
        numbers : sequence of int
            In the order of the new file.

        Yields
        ------
        Records
        """
        numbers = np.asarray(numbers, np.int64)
        with _copy_of_some() as copy, open(self.content or self.path, "rb") as whole:
            ends = np.append(self.offsets[1:], os.fstat(whole.fileno()).st_size)
            sizes = (ends - self.offsets)[numbers]
            with full_disk_as_sentence(copy.name):
                for number, size in zip(numbers, sizes):
                    whole.seek(int(self.offsets[number]))
                    copy.write(whole.read(int(size)))
                copy.flush()
            yield Records(copy.name, np.cumsum(sizes) - sizes, self.labels[numbers], self.several[numbers],
                          self.ids[numbers])


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
    recover(os.path.splitext(path)[0])
    records, empty, size = _walk(path)
    if index is None and os.path.lexists(os.path.splitext(path)[0] + ".idx"):
        index = os.path.splitext(path)[0] + ".idx"
    if index is not None:
        _check_index(index, path, records.offsets)
    return without_headers(records, empty, size)


@contextlib.contextmanager
def _copy_of_some():
    with temporary_folder() as folder:
        copy = open(os.path.join(folder, "some.rec"), "wb")
        try:
            yield copy
        finally:
            with contextlib.suppress(OSError):  # what did not fit has been told, and would be once more
                copy.close()


def part_range(count, part, parts):
    """range: records that MXNet gives to the `part`-th of `parts` readers, the rule of ``num_parts`` with an index."""
    share = -(-count // parts)
    return range(min(part * share, count), min((part + 1) * share, count))


def _walk(path):
    """Return the Records of a file, which of them hold no picture, and its size."""
    try:
        with open_input(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size == 0:
                raise AccnnError("%s is empty: pack the images again" % path)
            progress = Progress("looking through %s, MB" % path, size >> 20)
            found = np.fromiter(_with_progress(_records(handle.fileno(), size, path), progress), _FOUND)
            progress.close()
    except OSError as error:
        raise AccnnError("%s cannot be read (%s): give a .rec file" % (path, error.strerror)) from error
    *columns, empty = (np.ascontiguousarray(found[name]) for name in _FOUND.names)
    return Records(path, *columns), empty, size


def _with_progress(found, progress):
    """Pass on what :func:`_records` yields, telling now and then how far it came."""
    for number, record in enumerate(found):
        if number % _TELL_EVERY == 0:
            progress(record[0] >> 20)
        yield record


def _write_lines(path, lines):
    with full_disk_as_sentence(path), open(path, "w") as handle:
        handle.writelines(lines)


def _records(handle, size, path):
    """Yield (offset, label, several, id, empty) of every record; parts of one that was cut count once."""
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
            yield (offset,) + _image_header(look, length, offset, path)
        inside = kind not in (_WHOLE, _LAST)
        offset = following
    if inside:
        raise _damaged(path, offset, size, "a record of several parts lacks one")


def _image_header(look, length, offset, path):
    count, label, number, _ = _IMAGE.unpack_from(look, _HEADER.size) if length >= _IMAGE.size else (0,) * 4
    if length < _IMAGE.size + count * _LABEL.size:
        raise AccnnError("%s: the record at byte %d is too short to hold an image: pack the images again"
                         % (path, offset))
    if count:
        label, = _LABEL.unpack_from(look, _HEADER.size + _IMAGE.size)
    return label, count > 1, number, count > 1 and length == _IMAGE.size + count * _LABEL.size


def _damaged(path, offset, size, why):
    return AccnnError("%s is damaged at byte %d of %d (%s): copy or pack it again" % (path, offset, size, why))


def _check_index(index, path, offsets):
    try:
        with open_input(index, encoding="ascii") as handle:
            listed = np.array([int(line.split("\t")[1]) for line in handle if line.strip()], np.int64)
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (index, error.strerror)) from error
    except AccnnError:  # is a ValueError too
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise AccnnError("%s is no index of a RecordIO file: every line must hold a key, a tab and an offset; remove "
                         "it, or make it again" % index) from error
    if not np.array_equal(np.sort(listed), offsets):
        raise AccnnError("%s does not match %s, which holds %d records (the index lists %d): remove it, or make it "
                         "again" % (index, path, len(offsets), len(listed)))

"""Records, their index and their list are written whole: all files, or none."""
import contextlib
import os
from multiprocessing.pool import ThreadPool  # OpenCV works without Python's lock

from accnn.cli import Progress
from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.files import written_together

_NAMED = 5  # broken images named in the sentence


@contextlib.contextmanager
def record_writer(rec, idx):
    """Yield the function that writes the next record; see to it, when the block ends, that all reached the disk.

    MXNet does not look whether its last bytes did. To have both files or none, let
    :func:`accnn.files.written_together` give the names.

    Parameters
    ----------
    rec, idx : str

    Yields
    ------
    callable
        Takes a record's key in the index, and its bytes.

    Raises
    ------
    AccnnError
        The disk is full, most likely.
    """
    try:
        with contextlib.closing(mx.recordio.MXIndexedRecordIO(idx, rec, "w")) as writer:
            yield writer.write_idx
            expected = writer.tell()
    except mx.base.MXNetError as error:
        raise AccnnError("the records cannot be written, is the disk full? %s" % str(error).splitlines()[-1]) from error
    if os.path.getsize(rec) != expected:
        raise AccnnError("the records could not be written whole: is the disk full?")


def paths(prefix, named):
    """Return what is written, by kind; a table of labels only where the classes are `named`."""
    files = {kind: "%s.%s" % (prefix, kind) for kind in ("rec", "idx", "lst")}
    return dict(files, labels=prefix + "-labels.txt") if named else files


def pack(images, classes, prefix, encode, threads=1, skip_broken=False):
    """Write the records, their index and their list: all files, or none.

    MXNet's own ``im2rec`` makes the same bytes, but drops images that it cannot read without a word of its exit code,
    or dies of them, and packs every list whose name begins alike.

    Parameters
    ----------
    images : list of Image
    classes : list of str or None
        Names by label, where they have names.
    prefix : str
    encode : callable
        As :func:`accnn.packing.encoding.encoder` returns it.
    threads : int
    skip_broken : bool

    Returns
    -------
    packed, broken : list of Image
        Those that are written, and those that cannot be read.

    Raises
    ------
    AccnnError
        An image cannot be read and `skip_broken` is not set, or none can.
    """
    files = paths(prefix, named=classes is not None)
    # A table of other labels would mislead.
    other = [path for kind, path in paths(prefix, named=True).items() if kind not in files]
    with written_together(list(files.values()), other) as temporaries:
        temporary = dict(zip(files, temporaries))
        packed, broken = _write_records(temporary["rec"], temporary["idx"], images, encode, threads)
        if broken and not (packed and skip_broken):
            raise _unreadable(broken, len(images))
        _write_lines(temporary["lst"], ["%d\t%f\t%s" % image for image in packed])
        if classes is not None:
            _write_lines(temporary["labels"], classes)
    return packed, broken


def _write_records(rec, idx, images, encode, threads):
    """Write the records in order; return the images that are written, and those that cannot be read."""
    packed, broken = [], []
    progress = Progress("packing", len(images))
    with record_writer(rec, idx) as write, _pool(threads) as pool:
        for done, (image, record) in enumerate(zip(images, pool.imap(encode, images))):
            progress(done, image.name)
            (broken if record is None else packed).append(image)
            if record is not None:
                write(image.id, record)
    progress.close()
    return packed, broken


@contextlib.contextmanager
def _pool(threads):
    """Yield a pool whose threads are gone when the block ends, however that is.

    A thread that is still inside OpenCV when the process ends makes of that an abort.
    """
    pool = ThreadPool(threads)
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()


def _unreadable(broken, total):
    names = ", ".join(image.name for image in broken[:_NAMED]) + (" ..." if len(broken) > _NAMED else "")
    return AccnnError("%d of %d images cannot be read: %s; mend or remove them%s"
                      % (len(broken), total, names, ", or say --skip-broken" if len(broken) < total else ""))


def _write_lines(path, lines):
    # Names that are no UTF-8 come from os.walk with their bytes escaped.
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(line + "\n" for line in lines)

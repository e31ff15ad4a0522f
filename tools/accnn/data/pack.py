"""Records, their index and their list are written whole: all files, or none."""
import collections
import contextlib
import os
from multiprocessing.pool import ThreadPool  # OpenCV works without Python's lock

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import open_input, written_together
from accnn.core.progress import Progress
from accnn.core.text import megabytes, some

_LONGEST_TABLE = 20


def summary(packed, broken, classes, written):
    """Tell what was packed.

    Parameters
    ----------
    packed, broken : list of Image
    classes : list of str or None
    written : dict of str to str
        The files by kind.

    Returns
    -------
    dict
    """
    counts = collections.Counter(image.label for image in packed)
    if classes is None:
        rows = [{"label": label, "images": counts[label]} for label in sorted(counts)]
    else:
        rows = [{"label": label, "images": counts[label], "name": name} for label, name in enumerate(classes)]
    return {"records": len(packed), "classes": rows, "bytes": os.path.getsize(written["rec"]), "written": written,
            "left_out": [image.name for image in broken]}


def table(report):
    """The report as lines of text."""
    rows = report["classes"] if len(report["classes"]) <= _LONGEST_TABLE else []
    lines = ["label %-4d %6d images  %s" % (row["label"], row["images"], row.get("name", "")) for row in rows]
    lines.append("%d records of %d classes, %s" % (report["records"], len(report["classes"]),
                                                    megabytes(report["bytes"])))
    lines += ["left out %s" % name for name in report["left_out"]]
    return lines + ["%-8s %s" % pair for pair in report["written"].items()]


_TAIL = 4096
# What a whole file has near its end. The decoder fills what is missing with grey and says nothing.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}


def opencv():
    """Return the module that MXNet encodes images with, which is optional there; refuse where it is missing."""
    if mx.recordio.cv2 is None:
        raise AccnnError("images are read and written by OpenCV, which cannot be imported: "
                         "pip install opencv-python-headless")
    return mx.recordio.cv2


def encoder(root, shorter=0, quality=95, pass_through=False):
    """Return the function that makes a record of an Image; it may be called in several threads.

    Parameters
    ----------
    root : str
        Folder that the names start from.
    shorter : int
        Length of the shorter side; 0 leaves it alone.
    quality : int
        Of the JPEG.
    pass_through : bool
        Take the files' bytes as they are.

    Returns
    -------
    callable
        Takes an :class:`accnn.data.folder.Image`; returns bytes, or None for one that cannot be read.
    """
    cv2 = opencv()
    # For packing as it is, a look at an eighth of the picture tells whether it is one.
    mode = cv2.IMREAD_REDUCED_GRAYSCALE_8 if pass_through else cv2.IMREAD_COLOR

    def encode(image):
        header = mx.recordio.IRHeader(0, float(image.label), image.id, 0)
        try:
            with open_input(os.path.join(root, image.name), "rb") as file:
                content = file.read()
            pixels = None if _cut_off(content) else cv2.imdecode(np.frombuffer(content, np.uint8), mode)
            if pixels is None:
                return None
            if pass_through:
                return mx.recordio.pack(header, content)
            return mx.recordio.pack(header, encoded(_resized(pixels, shorter), ".jpg", quality))
        except (AccnnError, OSError, cv2.error):  # not to be opened; without pixels; too thin for JPEG
            return None
    return encode


def encoded(pixels, form, quality):
    """bytes: a picture as a file of the kind `form`, such as '.jpg'.

    ``mx.recordio.pack_img`` would need ``ndarray.tostring``, which NumPy 2.3 took away.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8
        (H, W), or (H, W, 3) in OpenCV's order: blue, green, red.
    form : {'.jpg', '.png'}
    quality : int
        Of a JPEG, 1 to 100; how hard a PNG is compressed, 0 to 9.
    """
    cv2 = opencv()
    option = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".png": cv2.IMWRITE_PNG_COMPRESSION}[form]
    return cv2.imencode(form, pixels, [option, quality])[1].tobytes()


def _cut_off(content):
    """Whether a JPEG or PNG file lacks its end, or anything is empty."""
    end = _ENDS.get(content[:2], b"")
    return not content or end not in content[-_TAIL:]


def _resized(pixels, shorter):
    """`pixels` with its shorter side `shorter` long, rounded as im2rec does; 0 leaves it alone."""
    if not shorter:
        return pixels
    height, width = pixels.shape[:2]
    size = (shorter, height * shorter // width) if height > width else (width * shorter // height, shorter)
    return mx.recordio.cv2.resize(pixels, size)


_NAMED = 5  # broken images named in the sentence


@contextlib.contextmanager
def record_writer(rec, idx):
    """Yield the function that writes the next record; see to it, when the block ends, that all reached the disk.

    MXNet does not look whether its last bytes did. To have both files or none, let
    :func:`accnn.core.files.written_together` give the names.

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
        As :func:`accnn.data.pack.encoder` returns it.
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
    return AccnnError("%d of %d images cannot be read: %s; mend or remove them%s"
                      % (len(broken), total, some([image.name for image in broken], _NAMED),
                         ", or say `skip_broken`" if len(broken) < total else ""))


def _write_lines(path, lines):
    # Names that are no UTF-8 come from os.walk with their bytes escaped.
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(line + "\n" for line in lines)

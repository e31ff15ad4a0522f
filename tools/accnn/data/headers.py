"""Records without a picture, which InsightFace's tools write among the images: left out, and MXNet led past them."""
import atexit
import contextlib
import os
from dataclasses import replace

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import full_disk_as_sentence, temporary_folder
from accnn.core.progress import say
from accnn.core.text import megabytes

_BLOCK = 1 << 24
_copies = contextlib.ExitStack()  # as long as the process: every pass of every epoch reads them
atexit.register(_copies.close)


def without_headers(records, empty, size):
    """Leave out records without a picture.

    InsightFace's ``face2rec2`` writes one of id 0 with the numbers of the others, and one of every person. Images may
    carry a second label there, whether they are aligned: the first is the class.

    Parameters
    ----------
    records : Records
    empty : ndarray of bool
        Which records carry several labels and no picture.
    size : int
        Bytes of the file.

    Returns
    -------
    Records
    """
    if not empty.any():
        return records
    kept = np.flatnonzero(~empty)
    if not len(kept):
        raise AccnnError("%s holds no pictures: all its %d records are headers, as InsightFace's tools write them"
                         % (records.path, len(empty)))
    several = records.several[kept]
    # MXNet gets the first label by the number of the image.
    first = bool(several.any()) and len(set(records.ids[kept].tolist())) == len(kept)
    say("%s: leaving out %d of %d records, which hold no picture but labels, as InsightFace's tools write them%s"
        % (records.path, len(empty) - len(kept), len(empty),
           "; of several labels of an image the first is taken" if first else ""))
    some = replace(records, offsets=records.offsets[kept], labels=records.labels[kept], several=several,
                   ids=records.ids[kept], numbers=kept, first_of_several=first)
    # MXNet reads from one offset of the index to the next, and from the last to the end of the file.
    return some if kept[0] + len(kept) == len(empty) else _copied(some, records, kept, size)


def _copied(some, records, kept, size):
    """`some` with a file of their own, made once and kept as long as the process runs."""
    ends = np.append(records.offsets[1:], size)[kept]
    sizes = ends - some.offsets
    folder = _copies.enter_context(temporary_folder())
    path = os.path.join(folder, "images.rec")
    say("copying %s of them to %s, without the records behind them" % (megabytes(sizes.sum()), folder))
    with full_disk_as_sentence(path), open(records.path, "rb") as whole, open(path, "wb") as copy:
        for start, end in _runs(some.offsets, ends):
            _copy(whole, copy, start, end)
    return replace(some, content=path, offsets=np.cumsum(sizes) - sizes)


def _runs(starts, ends):
    """Yield (start, end) of records that follow each other without a gap."""
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    for some in np.split(np.arange(len(starts)), breaks):
        yield int(starts[some[0]]), int(ends[some[-1]])


def _copy(whole, copy, start, end):
    whole.seek(start)
    while start < end:
        block = whole.read(min(_BLOCK, end - start))
        copy.write(block)
        start += len(block)
        if not block:
            return

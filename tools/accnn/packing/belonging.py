"""Whether a table of labels belongs to the records beside it: a run that was killed may have left an old one."""
import os

import numpy as np

from accnn.data.records import open_records
from accnn.errors import AccnnError
from accnn.files import open_input
from accnn.packing.classes import read_lines

_END = "-labels.txt"


def check_belongs(path):
    """Refuse ``PREFIX-labels.txt`` where ``PREFIX.rec`` and ``PREFIX.lst`` are of other classes; other names are fine.

    Parameters
    ----------
    path : str

    Raises
    ------
    AccnnError
        The records have other labels than the list, or the list names other folders than the table.
    """
    prefix = path[:-len(_END)]
    if not path.endswith(_END) or not os.path.isfile(prefix + ".lst"):
        return
    images, names = _listed(prefix + ".lst"), read_lines(path)
    if images and (any(label >= len(names) for label, _ in images) or _other_folders(images, names)):
        raise AccnnError("%s does not belong to %s, whose images are of other classes: pack the images again, with "
                         "--force" % (path, prefix + ".lst"))
    if images and os.path.isfile(prefix + ".rec"):
        labels = open_records(prefix + ".rec").labels
        if not np.array_equal(labels, [label for label, _ in images]):
            raise AccnnError("%s and %s do not belong to %s, whose records have other labels: pack the images again, "
                             "with --force" % (path, prefix + ".lst", prefix + ".rec"))


def _listed(path):
    """list of (label, folder): of every line; empty for a list of another form."""
    with open_input(path, encoding="utf-8", errors="surrogateescape") as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle]
    try:
        return [(int(float(label)), name.split(os.sep)[0]) for _, label, name in rows]
    except ValueError:
        return []


def _other_folders(images, names):
    """bool: whether images lie in folders of classes, and not all in those that their labels say."""
    in_folders = not set(names).isdisjoint(folder for _, folder in images)
    return in_folders and any(names[label] != folder for label, folder in images)

"""The images of a folder: which there are, and which class each one's subfolder says."""
import os
import re
from typing import NamedTuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import open_input
from accnn.core.progress import say
from accnn.data.records import open_records

EXTENSIONS = (".jpg", ".jpeg", ".png")


class Image(NamedTuple):
    """One line of the list.

    Attributes
    ----------
    id : int
        Position among the sorted names.
    label : int
    name : str
        Path below the root.
    """

    id: int
    label: int
    name: str


def find_images(root):
    """Return the paths of all images below `root`, relative to it, sorted; hidden files and folders are none.

    Raises
    ------
    AccnnError
        There are none, or a name cannot stand in a list.
    """
    names = list(_files(root))
    images = sorted(name for name in names if name.lower().endswith(EXTENSIONS))
    if not images:
        raise AccnnError("%s holds no images (%s)" % (root, ", ".join(EXTENSIONS)))
    for name in images:
        if re.search(r"[\t\r\n]", name):
            raise AccnnError("%r cannot stand in a list: rename it, without tabs and line breaks" % name)
    if len(images) < len(names):
        say("%d files are no %s: left out" % (len(names) - len(images), " or ".join(EXTENSIONS)))
    return images


def _files(root):
    """Yield the paths, relative to `root`, of all files that are not hidden."""
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        subfolders[:] = _shown(subfolders)
        for name in subfolders:
            _refuse_circle(os.path.join(folder, name))
        for name in _shown(files):
            yield os.path.relpath(os.path.join(folder, name), root)


def _refuse_circle(folder):
    """Refuse a link to a folder that it lies in: its images would be found over and over."""
    if os.path.islink(folder):
        target, here = os.path.realpath(folder), os.path.realpath(os.path.dirname(folder))
        if os.path.commonpath([target, here]) == target:
            raise AccnnError("%s is a link to %s, in which it lies: remove it" % (folder, target))


def _refuse(error):
    raise error


def _shown(names):
    return [name for name in names if not name.startswith(".")]


def folder_labels(root, names, classes=None):
    """Label images by the subfolder of `root` that they are in.

    Parameters
    ----------
    root : str
    names : list of str
        As :func:`find_images` returns them.
    classes : list of str, optional
        Subfolders in the order of their labels; without, the subfolders sorted.

    Returns
    -------
    labels : list of int
    classes : list of str

    Raises
    ------
    AccnnError
        An image is in no subfolder, or a subfolder leaves the labels in doubt.
    """
    for name in names:
        if os.sep not in name:
            raise AccnnError("%s is in no subfolder of %s: give every class a subfolder, or the labels by `labels=FILE`"
                             % (name, root))
    folders = [name.split(os.sep)[0] for name in names]
    there = _shown(entry.name for entry in os.scandir(root) if entry.is_dir())
    empty = sorted(set(there) - set(folders))
    if empty and classes is None:
        raise AccnnError("the subfolder %s of %s holds no images, so the labels after it would be in doubt: remove it, "
                         "or give all classes by `classes=FILE`" % (empty[0], root))
    return numbered(folders, classes, "subfolder")


def numbered(words, classes, kind):
    """Turn names of classes into labels.

    Parameters
    ----------
    words : list of str
        The class of every image.
    classes : list of str or None
        Names in the order of their labels; more may follow a name, as in synset.txt. None sorts those of `words`.
    kind : str
        What an error calls a word.

    Returns
    -------
    labels : list of int
    classes : list of str

    Raises
    ------
    AccnnError
        `classes` lacks a name, or has one twice.
    """
    found = set(words)
    if classes is None:
        classes = sorted(found)
    elif not found <= set(classes):
        # synset.txt says what a class shows after its name.
        classes = [(line.split() or [""])[0] for line in classes]
    labels = {name: label for label, name in enumerate(classes)}
    if len(labels) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise AccnnError("`classes` names a class twice: %s" % twice)
    unknown = sorted(found - set(labels))
    if unknown:
        raise AccnnError("the %s %s is not among the %d names of `classes`" % (kind, unknown[0], len(classes)))
    return [labels[word] for word in words], classes


def read_lines(path):
    """Return the lines of a text file, without blanks at their ends and empty lines at its end; refuse an empty one."""
    try:
        with open_input(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file.read().rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise AccnnError("%s is no text file in UTF-8: %s" % (path, error.reason)) from error
    if not lines:
        raise AccnnError("%s is empty" % path)
    return lines


LARGEST_LABEL = 2 ** 24  # records hold labels as float32


def read_labels(path, names, classes=None, first=0):
    """Read the label of every image from a file.

    Parameters
    ----------
    path : str
        Lines 'name label', in any order, or 'label', in the order of `names`.
    names : list of str
        As :func:`accnn.data.folder.find_images` returns them.
    classes : list of str, optional
        Names in the order of their labels.
    first : int
        What numbers in the file begin with; subtracted.

    Returns
    -------
    labels : list of int
    classes : list of str or None
        None when the file holds numbers, and no `classes` were given.

    Raises
    ------
    AccnnError
        The file is about other images, or a label is none.
    """
    lines = read_lines(path)
    words = (_words_by_name if len(lines[0].split()) > 1 else _words)(path, lines, names)
    names_a_class = [_names_a_class(path, word) for word in words]
    if all(names_a_class):
        return numbered(words, classes, "label")
    if any(names_a_class):
        raise AccnnError("%s: the label %r is no number, others are: use numbers or names throughout"
                         % (path, words[names_a_class.index(True)]))
    labels = [int(word) - first for word in words]
    _check_numbers(path, labels, first, classes)
    return labels, classes


def _words(path, lines, names):
    """The labels of lines that hold nothing else."""
    if len(lines) != len(names):
        raise AccnnError("%s has %d lines, but there are %d images: one label a line, in the order of the sorted names"
                         % (path, len(lines), len(names)))
    for number, line in enumerate(lines, 1):
        if len(line.split()) != 1:
            raise AccnnError("%s, line %d: %r is not one label, as in line 1" % (path, number, line))
    return lines


def _words_by_name(path, lines, names):
    """The labels of lines that begin with the image's name, in the order of `names`."""
    words = {}
    for number, line in enumerate(lines, 1):
        parts = line.rsplit(None, 1)
        if len(parts) != 2:
            raise AccnnError("%s, line %d: %r is not a name and a label, as in line 1" % (path, number, line))
        name = os.path.normpath(parts[0])
        if words.setdefault(name, parts[1]) != parts[1]:
            raise AccnnError("%s, line %d: %s has another label above" % (path, number, name))
    missing = [name for name in names if name not in words]
    if missing:
        raise AccnnError("%s has no label for %d of %d images, the first is %s"
                         % (path, len(missing), len(names), missing[0]))
    absent = sorted(set(words) - set(names))
    if absent:
        raise AccnnError("%s labels %d images that are not there, the first is %s" % (path, len(absent), absent[0]))
    return [words[name] for name in names]


def _names_a_class(path, word):
    """Whether a label is a name; False for a whole number, and an error for any other number."""
    if re.fullmatch(r"\d+", word):
        return False
    if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", word):
        raise AccnnError("%s: the label %s is neither a whole number from 0 nor a class's name" % (path, word))
    return True


def _check_numbers(path, labels, first, classes):
    low, high = min(labels), max(labels)
    if low < 0:
        raise AccnnError("%s: a label %d is below `first=%d`" % (path, low + first, first))
    if high >= LARGEST_LABEL:
        raise AccnnError("%s: the label %d is too large for a record: number the classes from 0" % (path, high + first))
    if classes is not None and high >= len(classes):
        raise AccnnError("%s: a label %d, but `classes` names %d classes" % (path, high + first, len(classes)))
    if low == 1 and first == 0:
        say("no image has the label 0, and the labels end with %d: if the file counts from 1, say `first=1`"
            % high)


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
                         "`force`" % (path, prefix + ".lst"))
    if images and os.path.isfile(prefix + ".rec"):
        labels = open_records(prefix + ".rec").labels
        if not np.array_equal(labels, [label for label, _ in images]):
            raise AccnnError("%s and %s do not belong to %s, whose records have other labels: pack the images again, "
                             "with `force`" % (path, prefix + ".lst", prefix + ".rec"))


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

"""Files of labels: a line for every image, with its name or in the order of the names, a number or a class."""
import os
import re

from accnn.cli import say
from accnn.errors import AccnnError
from accnn.packing.classes import numbered, read_lines

LARGEST_LABEL = 2 ** 24  # records hold labels as float32


def read_labels(path, names, classes=None, first=0):
    """Read the label of every image from a file.

    Parameters
    ----------
    path : str
        Lines 'name label', in any order, or 'label', in the order of `names`.
    names : list of str
        As :func:`accnn.packing.listing.find_images` returns them.
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
        raise AccnnError("%s: a label %d is below --first-label %d" % (path, low + first, first))
    if high >= LARGEST_LABEL:
        raise AccnnError("%s: the label %d is too large for a record: number the classes from 0" % (path, high + first))
    if classes is not None and high >= len(classes):
        raise AccnnError("%s: a label %d, but --classes names %d classes" % (path, high + first, len(classes)))
    if low == 1 and first == 0:
        say("no image has the label 0, and the labels end with %d: if the file counts from 1, say --first-label 1"
            % high)

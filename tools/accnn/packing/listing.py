"""The images of a folder: which there are, and which class each one's subfolder says."""
import os
import re
from typing import NamedTuple

from accnn.cli import say
from accnn.errors import AccnnError
from accnn.packing.classes import numbered

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
            raise AccnnError("%s is in no subfolder of %s: give every class a subfolder, or the labels by --labels FILE"
                             % (name, root))
    folders = [name.split(os.sep)[0] for name in names]
    there = _shown(entry.name for entry in os.scandir(root) if entry.is_dir())
    empty = sorted(set(there) - set(folders))
    if empty and classes is None:
        raise AccnnError("the subfolder %s of %s holds no images, so the labels after it would be in doubt: remove it, "
                         "or give all classes by --classes FILE" % (empty[0], root))
    return numbered(folders, classes, "subfolder")

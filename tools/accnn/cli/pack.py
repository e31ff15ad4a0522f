"""The steps of pack.py: checks, the list of the images, the files."""
import os

import numpy as np

from accnn.cli.outputs import check_prefix, claimed
from accnn.cli.replacing import check_replaced
from accnn.core.errors import AccnnError
from accnn.core.files import recover
from accnn.data.folder import LARGEST_LABEL, Image, check_belongs, find_images, folder_labels, read_labels, read_lines
from accnn.data.pack import encoder, pack, paths, summary

_RANGES = {"resize": (0, 16384), "quality": (1, 100), "num_thread": (1, 256), "seed": (0, 2 ** 32 - 1),
           "first_label": (0, LARGEST_LABEL)}


def run(args):
    """Do what the options of pack.py say.

    Returns
    -------
    dict
        As :func:`accnn.data.pack.summary` gives it.

    Raises
    ------
    AccnnError
    """
    _check(args)
    check_prefix("PREFIX", args.prefix, r"\.rec|\.idx|\.lst|-labels\.txt")
    with claimed("PREFIX", args.prefix):
        return _packed(args)


def _packed(args):
    _check_targets(args)
    images, classes = _listed(args)
    if args.shuffle:
        order = np.random.RandomState(args.seed).permutation(len(images))
        images = [images[position] for position in order]
    encode = encoder(args.root, args.resize, args.quality, args.pass_through)
    packed, broken = pack(images, classes, args.prefix, encode, args.num_thread, args.skip_broken)
    return summary(packed, broken, classes, paths(args.prefix, named=classes is not None))


def _check(args):
    if not os.path.isdir(args.root):
        raise AccnnError("%s is no folder: name the one that holds the images" % args.root)
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(args, name) <= high:
            raise AccnnError("--%s %d: give a number from %d to %d"
                             % (name.replace("_", "-"), getattr(args, name), low, high))
    if args.pass_through and args.resize:
        raise AccnnError("--pass-through packs the files as they are: leave out --resize, or --pass-through")
    if args.first_label and not args.labels:
        raise AccnnError("--first-label is about the numbers in --labels, which is not given")


def _check_targets(args):
    recover(args.prefix)
    check_replaced("PREFIX", args.prefix, list(paths(args.prefix, named=True).values()), args.force)


def _listed(args):
    """Return the images in the order of their names, and the classes' names or None."""
    if args.classes:
        check_belongs(args.classes)
    names = find_images(args.root)
    classes = read_lines(args.classes) if args.classes else None
    if args.labels:
        labels, classes = read_labels(args.labels, names, classes, args.first_label)
    else:
        labels, classes = folder_labels(args.root, names, classes)
    return [Image(number, *pair) for number, pair in enumerate(zip(labels, names))], classes

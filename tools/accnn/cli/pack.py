"""pack.py: its options, checks, the list of the images, the files."""
import json
import os
import time

import numpy as np

from accnn.cli.outputs import check_prefix, claimed
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.files import recover
from accnn.core.text import seconds
from accnn.data import folder
from accnn.data.pack import encoder, pack, paths, summary, table

_RANGES = {"resize": (0, 16384), "quality": (1, 100), "num_thread": (1, 256), "seed": (0, 2 ** 32 - 1),
           "first_label": (0, folder.LARGEST_LABEL)}


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-pack", description)
    arguments.add_argument("root", metavar="ROOT", help="folder of the images (%s)" % " ".join(folder.EXTENSIONS))
    arguments.add_argument("prefix", metavar="PREFIX", help="beginning of the names of the files to be written")
    arguments.add_argument("--labels", metavar="FILE", help="the images' labels, instead of subfolders")
    arguments.add_argument("--classes", metavar="FILE",
                           help="the classes' names in the order of their labels, one a line, as in synset.txt")
    arguments.add_argument("--first-label", type=int, default=0, metavar="N",
                           help="what the numbers in --labels begin with; it becomes 0 (default: %(default)s)")
    arguments.add_argument("--resize", type=int, default=0, metavar="PIXELS",
                           help="make the shorter side this long (default: as it is)")
    arguments.add_argument("--quality", type=int, default=95, help="of the JPEG (default: %(default)s)")
    arguments.add_argument("--pass-through", action="store_true", help="pack the files' bytes as they are")
    arguments.add_argument("--num-thread", type=int, default=2, metavar="N", help="(default: %(default)s)")
    arguments.add_argument("--shuffle", action="store_true", help="mix the order: wanted for training")
    arguments.add_argument("--seed", type=int, default=0, help="of --shuffle (default: %(default)s)")
    arguments.add_argument("--skip-broken", action="store_true",
                           help="leave out images that cannot be read, instead of stopping")
    add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print the summary as JSON")
    return arguments


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    _check(args)
    check_prefix("PREFIX", args.prefix, r"\.rec|\.idx|\.lst|-labels\.txt")
    with claimed("PREFIX", args.prefix):
        found = _packed(args)
    found["seconds"] = time.monotonic() - args.started
    print(json.dumps(found, indent=2) if args.json else "\n".join(table(found) + [seconds(found["seconds"])]))


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
        folder.check_belongs(args.classes)
    names = folder.find_images(args.root)
    classes = folder.read_lines(args.classes) if args.classes else None
    if args.labels:
        labels, classes = folder.read_labels(args.labels, names, classes, args.first_label)
    else:
        labels, classes = folder.folder_labels(args.root, names, classes)
    return [folder.Image(number, *pair) for number, pair in enumerate(zip(labels, names))], classes

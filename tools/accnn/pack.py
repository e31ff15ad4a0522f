"""Pack a folder of images as RecordIO, which training, scoring and timing read.

    python pack.py photos photos-train --resize 256 --shuffle         photos/cat/*.jpg, photos/dog/*.jpg ...
    python pack.py ILSVRC2012_img_val imagenet-val --resize 256 --labels val.txt

One subfolder a class: labels 0, 1, 2 ... in the alphabetical order of the subfolders. With --labels, a line for every
image: 'NAME LABEL', or 'LABEL' alone in the order of the sorted names. A label is a number, counted from 0, or the name
of a class (n01440764), which is numbered in alphabetical order or as --classes says.

ILSVRC2012_validation_ground_truth.txt numbers its classes from 1 in an order of its own; pretrained networks count
WordNet ids in alphabetical order. With the ids in the order of the development kit, one a line, translate it first:

    awk 'NR==FNR {id[NR]=$1; next} {print id[$1]}' kit-ids.txt ILSVRC2012_validation_ground_truth.txt > val.txt

Writes PREFIX.rec, .idx, .lst (id, label, name; as im2rec's) and, where classes have names, PREFIX-labels.txt: one name
a line, label 0 first, which is a file for --classes.
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import json
import sys
import time

from accnn.cli import main as cli
from accnn.cli import replacing
from accnn.core.text import seconds


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    from accnn.data.folder import EXTENSIONS

    arguments = argparse.ArgumentParser("accnn-pack", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("root", metavar="ROOT", help="folder of the images (%s)" % " ".join(EXTENSIONS))
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
    replacing.add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print the summary as JSON")
    return arguments


def _main(argv):
    started = time.monotonic()
    args = cli.parsed(parser(), argv)
    from accnn.cli import pack as command
    from accnn.data import pack as report

    found = command.run(args)
    found["seconds"] = time.monotonic() - started
    print(json.dumps(found, indent=2) if args.json else "\n".join(
        report.table(found) + [seconds(found["seconds"])]))


if __name__ == "__main__":
    sys.exit(main())

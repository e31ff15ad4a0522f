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
import collections
import contextlib
import json
import os
import re
import sys
import time

from accnn import cli
from accnn.errors import AccnnError

EXTENSIONS = (".jpg", ".jpeg", ".png")
_LARGEST_LABEL = 2 ** 24       # records hold labels as float32
_LONGEST_TABLE = 20
_NAMED = 5                     # broken images named in the sentence
_TAIL = 4096
# What a whole file has near its end. The decoder fills what is missing with grey and says nothing.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}

Image = collections.namedtuple("Image", "id label name")
Image.__doc__ = "One line of the list: position among the sorted names, label, path below the root."


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
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
    arguments.add_argument("--force", action="store_true", help="replace files that are there")
    arguments.add_argument("--json", action="store_true", help="print the summary as JSON")
    return arguments


def _main(argv):
    started = time.monotonic()
    args = parser().parse_args(argv)
    _check(args)
    names = find_images(args.root)
    classes = _lines(args.classes) if args.classes else None
    if args.labels:
        labels, classes = read_labels(args.labels, names, classes, args.first_label)
    else:
        labels, classes = folder_labels(args.root, names, classes)
    images = [Image(*line) for line in zip(range(len(names)), labels, names)]
    if args.shuffle:
        images = _shuffled(images, args.seed)
    broken = pack(images, classes, args.prefix, _encoder(args), args.num_thread, args.skip_broken)
    left_out = set(broken)
    images = [image for image in images if image.name not in left_out]
    _show(dict(_summary(images, classes, args.prefix), left_out=broken, seconds=time.monotonic() - started), args.json)


def _check(args):
    from accnn.output import check_folder

    if not os.path.isdir(args.root):
        raise AccnnError("%s is no folder: name the one that holds the images" % args.root)
    for option, low, high in (("resize", 0, 16384), ("quality", 1, 100), ("num_thread", 1, 256), ("seed", 0, 2**32 - 1),
                              ("first_label", 0, _LARGEST_LABEL)):
        if not low <= getattr(args, option) <= high:
            raise AccnnError("--%s %d: give a number from %d to %d"
                             % (option.replace("_", "-"), getattr(args, option), low, high))
    if args.pass_through and args.resize:
        raise AccnnError("--pass-through packs the files as they are: leave out --resize, or --pass-through")
    if args.first_label and not args.labels:
        raise AccnnError("--first-label is about the numbers in --labels, which is not given")
    check_folder("PREFIX", args.prefix)
    there = [path for path in _paths(args.prefix, classes=[]).values() if os.path.exists(path)]
    if there and not args.force:
        raise AccnnError("%s would be replaced: choose another PREFIX, or say --force" % ", ".join(there))


def _paths(prefix, classes):
    """What is written: the table of labels only where classes have names."""
    paths = {kind: "%s.%s" % (prefix, kind) for kind in ("rec", "idx", "lst")}
    return paths if classes is None else dict(paths, labels=prefix + "-labels.txt")


def find_images(root):
    """Return the paths of all images below `root`, relative to it, sorted; hidden files and folders are none.

    Raises
    ------
    AccnnError
        There are none, or a name cannot stand in a list.
    """
    names, others = [], 0
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        seen = [os.path.relpath(os.path.join(folder, name), root) for name in files if not name.startswith(".")]
        images = [name for name in seen if name.lower().endswith(EXTENSIONS)]
        names += images
        others += len(seen) - len(images)
    if not names:
        raise AccnnError("%s holds no images (%s)" % (root, ", ".join(EXTENSIONS)))
    for name in names:
        if re.search(r"[\t\r\n]", name):
            raise AccnnError("%r cannot stand in a list: rename it, without tabs and line breaks" % name)
    if others:
        cli.say("%d files are no %s: left out" % (others, " or ".join(EXTENSIONS)))
    return sorted(names)


def _refuse(error):
    raise error


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
    """
    folders = [name.split(os.sep)[0] if os.sep in name else None for name in names]
    if None in folders:
        alone = names[folders.index(None)]
        raise AccnnError("%s is in no subfolder of %s: give every class a subfolder, or the labels by --labels FILE"
                         % (alone, root))
    found = sorted(set(folders))
    empty = sorted({entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."} - set(found))
    if empty and classes is None:
        raise AccnnError("the subfolder %s of %s holds no images, so the labels after it would be in doubt: remove it, "
                         "or give all classes by --classes FILE" % (empty[0], root))
    return _numbered(folders, classes, "subfolder")


def read_labels(path, names, classes=None, first=0):
    """Read the label of every image from a file.

    Parameters
    ----------
    path : str
        Lines 'name label', in any order, or 'label', in the order of `names`.
    names : list of str
        As :func:`find_images` returns them.
    classes : list of str, optional
        Names in the order of their labels.
    first : int
        What numbers in the file begin with; subtracted.

    Returns
    -------
    labels : list of int
    classes : list of str or None
        None when the file holds numbers.
    """
    lines = _lines(path)
    words = _words_by_name(path, lines, names) if lines and len(lines[0].split()) > 1 else _words(path, lines, names)
    numbers = [re.fullmatch(r"\d+", word) is not None for word in words]
    for word, number in zip(words, numbers):
        if not number and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", word):
            raise AccnnError("%s: the label %s is neither a whole number from 0 nor a class's name" % (path, word))
    if not any(numbers):
        return _numbered(words, classes, "label")
    if not all(numbers):
        raise AccnnError("%s: the label %r is no number, others are: use numbers or names throughout"
                         % (path, words[numbers.index(False)]))
    labels = [int(word) - first for word in words]
    _check_numbers(path, labels, first, classes)
    return labels, classes


def _check_numbers(path, labels, first, classes):
    low, high = min(labels), max(labels)
    if low < 0:
        raise AccnnError("%s: a label %d is below --first-label %d" % (path, low + first, first))
    if high >= _LARGEST_LABEL:
        raise AccnnError("%s: the label %d is too large for a record: number the classes from 0" % (path, high + first))
    if classes is not None and high >= len(classes):
        raise AccnnError("%s: a label %d, but --classes names %d classes" % (path, high + first, len(classes)))
    if low == 1 and first == 0:
        cli.say("no image has the label 0, and the labels end with %d: if the file counts from 1, say --first-label 1"
                % high)


def _words(path, lines, names):
    if len(lines) != len(names):
        raise AccnnError("%s has %d lines, but there are %d images: one label a line, in the order of the sorted names"
                         % (path, len(lines), len(names)))
    for number, line in enumerate(lines, 1):
        if len(line.split()) != 1:
            raise AccnnError("%s, line %d: %r is not one label, as in line 1" % (path, number, line))
    return [line.strip() for line in lines]


def _words_by_name(path, lines, names):
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
    if len(words) > len(names):
        absent = min(set(words) - set(names))
        raise AccnnError("%s labels %d images that are not there, the first is %s"
                         % (path, len(words) - len(names), absent))
    return [words[name] for name in names]


def _numbered(words, classes, kind):
    """Turn names of classes into numbers: (labels, classes)."""
    found = set(words)
    if classes is None:
        classes = sorted(found)
    elif not found <= set(classes):
        # synset.txt says what a class shows after its name.
        classes = [(line.split() or [""])[0] for line in classes]
    numbers = {name: number for number, name in enumerate(classes)}
    if len(numbers) < len(classes):
        raise AccnnError("--classes names a class twice: %s"
                         % next(name for name, times in collections.Counter(classes).items() if times > 1))
    unknown = sorted(found - set(numbers))
    if unknown:
        raise AccnnError("the %s %s is not among the %d names of --classes" % (kind, unknown[0], len(classes)))
    return [numbers[word] for word in words], classes


def _lines(path):
    """The lines of a text file, without blanks at their ends and empty lines at its end."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file.read().rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise AccnnError("%s is no text file in UTF-8: %s" % (path, error.reason)) from error
    if not lines:
        raise AccnnError("%s is empty" % path)
    return lines


def _shuffled(images, seed):
    import numpy as np

    return [images[position] for position in np.random.RandomState(seed).permutation(len(images))]


def pack(images, classes, prefix, encode, threads=1, skip_broken=False):
    """Write the list, the records and their index: all files, or none.

    MXNet's own ``im2rec`` makes the same bytes, but drops images that it cannot read without a word of its exit code,
    or dies of them, and packs every list whose name begins alike.

    Parameters
    ----------
    images : list of Image
    classes : list of str or None
        Names by label, where they have names.
    prefix : str
    encode : callable
        Takes an Image; returns the record's bytes, or None for an image that cannot be read.
    threads : int
    skip_broken : bool

    Returns
    -------
    list of str
        The images left out.

    Raises
    ------
    AccnnError
        An image cannot be read and `skip_broken` is not set, or none can.
    """
    from accnn.files import written_together

    paths = _paths(prefix, classes)
    with written_together(list(paths.values())) as temporaries:
        files = dict(zip(paths, temporaries))
        broken = _write_records(files, images, encode, threads)
        if broken and (len(broken) == len(images) or not skip_broken):
            raise AccnnError("%d of %d images cannot be read: %s%s; mend or remove them%s"
                             % (len(broken), len(images), ", ".join(broken[:_NAMED]),
                                " ..." if len(broken) > _NAMED else "",
                                ", or say --skip-broken" if len(broken) < len(images) else ""))
        gone = set(broken)
        _write_lines(files["lst"], ["%d\t%f\t%s" % image for image in images if image.name not in gone])
        if classes is not None:
            _write_lines(files["labels"], classes)
    if classes is None:
        with contextlib.suppress(FileNotFoundError):  # a table of other labels would mislead
            os.unlink(_paths(prefix, classes=[])["labels"])
    return broken


def _write_records(files, images, encode, threads):
    """Write the records, in order; return the names of the images that could not be read."""
    from multiprocessing.pool import ThreadPool  # OpenCV works without Python's lock

    from accnn.compat import mx

    broken, progress = [], cli.Progress("packing", len(images))
    try:
        with contextlib.closing(mx.recordio.MXIndexedRecordIO(files["idx"], files["rec"], "w")) as writer, \
                ThreadPool(threads) as pool:
            for done, (image, record) in enumerate(zip(images, pool.imap(encode, images))):
                progress(done, image.name)
                if record is None:
                    broken.append(image.name)
                else:
                    writer.write_idx(image.id, record)
            expected = writer.tell()
    except mx.base.MXNetError as error:
        raise AccnnError("the records cannot be written, is the disk full? %s" % str(error).splitlines()[-1]) from error
    progress.close()
    # MXNet does not look whether its last bytes reached the disk.
    if os.path.getsize(files["rec"]) != expected or _count_lines(files["idx"]) != len(images) - len(broken):
        raise AccnnError("the records could not be written whole: is the disk full?")
    return broken


def _count_lines(path):
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _write_lines(path, lines):
    # Names that are no UTF-8 come from os.walk with their bytes escaped.
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(line + "\n" for line in lines)


def _encoder(args):
    """Return the function that makes a record of an Image; it is called in several threads."""
    from accnn.compat import mx

    cv2 = mx.recordio.cv2
    if cv2 is None:
        raise AccnnError("images are read by OpenCV, which cannot be imported: pip install opencv-python-headless")
    import numpy as np

    def encode(image):
        header = mx.recordio.IRHeader(0, float(image.label), image.id, 0)
        try:
            with open(os.path.join(args.root, image.name), "rb") as file:
                content = file.read()
            if _cut_off(content):
                return None
            # For packing as it is, a look at an eighth of the picture tells whether it is one.
            mode = cv2.IMREAD_REDUCED_GRAYSCALE_8 if args.pass_through else cv2.IMREAD_COLOR
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), mode)
            if pixels is None:
                return None
            if args.pass_through:
                return mx.recordio.pack(header, content)
            return mx.recordio.pack_img(header, _resized(cv2, pixels, args.resize), quality=args.quality)
        except (OSError, cv2.error):  # not to be opened; without pixels; thinner than a JPEG can be
            return None
    return encode


def _cut_off(content):
    """Whether a JPEG or PNG file lacks its end, or anything is empty."""
    end = _ENDS.get(content[:2], b"")
    return not content or end not in content[-_TAIL:]


def _resized(cv2, pixels, shorter):
    """`pixels` with its shorter side `shorter` long, rounded as im2rec does; 0 leaves it alone."""
    if not shorter:
        return pixels
    height, width = pixels.shape[:2]
    size = (shorter, height * shorter // width) if height > width else (width * shorter // height, shorter)
    return cv2.resize(pixels, size)


def _summary(images, classes, prefix):
    counts = collections.Counter(image.label for image in images)
    paths = _paths(prefix, classes)
    table = [{"label": label, "images": counts[label], **({"name": classes[label]} if classes else {})}
             for label in (range(len(classes)) if classes else sorted(counts))]
    return {"records": len(images), "classes": table, "bytes": os.path.getsize(paths["rec"]), "written": paths}


def _show(report, as_json):
    if as_json:
        print(json.dumps(report, indent=2))
        return
    if len(report["classes"]) <= _LONGEST_TABLE:
        for row in report["classes"]:
            print("label %-4d %6d images  %s" % (row["label"], row["images"], row.get("name", "")))
    print("%d records of %d classes, %.1f MB" % (report["records"], len(report["classes"]), report["bytes"] / 1e6))
    for name in report["left_out"]:
        print("left out %s" % name)
    for kind, path in report["written"].items():
        print("%-8s %s" % (kind, path))
    print("%.1f seconds" % report["seconds"])


if __name__ == "__main__":
    sys.exit(main())

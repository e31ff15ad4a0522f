"""python model_zoo/demo/pack_digits.py --work-dir accnn-demo

Writes scikit-learn's handwritten digits as RecordIO: ``digits-train`` and ``digits-val``, each a ``.rec`` and its
``.idx``. They are 1,797 scans of real handwriting, 8x8 pixels of 17 grey levels, and come with the package: nothing
is downloaded.
"""
import argparse
import functools
import os
import sys

import numpy as np

if not __package__:  # started as a script
    _REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The script's own folder goes off the path, so that no file in it shadows an installed module.
    sys.path[0] = os.path.join(_REPOSITORY, "tools")
    sys.path.append(_REPOSITORY)

from accnn.cli import main as cli
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import written_together
from accnn.data.pack import encoded, opencv, record_writer
from accnn.data.records import open_records

IMAGE_SHAPE = (3, 32, 32)  # what ImageRecordIter makes of the grey PNGs: channels, height, width
UPSCALING = 4              # 8x8 scans become 32x32: room for three poolings
VAL_PER_DIGIT = 50         # the same number of every digit, 500 in all; the rest is for training
SPLIT_SEED = 0
_SCAN_LEVELS = 16          # scikit-learn's scans hold 0..16


def upscale(scans, factor=UPSCALING):
    """Enlarge grey scans by bilinear interpolation, in whole numbers.

    Integer arithmetic gives the same pixels on every machine, which an image library does not promise.

    Parameters
    ----------
    scans : ndarray of shape (n, height, width)
        Grey levels 0..16, white is high.
    factor : int

    Returns
    -------
    ndarray of shape (n, factor * height, factor * width), uint8
        Grey levels 0..255.
    """
    scans = np.asarray(scans).astype(np.int64)
    rows = _bilinear_weights(scans.shape[1], factor)
    columns = _bilinear_weights(scans.shape[2], factor)
    enlarged = rows @ scans @ columns.T
    white = _SCAN_LEVELS * (2 * factor) ** 2
    return ((enlarged * 255 + white // 2) // white).astype(np.uint8)


def _bilinear_weights(size, factor):
    """Return the (size * factor, size) interpolation matrix, times 2 * factor so that it is whole."""
    weights = np.zeros((size * factor, size), np.int64)
    for position in range(size * factor):
        # Pixel centres: the position in units of 1 / (2 * factor) source pixels, clamped to the border's centre.
        place = min(max(2 * position + 1 - factor, 0), 2 * factor * (size - 1))
        left, share = divmod(place, 2 * factor)
        weights[position, left] += 2 * factor - share
        if share:
            weights[position, left + 1] += share
    return weights


def split(labels, per_digit=VAL_PER_DIGIT, seed=SPLIT_SEED):
    """Divide the images into training and validation, every digit equally often in validation.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    per_digit : int
    seed : int

    Returns
    -------
    train, val : ndarray of int
        Positions in `labels`, ascending, without overlap.
    """
    # RandomState's stream is frozen by NumPy's compatibility policy; Generator's is not.
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == digit))[:per_digit] for digit in np.unique(labels)]
    val = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), val), val


def load_scans():
    """Return scikit-learn's digits as (scans of shape (n, 8, 8), labels of shape (n,))."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise AccnnError(f"the demo's images come with scikit-learn, which cannot be imported ({error}): "
                         "pip install -e '.[demo]'") from error
    digits = load_digits()
    return digits.images, digits.target


def pack(folder, force=False):
    """Write both parts of the digits into `folder`, which is made if it is missing.

    Parameters
    ----------
    folder : str
    force : bool
        Replace files of these names that hold something else.

    Returns
    -------
    dict of str to str
        The ``.rec`` files under the keys 'train' and 'val'.
    """
    opencv()  # says what is missing before a folder is made
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise AccnnError(f"the folder {folder} cannot be made: {error.strerror}") from error
    scans, labels = load_scans()
    images = upscale(scans)
    parts = dict(zip(("train", "val"), split(labels)))
    prefixes = {name: os.path.join(folder, "digits-" + name) for name in parts}
    for name, positions in parts.items():
        files = [prefixes[name] + ".rec", prefixes[name] + ".idx"]
        is_ours = functools.partial(_holds, files[0], positions, labels[positions])
        check_replaced("--work-dir", folder, files, force, is_ours)
    return {name: _write_part(prefixes[name], images, labels, positions) for name, positions in parts.items()}


def _holds(rec, positions, labels, _path):
    """bool: whether a file holds these digits, packed by an earlier run."""
    try:
        records = open_records(rec)
    except AccnnError:
        return False
    return np.array_equal(records.ids, positions) and np.array_equal(records.labels, labels)


def _write_part(prefix, images, labels, positions):
    rec = prefix + ".rec"
    with written_together([rec, prefix + ".idx"]) as files, record_writer(*files) as write:
        for key, position in enumerate(positions):
            # The record's id is the scan's position in scikit-learn's array.
            header = mx.recordio.IRHeader(0, float(labels[position]), int(position), 0)
            write(key, mx.recordio.pack(header, encoded(images[position], ".png", quality=9)))
    return rec


def main(argv=None):
    """Pack the digits as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Write scikit-learn's handwritten digits as RecordIO.")
    parser.add_argument("--work-dir", default="accnn-demo", help="where the files go (default: %(default)s)")
    add_force_option(parser)
    options = parser.parse_args(argv)
    return cli.run(_packed, options.work_dir, options.force)


def _packed(folder, force):
    for rec in pack(folder, force).values():
        print(rec)


if __name__ == "__main__":
    sys.exit(main())

"""Command-line options that say which images are read and how, under the names of MXNet's classic scripts."""
from accnn.cli.types import positive
from accnn.data.images import Preprocessing
from accnn.data.records import open_records

_LARGEST_SIDE = 10000  # a picture of that height and width takes 300 MB


def add_preprocessing_options(parser, batch_size, batch_help="default: %(default)s"):
    """Options that say what becomes of a picture, and how many make a batch, with `batch_size` as the default."""
    add_picture_options(parser)
    parser.add_argument("--batch-size", type=positive, default=batch_size, metavar="N", help=batch_help)


def add_picture_options(parser):
    """Options that say what becomes of a picture."""
    parser.add_argument("--rgb-mean", type=_numbers, default=(0.0,), metavar="R,G,B",
                        help="subtracted from pixels 0..255 (default: 0,0,0)")
    parser.add_argument("--rgb-std", type=_numbers, default=(1.0,), metavar="R,G,B",
                        help="pixels are then divided by it (default: 1,1,1)")
    parser.add_argument("--resize", type=_side, default=0, metavar="N",
                        help="scale the shorter side to N pixels before the crop (default: leave it)")
    parser.add_argument("--data-nthreads", type=positive, default=4, metavar="N",
                        help="decoding threads, of which MXNet takes at most half the cores (default: %(default)s)")


def images_of(args, *files):
    """Callable that opens the first of some files of images that was given, or None where --resize changes sizes.

    Parameters
    ----------
    args : Namespace
    *files : str
        Names of attributes, such as 'data_val', beside each of which there is one such as 'data_val_idx'.
    """
    there = [name for name in files if getattr(args, name, None)]
    if not there or args.resize:
        return None
    return lambda: open_records(getattr(args, there[0]), getattr(args, there[0] + "_idx"))


def preprocessing(args, shape):
    """Preprocessing that the options of :func:`add_picture_options` describe, for images of `shape`."""
    return Preprocessing(shape, args.rgb_mean, args.rgb_std, args.resize, args.data_nthreads)


def _numbers(text):
    return tuple(float(number) for number in text.split(","))


def _side(text):
    number = int(text)
    if not 0 <= number <= _LARGEST_SIDE:
        raise ValueError
    return number


_numbers.__name__, _side.__name__ = "numbers", "number of pixels"

"""Command-line options that say which images are read and how, under the names of MXNet's classic scripts."""
from accnn.cli import say
from accnn.errors import AccnnError
from accnn.options import positive

_LARGEST_SIDE = 10000  # a picture of that height and width takes 300 MB


def add_preprocessing_options(parser, batch_size, batch_help="default: %(default)s"):
    """Options that say what becomes of a picture, with `batch_size` as the default."""
    parser.add_argument("--rgb-mean", type=_numbers, default=(0.0,), metavar="R,G,B",
                        help="subtracted from pixels 0..255 (default: 0,0,0)")
    parser.add_argument("--rgb-std", type=_numbers, default=(1.0,), metavar="R,G,B",
                        help="pixels are then divided by it (default: 1,1,1)")
    parser.add_argument("--resize", type=_side, default=0, metavar="N",
                        help="scale the shorter side to N pixels before the crop (default: leave it)")
    parser.add_argument("--batch-size", type=positive, default=batch_size, metavar="N", help=batch_help)
    parser.add_argument("--data-nthreads", type=positive, default=4, metavar="N",
                        help="decoding threads, of which MXNet takes at most half the cores (default: %(default)s)")


def image_input(model, given, images=None, labels=False):
    """The single input of an image network; says on stderr where its size is assumed, or one of several.

    Parameters
    ----------
    model : Model
    given : dict
        What ``--image-shape`` said, see :func:`accnn.options.input_shapes`.
    images : callable, optional
        Returns the Records that will be fed to it, see :func:`accnn.sizes.choose_shapes`.
    labels : bool
        Return the shapes of labels too that are given.

    Returns
    -------
    dict of str to tuple of int
        With one item, and the labels behind it.

    Raises
    ------
    AccnnError
        The network has several inputs, or one that is no image.
    """
    from accnn.graph.inputs import input_names
    from accnn.sizes import choose_shapes

    names, _ = input_names(model, given)
    if len(names) != 1:
        raise AccnnError("%s has the inputs %s: images can be fed to networks with one input only"
                         % (model.prefix, ", ".join(names) or "(none)"))
    shapes, assumed = choose_shapes(model, given, images)
    if len(shapes.get(names[0], ())) != 3:
        raise AccnnError("the input %s of %s has the shape %s, which is no image: give --image-shape C,H,W"
                         % (names[0], model.prefix, shapes.get(names[0], "(unknown)")))
    if assumed:
        say("nothing says the size of the input of %s: %s is assumed, give --image-shape"
            % (model.prefix, ",".join(map(str, shapes[names[0]]))))
    image = {names[0]: shapes.pop(names[0])}
    return dict(image, **shapes) if labels else image


def images_of(args, *files):
    """Callable that opens the first of some files of images that was given, or None where --resize changes sizes.

    Parameters
    ----------
    args : Namespace
    *files : str
        Names of attributes, such as 'data_val', beside each of which there is one such as 'data_val_idx'.
    """
    from accnn.data.records import open_records

    there = [name for name in files if getattr(args, name, None)]
    if not there or args.resize:
        return None
    return lambda: open_records(getattr(args, there[0]), getattr(args, there[0] + "_idx"))


def preprocessing(args, shape):
    """Preprocessing that the options of :func:`add_preprocessing_options` describe, for images of `shape`."""
    from accnn.data.images import Preprocessing

    return Preprocessing(shape, args.rgb_mean, args.rgb_std, args.resize, args.data_nthreads)


def _numbers(text):
    return tuple(float(number) for number in text.split(","))


def _side(text):
    number = int(text)
    if not 0 <= number <= _LARGEST_SIDE:
        raise ValueError
    return number


_numbers.__name__, _side.__name__ = "numbers", "number of pixels"

"""Calibration images on the command line: the options of every script that lets real images speak."""
import argparse
import contextlib
import os

from accnn.cli import options
from accnn.cli.data_options import add_preprocessing_options, images_of, preprocessing
from accnn.cli.outputs import check_config
from accnn.cli.types import positive
from accnn.core.errors import AccnnError
from accnn.core.layers import INT8
from accnn.core.progress import Progress
from accnn.data.enlarged import tell_enlarged
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.graph.cut import count_macs
from accnn.graph.shapes import chosen_batch
from accnn.graph.specs import layer_specs
from accnn.reconstruction import LINEAR, METRICS, NETWORK, SOLVERS
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import default_count, record_images

_BATCH_SIZE = 64
_RANGE_IMAGES, _RANGE_BATCH = 300, 8


def add_calibration_options(parser):
    """Options that say which images calibrate, and what they are used for."""
    group = add_image_options(parser, None)
    group.add_argument("--calib-positions", type=positive, default=10, metavar="N",
                       help="places of every image at which a layer's responses are sampled (default: %(default)s)")
    group.add_argument("--reconstruct", choices=("none",) + SOLVERS, default=argparse.SUPPRESS,
                       help="fit the factors to the true responses: linear = least squares; nonlinear = behind the "
                            "activation as well; none = the images choose ranks only (default: linear with "
                            "--data-calib)")
    group.add_argument("--symmetric", action="store_true",
                       help="fit to what layers read in the original network, not in the accelerated one (the paper's "
                            "ablation)")
    group.add_argument("--metric", choices=METRICS, default=NETWORK,
                       help="what an error of a response weighs: network = what it does to the network's outputs, by "
                            "their gradients; responses = its square, as in the paper (default: %(default)s)")
    group.add_argument("--joint", action="store_true",
                       help="improve all chains together against the network's outputs at the end, in some minutes")
    group.add_argument("--joint-mirror", action="store_true",
                       help="with --joint: against the mean of its outputs for an image and for its mirror image, by "
                            "itself more often right than either; for pictures that may be mirrored")
    group.add_argument("--sensitivity-table", metavar="FILE",
                       help="where --rank-selection sensitivity or latency keeps what it measured, for other ratios, "
                            "methods and costs (default: NAME-sensitivity.json beside what is written)")
    group.add_argument("--measured-ranks", type=positive, default=argparse.SUPPRESS, metavar="N",
                       help="ranks of a layer and method at which --rank-selection sensitivity or latency runs the "
                            "network at least; others are predicted; 10 measures all (default: 2)")


def add_image_options(parser, count, required=False):
    """Options that say which images calibrate, `count` of them by default; returns their group."""
    group = parser.add_argument_group("calibration", "with real images, which need no right labels")
    add_file_options(group, count, "RecordIO file of images such as the network is meant for", required)
    add_preprocessing_options(group, None, "images in one pass: of calibration (default: %d), and of what is timed, "
                                           "where anything is (default: 1)" % _BATCH_SIZE)
    return group


def add_file_options(parser, count, purpose, required=False):
    """Options that name a file of images, `count` of which are drawn by default; None: by the network."""
    parser.add_argument("--data-calib", metavar="REC", required=required, help=purpose)
    parser.add_argument("--data-calib-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    parser.add_argument("--calib-images", type=positive, default=count, metavar="N",
                        help="how many of them, drawn at random (default: %s)" % (
                            count or "all there are up to 20,000, fewer for large networks and nonlinear fits"))


def add_range_options(parser):
    """Options of scripts in which engines quantize networks: images that tell the ranges of INT8 tensors."""
    add_file_options(parser, _RANGE_IMAGES, "with --precision int8: RecordIO file of images that tell the range of "
                                            "every INT8 tensor")


def check_ranges(args, precisions):
    """Refuse images for INT8 where nothing is converted to it."""
    if args.data_calib is not None and INT8 not in precisions:
        raise AccnnError("--data-calib tells the ranges of INT8 tensors: give --precision int8 with it")


def image_shapes(args, model):
    """dict: the shape of a model's image, read from what calibrates where nothing else says it, and of its labels."""
    return image_input(model, options.input_shapes(args), images_of(args, "data_calib"), labels=True)


def range_batches(args, input_shapes):
    """Images that :func:`add_range_options` name.

    Parameters
    ----------
    args : Namespace
    input_shapes : dict of str to tuple of int
        The image's first.

    Returns
    -------
    list of dict of str to ndarray, or None
    """
    if args.data_calib is None:
        return None
    (name, shape), *_ = input_shapes.items()
    with drawn_images(args, name, shape, getattr(args, "seed", 0), _RANGE_BATCH) as images:
        return [{key: array.asnumpy() for key, array in batch.items()} for _, batch in images.batches()]


def files_of_images(args):
    """list of str: the files that :func:`add_file_options` make the script read, whether they are there or not."""
    index = args.data_calib_idx or args.data_calib and os.path.splitext(args.data_calib)[0] + ".idx"
    return [path for path in (args.data_calib, index) if path]


def check(args):
    """Refuse, before any work, wishes that need images when there are none."""
    if args.data_calib is None:
        for option, given in (("--reconstruct", getattr(args, "reconstruct", "none") != "none"),
                              ("--symmetric", args.symmetric), ("--joint", args.joint),
                              ("--joint-mirror", args.joint_mirror),
                              ("--measured-ranks", hasattr(args, "measured_ranks"))):
            if given:
                raise AccnnError("%s stands on real images: give --data-calib FILE.rec" % option)
    elif args.joint and getattr(args, "reconstruct", "linear") == "none":
        raise AccnnError("--joint improves chains that were fitted to images: leave out --reconstruct none")
    if args.joint_mirror and not args.joint:
        raise AccnnError("--joint-mirror says what --joint leads to: give --joint as well")


@contextlib.contextmanager
def calibrated(args, accelerator, written):
    """Let the images that the options name speak for the model of an accelerator, as long as the block lasts.

    `written` is a path of the script's own results; the table of sensitivities is kept beside it.
    """
    check(args)
    if args.data_calib is None:
        yield
        return
    read_only = getattr(args, "dry_run", False)  # a dry run may use what others measured, and writes nothing
    table = _table(args, written, read_only)
    solver, seed = getattr(args, "reconstruct", "linear"), getattr(args, "seed", 0)
    wish = ReconstructionConfig(None if solver == "none" else solver, args.symmetric, args.metric,
                                args.calib_positions, seed, measured=getattr(args, "measured_ranks", 2),
                                joint=args.joint, joint_mirror=args.joint_mirror)
    with opened_images(args, accelerator.model, accelerator.input_shapes) as images:
        accelerator.responses = Calibrated(accelerator, images, wish, Progress, table, read_only)
        yield


@contextlib.contextmanager
def opened_images(args, model, input_shapes):
    """Yield the RecordImages that the options of :func:`add_image_options` and ``--seed`` name, for a model."""
    seed = getattr(args, "seed", 0)
    if seed < 0:
        raise AccnnError("--seed %d: images are drawn by a number that is not negative" % seed)
    (name, shape), = image_input(model, input_shapes).items()
    batch_size = chosen_batch(model, {name: shape}, args.batch_size, _BATCH_SIZE)
    fits_linear = getattr(args, "reconstruct", LINEAR) == LINEAR
    multiply_adds = count_macs(layer_specs(model, input_shapes)) if fits_linear else None
    with drawn_images(args, name, shape, seed, batch_size, multiply_adds) as images:
        yield images


@contextlib.contextmanager
def drawn_images(args, name, shape, seed, batch_size, multiply_adds=None):
    """Yield the RecordImages that the options of :func:`add_file_options` name, for an input of a name and shape.

    `multiply_adds` say how many they are where no option does, see :func:`accnn.reconstruction.images.default_count`.
    """
    records, how = open_records(args.data_calib, args.data_calib_idx), preprocessing(args, shape)
    tell_enlarged(records, how)
    count = args.calib_images or default_count(len(records), multiply_adds)
    with record_images(records, how, name, count, seed, batch_size) as images:
        yield images


def _table(args, written, read_only):
    if args.sensitivity_table is not None:
        if not read_only:
            check_config("--sensitivity-table", args.model, args.sensitivity_table)  # before anything is measured
        return args.sensitivity_table
    return os.path.join(os.path.dirname(written), os.path.basename(args.model) + "-sensitivity.json")

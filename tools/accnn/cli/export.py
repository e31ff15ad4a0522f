"""export.py: its options, what it must not replace, the file, what was compared."""
import contextlib
import json
import os
import time

from accnn.cli import options
from accnn.cli.calibration import add_file_options, drawn_images, files_of_images
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.cli.outputs import check_config, say_replaced
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import megabytes, seconds, sizes
from accnn.data.choice import choose_shapes
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.exporting.exporter import OPSET, SECOND, ExportRequest, check_request, export
from accnn.exporting.file import is_ours
from accnn.graph.checkpoint import load_model

_IMAGES = 8


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-export", description)
    options.add_model_options(arguments, "checkpoint to export")
    arguments.add_argument("--save-model", required=True, metavar="FILE.onnx", help="the file to write")
    arguments.add_argument("--opset", type=int, default=OPSET, metavar="N",
                           help="version of ONNX's operators (default: %(default)s)")
    arguments.add_argument("--outputs", type=_names, default=(), metavar="NAME[,NAME]",
                           help="export these outputs, of the network or of its operators, instead of its own; NAME:0 "
                                "is the first of name")
    arguments.add_argument("--round-sums", action="store_true",
                           help="of an INT8 network: round what a convolution gives before a residual sum, as MXNet "
                                "does not, so that onnxruntime computes all in INT8")
    add_file_options(arguments, _IMAGES, "RecordIO file of real images, compared too")
    add_preprocessing_options(arguments, None, "the only batch that the file takes (default: any)")
    add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    _check(args)
    if args.gpus is not None:
        say("onnxruntime and MXNet are compared on the CPU: ignoring --gpus")
    model = options.open_model(args)
    shapes = _shapes(args, model)
    request = ExportRequest(args.save_model, shapes, args.opset, args.batch_size, args.outputs,
                            _preprocessing(args, shapes), args.round_sums)
    held, model = [model], None  # given up while onnxruntime takes as much memory
    with _images(args, shapes) as images:
        say_replaced([args.save_model])
        done = export(lambda: held.pop() if held else load_model(args.model, args.load_epoch, dict(args.input_shape)),
                      request, images)
    found = dict(vars(done), seconds=time.monotonic() - args.started)
    print(json.dumps(found, indent=2) if args.json else "\n".join(_lines(done) + [seconds(found["seconds"])]))


def _check(args):
    """Refuse, before any work, what cannot be written or must not be replaced."""
    check_config("--save-model", args.model, args.save_model)
    second = args.save_model + SECOND
    check_replaced("--save-model", args.save_model, [args.save_model, second], args.force,
                   lambda _: os.path.isfile(args.save_model) and is_ours(args.save_model))
    read = map(os.path.realpath, files_of_images(args))
    if {os.path.realpath(args.save_model), os.path.realpath(second)}.intersection(read):
        raise AccnnError("--save-model %s is a file of the images that are read: choose another name" % args.save_model)
    check_request(args.opset)


def _shapes(args, model):
    """dict: the shapes of all inputs, read from the images where nothing else says them."""
    given = options.input_shapes(args)
    if args.data_calib is not None:
        return image_input(model, given, lambda: open_records(args.data_calib, args.data_calib_idx), labels=True)
    shapes, assumed = choose_shapes(model, given)
    for name in assumed:
        say("nothing says the size of the input %r: %s is assumed, and fixed in the file; give --input-shape"
            % (name, sizes(shapes[name])))
    return shapes


def _preprocessing(args, shapes):
    """Preprocessing that was said, or None where nothing was: then nothing is stored in the file."""
    said = args.data_calib is not None or args.resize or any(args.rgb_mean) or any(one != 1 for one in args.rgb_std)
    if not said:
        return None
    return preprocessing(args, next(iter(shapes.values())))


@contextlib.contextmanager
def _images(args, shapes):
    """Yield the images that the options name, or None."""
    if args.data_calib is None:
        yield None
        return
    (name, shape), *_ = shapes.items()
    with drawn_images(args, name, shape, seed=0, batch_size=1) as images:
        yield images


def _lines(done):
    """list of str: what was written, and how far outputs are apart."""
    batch = "batch" if any(size is None for shape in done.inputs.values() for size in shape) else None
    lines = ["%s: %s, opset %d, %d nodes" % (done.path, megabytes(done.bytes), done.opset, done.nodes)]
    for kind, tensors in (("input", done.inputs), ("output", done.outputs)):
        lines += ["%-7s %s  %s" % (kind, name, sizes([batch if size is None else size for size in shape]))
                  for name, shape in tensors.items()]
    examples = "random batches of %s" % " and ".join(map(str, done.batches))
    real = ", and on %d images" % done.images if done.images else ""
    lines.append("onnxruntime beside MXNet, on %s%s:" % (examples, real))
    lines += ["  %s differs by %.1e of its largest number" % pair for pair in done.differences.items()]
    return lines + [_agreed(name, found) for name, found in (done.agreement or {}).items()]


def _agreed(name, found):
    """str: how well an output of an INT8 network agrees."""
    said = "  %s: relative error %.1e" % (name, found["relative_error"])
    if found["same_top1"] is not None:
        said += ", the same answer on %.2f%% of %d" % (100 * found["same_top1"], found["rows"])
    if found["divergence"] is not None:
        said += ", divergence %.4f mnat" % (1000 * found["divergence"])
    return said


def _names(text):
    return tuple(name for name in text.split(",") if name)


_names.__name__ = "names"  # what argparse calls it in its complaints

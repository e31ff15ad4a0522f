"""accnn.py for another engine than MXNet: what is refused before any work, and the ONNX file that is written too."""
import os

from accnn import engines
from accnn.cli.outputs import check_config
from accnn.cli.replacing import check_replaced
from accnn.core.errors import AccnnError
from accnn.exporting.exporter import OPSET, check_request
from accnn.exporting.file import is_ours


def check(args):
    """Refuse what does not go with another engine, or what would be replaced."""
    if args.engine == engines.DEFAULT:
        return
    if args.config is not None:
        raise AccnnError("--engine %s is the engine whose clock a plan is made by, but --config %s is a plan already: "
                         "leave one of them out, and time what is written with benchmark.py --engine"
                         % (args.engine, args.config))
    path = onnx_path(args)
    if path is not None:
        check_config("--save-model", args.model, path)
        check_replaced("--save-model", args.save_model, [path], args.force,
                       lambda _: os.path.isfile(path) and is_ours(path))


def check_precision(args, precision):
    """Refuse an engine that is not there, or does not have the precision, and a file that could not be proved here."""
    if args.engine != engines.DEFAULT and args.import_latencies is None:
        engines.get(args.engine).check(precision)
    if onnx_path(args) is not None:
        check_request(OPSET)


def onnx_path(args):
    """str or None: the ONNX file that is written beside the checkpoint, for engines that read it."""
    return None if args.engine == engines.DEFAULT or args.dry_run else args.save_model + ".onnx"

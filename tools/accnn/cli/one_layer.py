"""Splitting a single layer: what ``acc_conv.py`` and ``acc_fc.py`` share."""
import argparse
import time

from accnn.cli import calibration, options
from accnn.cli import main as cli
from accnn.cli.types import rank


def split(model, layer, method, rank, input_shapes=None):
    """Return `model` with one layer replaced.

    Parameters
    ----------
    model : Model
    layer : str
    method : str
    rank : int or tuple of int
    input_shapes : dict of str to tuple of int, optional

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        The layer is unknown, of another kind or not to be split, or `rank` does not fit it.
    """
    from accnn.planning.accelerator import Accelerator

    return Accelerator(model, input_shapes).accelerate(_plan(layer, method, rank))


def main(name, description, op, rank_help, argv=None):
    """Run the command line of a script that splits one layer with operator `op`; return the exit code."""
    return cli.run(_main, name, description, op, rank_help, argv)


def _main(name, description, op, rank_help, argv):
    started = time.monotonic()
    args = cli.parsed(_parser(name, description, op, rank_help), argv)
    calibration.check(args)
    from accnn.cli import outputs

    with outputs.claimed("--save-model", args.save_model):
        _write(args, started)


def _write(args, started):
    from accnn.cli import outputs

    outputs.check_checkpoint(args.model, args.save_model, args.force)
    accelerator = options.open_accelerator(args)
    plan = accelerator.check(_plan(args.layer, args.method, args.K))
    with calibration.calibrated(args, accelerator, args.save_model):
        result = outputs.accelerate_and_write(accelerator, plan, args.save_model)
    outputs.show(dict(result, seconds=time.monotonic() - started), args.json)


def _parser(name, description, op, rank_help):
    from accnn import methods

    arguments = argparse.ArgumentParser(name, description=description,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_output_options(arguments)
    arguments.add_argument("--layer", required=True, metavar="NAME", help="name of the layer")
    arguments.add_argument("--K", type=rank, required=True, help="rank: " + rank_help)
    arguments.add_argument("--method", choices=methods.names(op), default=methods.DEFAULT[op],
                           help="decomposition (default: %(default)s)")
    options.add_effort_options(arguments)
    calibration.add_calibration_options(arguments)
    arguments.add_argument("--seed", type=int, default=0,
                           help="for methods that draw random numbers, and for drawing images (default: %(default)s)")
    return arguments


def _plan(layer, method, rank):
    from accnn import methods
    from accnn.planning.plan import Plan, Row

    return Plan((Row(layer, methods.get(method).op, method, rank),))

"""Splitting a single layer: the options and steps of ``acc_conv.py`` and ``acc_fc.py``."""
import os
import time

from accnn import methods
from accnn.cli import calibration, next_step, options, outputs
from accnn.cli.types import Parser, rank
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row


def parser(description, name, op, rank_help):
    """Parser: the options of the script `name`, which splits one layer with operator `op`."""
    arguments = Parser(name, description)
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
    return Accelerator(model, input_shapes).accelerate(_plan(layer, method, rank))


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    calibration.check(args)
    with outputs.claimed("--save-model", args.save_model):
        _write(args)


def _write(args):
    outputs.check_checkpoint(args.model, args.save_model, args.force)
    accelerator = options.open_accelerator(args)
    plan = accelerator.check(_plan(args.layer, args.method, args.K))
    with calibration.calibrated(args, accelerator, args.save_model):
        result = outputs.accelerate_and_write(accelerator, plan, args.save_model)
    outputs.show(dict(result, seconds=time.monotonic() - args.started), args.json)
    if os.path.realpath(args.save_model) != os.path.realpath(args.model):
        next_step.tell(args, next_step.after_one_layer(args))


def _plan(layer, method, rank):
    return Plan((Row(layer, methods.get(method).op, method, rank),))

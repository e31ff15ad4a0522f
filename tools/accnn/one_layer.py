"""Splitting a single layer: what ``acc_conv.py`` and ``acc_fc.py`` share."""
import argparse
import time

from accnn import calibration, cli, options


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
    from accnn.workbench import Workbench

    return Workbench(model, input_shapes).accelerate(_plan(layer, method, rank))


def main(name, description, op, rank_help, argv=None):
    """Run the command line of a script that splits one layer with operator `op`; return the exit code."""
    return cli.run(_main, name, description, op, rank_help, argv)


def _main(name, description, op, rank_help, argv):
    started = time.monotonic()
    args = cli.parsed(_parser(name, description, op, rank_help), argv)
    calibration.check(args)
    from accnn import output

    with output.claimed("--save-model", args.save_model):
        _write(args, started)


def _write(args, started):
    from accnn import output

    output.check_checkpoint(args.model, args.save_model, args.force)
    bench = options.open_bench(args)
    plan = bench.check(_plan(args.layer, args.method, args.K))
    with calibration.calibrated(args, bench, args.save_model):
        result = output.accelerate_and_write(bench, plan, args.save_model)
    output.show(dict(result, seconds=time.monotonic() - started), args.json)


def _parser(name, description, op, rank_help):
    from accnn import methods

    arguments = argparse.ArgumentParser(name, description=description,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_output_options(arguments)
    arguments.add_argument("--layer", required=True, metavar="NAME", help="name of the layer")
    arguments.add_argument("--K", type=options.rank, required=True, help="rank: " + rank_help)
    arguments.add_argument("--method", choices=methods.names(op), default=methods.DEFAULT[op],
                           help="decomposition (default: %(default)s)")
    options.add_effort_options(arguments)
    calibration.add_calibration_options(arguments)
    arguments.add_argument("--seed", type=int, default=0,
                           help="for methods that draw random numbers, and for drawing images (default: %(default)s)")
    return arguments


def _plan(layer, method, rank):
    from accnn import methods
    from accnn.plan import Plan, Row

    return Plan((Row(layer, methods.get(method).op, method, rank),))

"""Speed up a whole network.

    python accnn.py -m vgg16 --ratio 2 --save-model new-vgg16
    python accnn.py -m vgg16 --config my-ranks.json --save-model new-vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import contextlib
import gc
import sys
import time
from dataclasses import replace

from accnn import calibration, cli, options


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser("accnn", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_output_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    options.add_measuring_options(arguments)
    calibration.add_calibration_options(arguments)
    arguments.add_argument("--config", metavar="FILE",
                           help="ranks to use instead of choosing them: a plan, or a config of the original")
    arguments.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    arguments.add_argument("--no-timing", action="store_true", help="do not time what was written")
    return arguments


def _main(argv):
    started = time.monotonic()
    args = parser().parse_args(argv)
    calibration.check(args)
    measuring = options.measuring(args)
    from accnn import output, speed
    from accnn.graph.checkpoint import params_path, symbol_path

    ratio = getattr(args, "ratio", options.RATIO)
    config = None if args.config is not None else output.config_path(args.save_model, ratio)
    if not args.dry_run:
        output.check_checkpoint(args.model, args.save_model, args.force, config)
    output.check_export(args, [config, symbol_path(args.save_model), params_path(args.save_model, 1)])
    plan = options.given_plan(args)
    request = None if plan is not None else options.request(args, measuring)
    how = None if args.dry_run or args.no_timing else options.timing(args, measuring, request)
    with speed.clock(how) if how else contextlib.nullcontext() as child:
        plan, result, source, input_shapes = _written(args, plan, request, config)
        gc.collect()  # a workbench and its candidates refer to each other
        result["measured"] = None
        try:
            if how:
                result["measured"] = speed.timed(how, source, args.save_model, input_shapes, child)
        finally:  # whatever became of the clock, the files are there
            output.show(dict(result, seconds=time.monotonic() - started), args.json)
    return (output.told_missed(plan) or speed.told_short(result["measured"], plan)) if request else 0


def _written(args, plan, request, config):
    """Plan, decompose and write; return the plan, the report, and what was accelerated, without its parameters.

    All else is gone from memory when the clock, in another process, needs it.
    """
    from accnn import output, report
    from accnn.planning import select_ranks

    bench = options.open_bench(args)
    with calibration.calibrated(args, bench, args.save_model):
        plan = bench.check(plan) if plan is not None else select_ranks(bench, request)
        result = (report.summary(bench, plan) if args.dry_run else
                  output.accelerate_and_write(bench, plan, args.save_model, config))
    return plan, result, replace(bench.model, arg_params={}, aux_params={}), bench.input_shapes


if __name__ == "__main__":
    sys.exit(main())

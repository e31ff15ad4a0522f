"""Speed up a whole network.

    python accnn.py -m vgg16 --ratio 2 --save-model new-vgg16
    python accnn.py -m vgg16 --config my-ranks.json --save-model new-vgg16

    python accnn.py check -m vgg16        what is damaged or missing in a checkpoint (--help: after the word)
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import contextlib
import gc
import sys
import time
from dataclasses import replace
from importlib import import_module

from accnn.cli import calibration, options
from accnn.cli import main as cli

# Other scripts that the first argument can name.
_WORDS = {"check": "accnn.check"}


def main(argv=None):
    """Run the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _WORDS:
        return import_module(_WORDS[argv[0]]).main(argv[1:])
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
    args = cli.parsed(parser(), argv)
    calibration.check(args)
    measuring = options.measuring(args)
    from accnn.cli import outputs

    with contextlib.nullcontext() if args.dry_run else outputs.claimed("--save-model", args.save_model):
        return _accelerated(args, measuring, started)


def _accelerated(args, measuring, started):
    from accnn.cli import outputs, verify
    from accnn.graph.checkpoint import params_path, symbol_path

    ratio = getattr(args, "ratio", options.RATIO)
    config = None if args.config is not None else outputs.config_path(args.save_model, ratio)
    if not args.dry_run:
        outputs.check_checkpoint(args.model, args.save_model, args.force, config)
    outputs.check_export(args, [config, symbol_path(args.save_model), params_path(args.save_model, 1)])
    plan = options.given_plan(args)
    request = None if plan is not None else options.request(args, measuring)
    timed = not args.dry_run and not args.no_timing
    with verify.clock(measuring) if timed else contextlib.nullcontext() as child:
        plan, result, how, source, input_shapes = _written(args, measuring, plan, request, config)
        gc.collect()  # a workbench and its candidates refer to each other
        result["measured"] = None
        try:
            if timed:
                result["measured"] = verify.timed(how, source, args.save_model, input_shapes, child)
        finally:  # whatever became of the clock, the files are there
            outputs.show(dict(result, seconds=time.monotonic() - started), args.json)
    return (outputs.missed_exit_code(plan) or verify.verify_speedup(result["measured"], plan)) if request else 0


def _written(args, measuring, plan, request, config):
    """Plan, decompose and write; return the plan, the report, how to time it, and the source without its parameters.

    All else is gone from memory when the clock, in another process, needs it.
    """
    from accnn.cli import outputs
    from accnn.planning.planner import select_ranks
    from accnn.report import plan as report

    accelerator = options.open_accelerator(args)
    request = options.for_network(args, request, accelerator)
    how = options.timing(args, measuring, request, accelerator)
    with calibration.calibrated(args, accelerator, args.save_model):
        plan = accelerator.check(plan) if plan is not None else select_ranks(accelerator, request)
        result = (report.summary(accelerator, plan) if args.dry_run else
                  outputs.accelerate_and_write(accelerator, plan, args.save_model, config))
    return plan, result, how, replace(accelerator.model, arg_params={}, aux_params={}), accelerator.input_shapes


if __name__ == "__main__":
    sys.exit(main())

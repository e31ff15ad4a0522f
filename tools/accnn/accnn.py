"""Speed up a whole network.

    python accnn.py -m vgg16 --ratio 2 --save-model new-vgg16
    python accnn.py -m vgg16 --config my-ranks.json --save-model new-vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import sys
import time

from accnn import cli


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser("accnn", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_options(arguments)
    cli.add_output_options(arguments)
    cli.add_planning_options(arguments)
    arguments.add_argument("--config", metavar="FILE",
                           help="ranks to use instead of choosing them: a plan, or a config of the original")
    arguments.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    return arguments


def _main(argv):
    started = time.monotonic()
    args = parser().parse_args(argv)
    from accnn import report
    from accnn.plan import load_plan
    from accnn.workbench import Workbench

    if not args.dry_run:
        cli.check_output(args.model, args.save_model, args.force)
    plan = load_plan(args.config) if args.config else None
    bench = Workbench(cli.open_model(args), cli.input_shapes(args), cli.Progress)
    plan = bench.check(plan) if plan else bench.select_ranks(**cli.planning(args))
    if args.dry_run:
        result = report.summary(bench, plan)
    else:
        config = None if args.config else cli.config_path(args.save_model, args.ratio)
        result = cli.accelerate_and_write(args, bench, plan, config)
    cli.show(dict(result, seconds=time.monotonic() - started), args.json)


if __name__ == "__main__":
    sys.exit(main())

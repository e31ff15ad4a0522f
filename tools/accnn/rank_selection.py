"""Choose ranks for a speed-up and write them to a config; touch no checkpoint.

    python rank_selection.py -m vgg16 --ratio 2
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import sys
import time

from accnn.cli import calibration, options, replacing
from accnn.cli import main as cli


def get_ranksel(model, ratio, input_shapes=None):
    """Choose ranks exactly as the original did: its objective, its complexity formula, every convolution split.

    Parameters
    ----------
    model : Model
        Of ``utils.load_model``.
    ratio : float
        Complexity before / after, by the original's formula.
    input_shapes : dict of str to tuple of int, optional
        Without the batch; default: see :class:`accnn.planning.accelerator.Accelerator`.

    Returns
    -------
    dict of str to int
        For every convolution that can be split.

    Raises
    ------
    TargetError
        The ratio cannot be reached.
    """
    from accnn.planning.accelerator import Accelerator

    return Accelerator(model, input_shapes).original_ranks(ratio)


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser("accnn-ranks", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    options.add_measuring_options(arguments)
    calibration.add_calibration_options(arguments)
    arguments.add_argument("--output", metavar="FILE", help="config to write (default: config-rksel-RATIO.json)")
    replacing.add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def _main(argv):
    started = time.monotonic()
    args = cli.parsed(parser(), argv)
    from accnn.cli import outputs
    from accnn.planning.planner import select_ranks
    from accnn.report.plan import summary

    config = outputs.config_path("", getattr(args, "ratio", options.RATIO)) if args.output is None else args.output
    outputs.check_output(args, config)
    outputs.check_export(args, [config])
    request = options.request(args)
    accelerator = options.open_accelerator(args)
    request = options.for_network(args, request, accelerator)
    with calibration.calibrated(args, accelerator, config):
        plan = select_ranks(accelerator, request)
    result = summary(accelerator, plan)
    outputs.say_replaced([config])
    plan.save(config)
    outputs.show(dict(result, written={"config": config}, seconds=time.monotonic() - started), args.json)
    return outputs.missed_exit_code(plan)


if __name__ == "__main__":
    sys.exit(main())

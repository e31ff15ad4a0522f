"""rank_selection.py: its options, a plan, its file."""
import time

from accnn.cli import calibration, measuring_options, next_step, options, outputs, precision
from accnn.cli.replacing import add_force_option
from accnn.cli.types import Parser
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.report.plan import summary


def original_ranks(model, ratio, input_shapes=None):
    """dict of str to int: see :func:`accnn.rank_selection.get_ranksel`."""
    return Accelerator(model, input_shapes).original_ranks(ratio)


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-ranks", description)
    options.add_model_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    measuring_options.add_measuring_options(arguments)
    calibration.add_calibration_options(arguments)
    precision.add_precision_options(arguments)
    arguments.add_argument("--output", metavar="FILE", help="config to write (default: config-rksel-RATIO.json)")
    add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def run(args):
    """int: the exit code, 1 where the plan is not what was asked for.

    Raises
    ------
    AccnnError
    """
    config = outputs.config_path("", getattr(args, "ratio", options.RATIO)) if args.output is None else args.output
    outputs.check_output(args, config)
    outputs.check_export(args, [config])
    request = options.request(args)
    accelerator = options.open_accelerator(args)
    request = measuring_options.for_network(args, request, accelerator)
    with calibration.calibrated(args, accelerator, config):
        plan = select_ranks(accelerator, request)
    result = summary(accelerator, plan)
    outputs.say_replaced([config])
    plan.save(config)
    outputs.show(dict(result, written={"config": config}, seconds=time.monotonic() - args.started), args.json)
    next_step.tell(args, next_step.after_ranks(args, config))
    return outputs.missed_exit_code(plan)

"""accnn.py: its options, a plan, the checkpoint, its timing."""
import contextlib
import gc
import time
from dataclasses import replace
from functools import partial

from accnn import costs, engines
from accnn.cli import (
    calibration,
    cards,
    engine,
    measuring_options,
    next_step,
    options,
    outputs,
    precision,
    reporting,
    scoring_after,
    sweep,
    verify,
)
from accnn.cli.types import OpeningParser
from accnn.core.layers import FP32
from accnn.graph.checkpoint import params_path, symbol_path
from accnn.planning.planner import select_ranks
from accnn.report import plan as report


def parser(description):
    """Parser: the options."""
    arguments = OpeningParser("accnn", description)
    options.add_model_options(arguments)
    options.add_output_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    measuring_options.add_measuring_options(arguments)
    calibration.add_calibration_options(arguments)
    precision.add_precision_options(arguments)
    precision.add_threshold_option(arguments)
    measuring_options.add_engine_options(arguments)
    arguments.add_argument("--config", metavar="FILE",
                           help="ranks to use instead of choosing them: a plan, or a config of the original")
    arguments.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    arguments.add_argument("--no-timing", action="store_true", help="do not time what was written")
    sweep.add_sweep_option(arguments)
    scoring_after.add_scoring_option(arguments)
    reporting.add_report_option(arguments)
    cards.add_card_option(arguments)
    return arguments


def run(args):
    """int: the exit code, 1 where the result is not what was asked for.

    Raises
    ------
    AccnnError
    """
    if args.sweep is not None:
        return sweep.run(args)
    calibration.check(args)
    with contextlib.nullcontext() if args.dry_run else outputs.claimed("--save-model", args.save_model):
        return _accelerated(args)


def _accelerated(args):
    ratio = getattr(args, "ratio", options.RATIO)
    config = None if args.config is not None else outputs.config_path(args.save_model, ratio)
    if not args.dry_run:
        outputs.check_checkpoint(args.model, args.save_model, args.force, config)
    engine.check(args)
    reporting.check(args)
    scoring_after.check(args)
    cards.check(args)
    outputs.check_export(args, [config, engine.onnx_path(args), symbol_path(args.save_model),
                                params_path(args.save_model, 1)])
    plan = options.given_plan(args)
    measuring = measuring_options.measuring(args, plan and plan.precision)
    request = None if plan is not None else options.request(args, measuring)
    wanted = (plan or request).precision
    precision.check(args, wanted)
    engine.check_precision(args, wanted)
    low = precision.low_prefix(args, wanted)
    if low is not None:
        outputs.check_checkpoint(args.model, low, args.force)
    timed = not args.dry_run and not args.no_timing
    beside = contextlib.nullcontext() if low is None else outputs.claimed("--save-model", low)
    with beside, _clock(args, measuring, request, timed):
        plan, result, clocked, evidence, card = _written(args, measuring, plan, request, config, low)
        gc.collect()  # an accelerator and its candidates refer to each other
        result["measured"] = None
        try:
            if timed:
                result["measured"] = clocked()
            if not args.dry_run:
                result["scores"] = scoring_after.scores(args, low or args.save_model)
        finally:  # whatever became of the clock, the files are there
            cards.finish(card, result)
            reporting.add_written(args, evidence, result)
            outputs.show(dict(result, seconds=time.monotonic() - args.started), args.json)
        next_step.tell(args, next_step.after_planning(args, plan, result))
    return (outputs.missed_exit_code(plan) or verify.verify_speedup(result["measured"], plan)) if request else 0


def _clock(args, measuring, request, timed):
    """Context of a process for all that is measured, where anything is."""
    by_the_clock = request is not None and not costs.get(request.cost).is_analytic and measuring.imported is None
    if by_the_clock and measuring.is_over_mxnet:
        return verify.clock(measuring, args.model, args.load_epoch, options.input_shapes(args))
    return verify.clock(measuring) if timed or by_the_clock else contextlib.nullcontext()


def _written(args, measuring, plan, request, config, low):
    """Plan, decompose and write; return plan, result, what times it in a given process, evidence and card of it.

    All else is gone from memory when the clock, in another process, needs it.
    """
    accelerator = options.open_accelerator(args)
    request = measuring_options.for_network(args, request, accelerator)
    how = measuring_options.timing(args, measuring, request, accelerator)
    with calibration.calibrated(args, accelerator, args.save_model):
        precision.check_images(accelerator, low and (plan or request).precision)
        plan = accelerator.check(plan) if plan is not None else select_ranks(accelerator, request)
        card = cards.begun(args, accelerator.model, accelerator.input_shapes, plan.precision, low)
        result = (report.summary(accelerator, plan) if args.dry_run else outputs.accelerate_and_write(
            accelerator, plan, args.save_model, config, low, engine.onnx_path(args), cards.written_with(card)))
        evidence = reporting.of_plan(args, accelerator, plan, result)
    source, shapes = replace(accelerator.model, arg_params={}, aux_params={}), accelerator.input_shapes
    if how.engine != engines.DEFAULT:
        clocked = partial(verify.timed_in_engine, how, source, args.save_model, shapes, precision=plan.precision)
    else:
        clocked = partial(verify.timed, how, source, low or args.save_model, shapes, layers=plan.precision == FP32)
        if low is None:
            clocked = partial(clocked, precision=plan.precision, exclude=precision.in_fp32(accelerator, plan))
    return plan, result, clocked, evidence, card

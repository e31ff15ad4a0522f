"""two_pass.py: its options, checks, a plan, the flow, the report."""
import json
import os
import time
import zlib
from functools import partial

from accnn import costs
from accnn.cli import calibration, next_step, options, outputs, reporting
from accnn.cli import training_options as training
from accnn.cli import two_pass_options as iterative
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.cli.setting_names import spelled
from accnn.cli.training_session import Session, check_precision, records_identity
from accnn.cli.two_pass_plan import check_anything_left, choose_ranks, counted_groups, new_state
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import seconds
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.graph.checkpoint import params_path, symbol_path
from accnn.graph.fingerprint import fingerprint
from accnn.iterative.flow import Flow
from accnn.iterative.report import summary, table
from accnn.iterative.stages import stages_of
from accnn.iterative.state import load_state, result_files, stage_prefix, state_path
from accnn.planning.planner import Request
from accnn.runtime import distributed
from accnn.training import objective
from accnn.training.checkpoints import check_names
from accnn.training.frozen import frozen_parameters
from accnn.training.objective import trainable_head
from accnn.training.resume import check_settings, resume_path


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-two-pass", description)
    options.add_model_options(arguments)
    add = arguments.add_argument
    add("--save-model", required=True, metavar="PREFIX",
        help="checkpoint to write, as epoch 1; --resume goes by PREFIX-two-pass.json and a checkpoint beside it")
    training.add_data_options(arguments)
    add("--resume", action="store_true", help="go on after the last finished stage of an earlier run")
    add_force_option(arguments)
    iterative.add_flow_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    add("--config", metavar="FILE", help="ranks to use instead of choosing them: a plan, or a config of the original")
    calibration.add_calibration_options(arguments)
    training.add_rule_options(arguments.add_argument_group("training", "of every stage; a schedule begins with each"))
    training.add_teacher_options(arguments)
    training.add_augmentation_options(arguments)
    reporting.add_report_option(arguments)
    add("--json", action="store_true", help="print results as JSON")
    iterative.set_defaults(arguments)
    return arguments


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    with distributed.open_job() as job:
        iterative.check(args)
        calibration.check(args)
        reporting.check(args)
        with outputs.claimed("--save-model", args.save_model):
            _run(args, job)


def _run(args, job):
    config = options.given_plan(args)
    request = None if config else Request(**dict({"ratio": options.RATIO}, **options.planning(args)))
    if request and not costs.get(request.cost).is_analytic:
        raise AccnnError("--cost %s: two passes measure nothing; make the plan with accnn-ranks, and give it as "
                         "--config" % request.cost)
    _check_prefix(args)
    begun = load_state(args.save_model) if args.resume and os.path.lexists(state_path(args.save_model)) else None
    accelerator = options.open_accelerator(args)
    check_precision(accelerator.model)
    shapes = image_input(accelerator.model, accelerator.input_shapes)
    head = trainable_head(accelerator.model, shapes, args.output)
    session = Session(args, job, accelerator.model, shapes, head)
    head = session.settled(accelerator.model, head)
    used = set(objective.class_scores(accelerator.model, head).list_arguments()) & set(accelerator.model.arg_params)
    held = frozen_parameters(accelerator.model, args.freeze, used)
    settings = _settings(args, accelerator.model, session, config, request)
    if begun:
        check_settings(state_path(args.save_model), begun.settings, settings)
    state = begun or new_state(args, accelerator, settings, choose_ranks(args, accelerator, config, request))
    stages = stages_of(counted_groups(args, state), args.optimise_epochs, args.fine_tune_epochs, args.one_pass)
    if not begun:
        if not args.unfreeze and stages[-1].epochs:
            check_anything_left(accelerator, state, used - set(held))
        session.rehearse(accelerator.model, head, held)
        state.given = session.score(accelerator.model, head)
        state.begin()
    flow = Flow(state, stages, accelerator.model, session, partial(calibration.calibrated, args,
                                                                   written=args.save_model),
                options.effort(args), held, args.unfreeze, head.name, args.seed)
    del accelerator  # and its decompositions
    _go(flow)
    _report(args, state, stages, session)


def _go(flow):
    try:
        flow.go()
    except KeyboardInterrupt:
        say("the same command with --resume goes on from there")
        raise


def _check_prefix(args):
    """Refuse to lose anything."""
    prefix = args.save_model
    outputs.check_source(args.model, prefix, force=False)
    written = {os.path.realpath(path) for path in [symbol_path(prefix)] + result_files(prefix)}
    for option, source in (("--model", args.model), ("--teacher", args.teacher)):
        if source and os.path.realpath(symbol_path(source)) in written:
            raise AccnnError("--save-model %s would overwrite %s %s: choose another prefix" % (prefix, option, source))
    check_names("--save-model", prefix, [state_path(prefix), symbol_path(prefix), params_path(prefix, 1)],
                resume_path(stage_prefix(prefix, 1)))
    there, begun = result_files(prefix), os.path.lexists(state_path(prefix))
    if args.resume and not begun:
        if there:
            raise AccnnError("there is no %s to resume, but %s is there: say --force to replace it, or choose another "
                             "--save-model" % (state_path(prefix), there[0]))
        say("there is no %s: starting from the beginning" % state_path(prefix))
    check_replaced("--save-model", prefix, there, args.resume or args.force,
                   instead="say --resume to go on with that run, " if begun else "")
    if not args.resume:
        outputs.check_epochs("--save-model", prefix, 1, args.force)
    if args.force:
        outputs.say_replaced(there)


def _settings(args, model, session, config, request):
    """dict: what a resumed run must have in common with the one it goes on with, by option."""
    said = {"model": "of fingerprint %08x" % fingerprint(model)}
    said.update(session.settings())
    said["config"] = config and "of fingerprint %08x" % zlib.crc32(repr(config.rows).encode())
    said.update((name.replace("_", "-"), value) for name, value in (request.as_json() if request else {}).items())
    names = ["groups", "order", "optimise_epochs", "fine_tune_epochs", "one_pass", "unfreeze", "restarts", "iterations"]
    if args.data_calib:
        names += ["calib_images", "calib_positions", "symmetric", "metric", "joint"]
        for name in ("reconstruct", "measured_ranks"):  # options that are absent unless they are given
            said[name.replace("_", "-")] = getattr(args, name, None)
        said["joint-mirror"] = args.joint_mirror or None  # as a run says that was begun before it was an option
    said["data-calib"] = args.data_calib and records_identity(open_records(args.data_calib, args.data_calib_idx))
    said.update((name.replace("_", "-"), getattr(args, name)) for name in names)
    return json.loads(json.dumps(said))  # as it comes back from the file


def _report(args, state, stages, session):
    files = {"symbol": symbol_path(state.prefix), "params": params_path(state.prefix, 1),
             "state": state_path(state.prefix)}
    report = dict(summary(state, stages, session.images), written=files)
    reporting.add_written(args, reporting.of_stages(args, report), report)
    report = spelled(dict(report, seconds=time.monotonic() - args.started))
    if args.json:
        print(json.dumps(report, indent=2))
        return
    print("\n".join(table(report)))
    for kind, path in report["written"].items():
        print("%-8s %s" % (kind, path))
    print(seconds(report["seconds"]))
    next_step.tell(args, next_step.after_two_passes(args))

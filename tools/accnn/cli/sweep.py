"""``--sweep 2,3,4``: plans of several ratios from one survey, one table of sensitivities and one SVD a layer."""
import argparse
import contextlib
import json
import math
import time
from dataclasses import replace
from typing import NamedTuple, Optional

from accnn import costs
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
)
from accnn.cli.setting_names import spelled
from accnn.core.errors import AccnnError
from accnn.core.machine import cores, give_back
from accnn.core.progress import say
from accnn.core.text import seconds
from accnn.graph.checkpoint import params_path, symbol_path
from accnn.planning.planner import sweep
from accnn.planning.timed import time_plans
from accnn.report import curves
from accnn.report import plan as report
from accnn.report import sweep as table
from accnn.report.evidence import MEASURED, THIS_RUN, ReportEvidence

MISSED = 1  # exit code


def add_sweep_option(parser):
    """The option ``--sweep``."""
    parser.add_argument("--sweep", type=_numbers, default=None, metavar="R,R,...",
                        help="plan several ratios from one survey and one table of sensitivities, and write each as "
                             "NEW-2x, NEW-3x, ... (--dry-run: only plan and time them); one table, one --json, and "
                             "with --report the front of speed against loss on one page")


def run(args):
    """int: the exit code, 1 where a ratio cannot be reached; the others are written all the same.

    Raises
    ------
    AccnnError
    """
    _check(args)
    subjects = [_subject(args, ratio) for ratio in args.sweep]
    with contextlib.ExitStack() as stack:
        for one in [] if args.dry_run else subjects:
            stack.enter_context(outputs.claimed("--save-model", one.save_model))
        return _swept(args, subjects, stack)


def _check(args):
    calibration.check(args)
    for option, given in (("--ratio", hasattr(args, "ratio")), ("--config", args.config is not None)):
        if given:
            raise AccnnError("--sweep plans several ratios, and %s names one plan: give one of both" % option)
    for ratio in args.sweep:
        if not (math.isfinite(ratio) and ratio >= 1):
            raise AccnnError("--sweep: the ratio %g makes no sense, it is cost before / cost after, 1 or more" % ratio)
    names = ["%g" % ratio for ratio in args.sweep]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise AccnnError("--sweep names the ratio %s twice: keep one of them" % twice[0])
    scoring_after.check(args)


def prefix_of(prefix, ratio):
    """str: the checkpoint of a ratio."""
    return "%s-%gx" % (prefix, ratio)


def _subject(args, ratio):
    """Namespace: the options as they are for one ratio."""
    prefix = prefix_of(args.save_model, ratio)
    return argparse.Namespace(**dict(vars(args), ratio=ratio, save_model=prefix,
                                     written_config=outputs.config_path(prefix, ratio)))


def _swept(args, subjects, stack):
    measuring = measuring_options.measuring(args)
    request = options.request(args, measuring)
    precision.check(args, request.precision)
    engine.check_precision(args, request.precision)
    for one in [] if args.dry_run else subjects:
        _check_written(one, request, stack)
    reporting.check(args)
    outputs.check_export(args, [path for one in subjects for path in (
        one.written_config, engine.onnx_path(one), symbol_path(one.save_model), params_path(one.save_model, 1))])
    found = _found(args, subjects, request, measuring)
    _show(args, found)
    return MISSED if any(one["missed"] for one in found["sweep"]) else 0


def _check_written(one, request, stack):
    """Refuse what may not be replaced; claim the checkpoint in a lower precision."""
    outputs.check_checkpoint(one.model, one.save_model, one.force, one.written_config)
    engine.check(one)
    cards.check(one)
    low = precision.low_prefix(one, request.precision)
    if low is not None:
        outputs.check_checkpoint(one.model, low, one.force)
        stack.enter_context(outputs.claimed("--save-model", low))


def _found(args, subjects, request, measuring):
    """dict: what ``--json`` prints: ``sweep``, a dict for every ratio, and what all of them are measured beside."""
    accelerator = options.open_accelerator(args)
    request = measuring_options.for_network(args, request, accelerator)
    how = measuring_options.timing(args, measuring, request, accelerator)
    with calibration.calibrated(args, accelerator, args.save_model):
        precision.check_images(accelerator, precision.low_prefix(args, request.precision) and request.precision)
        plans = sweep(accelerator, request, args.sweep)
        found = {"model": args.model, "threads": how.threads or cores(), "batch_size": how.batch_size,
                 "engine": how.engine,
                 **_timed(args, accelerator, how, request, [one for one in plans if not isinstance(one, AccnnError)])}
        timed = iter(found.pop("timed") or [])
        done = [_done(one, plan, accelerator, found, None if isinstance(plan, AccnnError) else next(timed, None))
                for one, plan in zip(subjects, plans)]
    found["sweep"] = [one.row for one in done]
    for one, (row, card, _) in zip(subjects, done):
        _score(one, row, card)
    _add_report(args, found, done)
    return dict(found, seconds=time.monotonic() - args.started)


def _timed(args, accelerator, how, request, plans):
    """dict: ``original_ms``, and ``timed``, networks as `plans` have them, where these were not timed before."""
    by_the_clock = not costs.get(request.cost).is_analytic
    if by_the_clock or args.no_timing or not plans:
        said = [plan.made_by["latency"] for plan in plans if by_the_clock and plan.made_by["latency"]["measured"]]
        return {"original_ms": said[0]["before_ms"] if said else None, "timed": None}
    give_back()
    try:
        answer = time_plans(accelerator, how, plans)
    except AccnnError as error:  # plans are good for whatever cannot be timed here
        say("the plans could not be timed: %s" % error)
        return {"original_ms": None, "timed": None}
    return {"original_ms": answer["baseline"]["median_ms"], "timed": answer["plans"]}


class _Done(NamedTuple):
    """What became of one ratio: a dict for ``--json``; a ModelCard and a ReportEvidence, where these are asked for."""

    row: dict
    card: Optional[object] = None
    evidence: Optional[object] = None


def _done(one, plan, accelerator, found, timed):
    """_Done: of one ratio, whose plan is written unless nothing is to be."""
    if isinstance(plan, AccnnError):
        return _Done({"ratio": one.ratio, "missed": spelled(str(plan))})
    if one.dry_run:
        summary = report.summary(accelerator, plan)
        return _Done(table.row(one.ratio, plan, summary, timed), None, _evidence(one, accelerator, plan, summary))
    low = precision.low_prefix(one, plan.precision)
    card = cards.begun(one, accelerator.model, accelerator.input_shapes, plan.precision, low)
    if card:
        card = replace(card, measured=table.measured_of(plan, timed, found))
    result = outputs.accelerate_and_write(accelerator, plan, one.save_model, one.written_config, low,
                                          engine.onnx_path(one), also=cards.written_with(card))
    row = dict(table.row(one.ratio, plan, result, timed), prefix=one.save_model, written=result["written"])
    return _Done(row, card, _evidence(one, accelerator, plan, result))


def _evidence(one, accelerator, plan, result):
    """ReportEvidence or None: of one plan, while its decompositions are there."""
    evidence = reporting.of_plan(one, accelerator, plan, result)
    return evidence and replace(evidence, summary=spelled(evidence.summary))


def _score(one, row, card):
    """Add scores to the row of what was written, and to its card."""
    if "prefix" in row:
        low = precision.low_prefix(one, row["precision"])
        row["scores"] = scoring_after.scores(one, low or one.save_model)
        cards.finish(card, dict(row["summary"], measured=None, scores=row["scores"], written=row["written"]))


def _add_report(args, found, done):
    if args.report is None:
        return
    there = [one for one in done if one.evidence]
    evidence = ReportEvidence(args.save_model, args.model, front=table.front(found, args.model), unknown=tuple(
        "%gx: %s" % (row["ratio"], row["missed"]) for row, _, _ in done if row["missed"]),
        sources={"front": MEASURED if all(one.row["measured"] for one in there) else THIS_RUN},
        plans=tuple(replace(one.evidence, scores=one.row["scores"]) for one in there),
        **{name: curves.of_plans({"%gx" % one.row["ratio"]: getattr(one.evidence, name) for one in there})
           for name in ("energies", "sensitivities")})
    found["written"] = reporting.written(args, evidence)


def _show(args, found):
    found = spelled(found)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    print("\n".join(table.table(found)))
    for kind, path in found.get("written", {}).items():
        print("%-11s %s" % (kind, path))
    print(seconds(found["seconds"]))
    next_step.tell(args, next_step.after_sweep(args, found["sweep"]))


def _numbers(text):
    return tuple(float(number) for number in text.split(","))


_numbers.__name__ = "list of ratios"

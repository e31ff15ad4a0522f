"""report.py: its options, two checkpoints compared, timed and scored, the page."""
import csv
import json
import math
import os
import time
from dataclasses import replace
from types import SimpleNamespace

from accnn import engines
from accnn.cli import measuring_options, options, report_front, reporting
from accnn.cli.data_options import add_preprocessing_options, images_of
from accnn.cli.outputs import check_folder, say_replaced
from accnn.cli.replacing import add_force_option, int8_plan_path, is_int8_plan
from accnn.cli.setting_names import spelled
from accnn.cli.types import Parser, positive
from accnn.core.errors import AccnnError
from accnn.core.files import open_input
from accnn.core.layers import FP32
from accnn.core.machine import give_back
from accnn.core.progress import Progress, say
from accnn.core.settings import renamed
from accnn.core.text import before_after, seconds
from accnn.data.choice import choose_shapes
from accnn.graph.checkpoint import load_with_remarks, params_path, symbol_path
from accnn.graph.fingerprint import fingerprint
from accnn.graph.mark import is_marked
from accnn.graph.quantized import refuse_quantized
from accnn.iterative.report import summary as stages_summary
from accnn.iterative.state import load_state, state_path
from accnn.latency.config import cache_folder
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import load_plan
from accnn.reconstruction.sensitivity import Sensitivity
from accnn.report import curves
from accnn.report.compared import compare
from accnn.report.evidence import MEASURED, ReportEvidence

_MOST = 3.4e38  # of any number in a log: a float32


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-report", description)
    options.add_model_options(arguments, "checkpoint that the report is about")
    add = arguments.add_argument
    add("--baseline", metavar="PREFIX", help="checkpoint that it was made from; needed")
    add("--baseline-epoch", type=int, metavar="N", help="its epoch")
    add("--beside", action="append", default=[], metavar="PREFIX",
        help="another checkpoint made from --baseline, such as the INT8 form, to be compared in speed and loss; may be "
             "repeated")
    add("--engine", type=report_front.names, default=(), dest="engines", metavar="E,...",
        help="compare -m in other engines, too: %s" % ", ".join(engines.names()))
    add("--config", metavar="FILE", help="the plan that it was made by: says methods, ranks and reasons")
    add("--output", metavar="FILE.html", help="the page (default: NAME-report.html beside the checkpoint)")
    add("--history", metavar="FILE.csv", help="log of fine_tune.py (default: NAME-log.csv, if any)")
    add("--sensitivity-table", metavar="FILE",
        help="what accnn.py kept beside the checkpoint (default: BASELINE-sensitivity.json there, if any)")
    add("--all-curves", action="store_true",
        help="make the decompositions of all layers for their energies (default: those that take a moment)")
    add("--cache", metavar="FOLDER", default=cache_folder(), help="where runs keep energies (default: %(default)s)")
    _add_scoring_options(arguments)
    _add_timing_options(arguments)
    add_force_option(arguments)
    add("--json", action="store_true", help="print results as JSON")
    return arguments


def _add_scoring_options(parser):
    group = parser.add_argument_group("scoring", "with labelled images")
    add = group.add_argument
    add("--data-val", metavar="REC", help="RecordIO file of labelled images (default: nothing is scored)")
    add("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it, if any)")
    add("--max-num-examples", type=positive, metavar="N", help="stop after the first N records")
    add("--scored-output", metavar="NAME", help="the output that scores classes, where there are several")
    add_preprocessing_options(group, None, "images in one pass: of scoring (default: 64), and of what is timed "
                                           "(default: 1)")


def _add_timing_options(parser):
    group = parser.add_argument_group("measuring")
    add = group.add_mutually_exclusive_group().add_argument
    add("--timing", action="store_true", default=True, help="time both networks and their layers (the default)")
    add("--no-timing", action="store_false", dest="timing", help="time nothing")
    measuring_options.add_clock_options(group.add_argument)
    measuring_options.add_amx_options(parser)


def run(args):
    """Do what the options say.

    Raises
    ------
    AccnnError
    """
    args.report = args.output or os.path.join(os.path.dirname(args.model), os.path.basename(
        args.model) + "-report.html")
    _check(args)
    evidence, shapes = _compared(args)
    found = {}
    if args.data_val is not None:
        found.update(report_front.scores(args, args.model))
    if args.timing:
        give_back()
        found["timings"] = report_front.timings(args, args.model, args.load_epoch, shapes)
    found["front"], refused = report_front.front(args, shapes, found) if args.beside or args.engines else ((), ())
    evidence = replace(evidence, unknown=evidence.unknown + tuple(_unknown(args)) + tuple(refused))
    say_replaced([args.report])
    files = reporting.written(args, evidence, **found)
    _show(args, evidence, found, files)


def _check(args):
    if args.baseline is None:
        raise AccnnError("a report compares two networks: give --baseline PREFIX, the checkpoint that %s was made from"
                         % args.model)
    check_folder("--output", args.report)
    reporting.check(args, "--output")
    if (args.beside or args.engines) and not args.timing:
        raise AccnnError("%s compares networks by the clock: leave out --no-timing" % (
            "--beside" if args.beside else "--engine"))
    for name in args.engines:
        engines.get(name).check(FP32)
    for path in filter(None, (args.config, args.history, args.sensitivity_table)):
        open_input(path).close()


def _compared(args):
    """Return the evidence that two checkpoints and the files beside them hold, and the input shapes."""
    with renamed(prefix="baseline", epoch="baseline_epoch"):
        baseline = load_with_remarks(args.baseline, args.baseline_epoch)
        refuse_quantized(baseline)
    model = options.open_model(args)
    shapes, _ = choose_shapes(baseline, options.input_shapes(args), images_of(args, "data_val"))
    accelerator = Accelerator(baseline, shapes, Progress)
    plan = load_plan(args.config) if args.config is not None else None
    found = compare(accelerator, model, plan)
    bytes_of = [os.path.getsize(params_path(one.prefix, one.epoch)) for one in (baseline, model)]
    summary = dict(found.summary, file_bytes=before_after(*bytes_of))
    args.load_epoch, args.baseline_epoch = model.epoch, baseline.epoch
    evidence = ReportEvidence(args.model, args.baseline, summary=summary, chains=found.chains,
                              unknown=tuple(_not_told(args, model, found)),
                              sources=_sources(args, plan), **_of_files(args))
    if plan is not None:
        evidence = _with_plan(args, evidence, accelerator, accelerator.check(plan))
    return evidence, accelerator.input_shapes


def _sources(args, plan):
    read = "counted in this run from the graphs of both checkpoints"
    found = {"summary": read, "chains": read, "timings": MEASURED, "scores": MEASURED, "disagreement": MEASURED,
             "front": MEASURED}
    if args.timing:
        found["summary"] += "; milliseconds measured in this run"
    if plan is not None:
        found["summary"] += "; methods and reasons read from %s" % args.config
        found["plan_text"] = "read from %s" % args.config
        if plan.made_by.get("latency") and not args.timing:
            found["summary"] += ", milliseconds too, as they were measured when it was made"
    return found


def _with_plan(args, evidence, accelerator, plan):
    """The evidence with what a plan, and what runs kept, tell of ranks."""
    if args.cache:
        accelerator.remember(args.cache)
    path, table = _sensitivity(args, accelerator.model)
    found = curves.plan_evidence(accelerator, plan, args.all_curves, table)
    energies = curves.energy_curves(plan, found)
    left = len(plan.chosen()) - len(energies)
    unknown = ("Energies of %d layers are left out, whose decompositions take longer: give `all_curves`" % left,
               ) if left and not args.all_curves else ()
    return replace(evidence, plan_text=_text_of(plan), energies=energies,
                   sensitivities=curves.sensitivity_curves(plan, found), unknown=evidence.unknown + unknown,
                   sources=dict(evidence.sources, sensitivities="read from %s" % path))


def _text_of(plan):
    """str: the JSON of a plan as its file has it, without the name of that file."""
    return replace(plan, made_by={key: value for key, value in plan.made_by.items() if key != "config"}).text()


def _sensitivity(args, model):
    """(str, Sensitivity), or (None, None) where there is no table."""
    beside = os.path.join(os.path.dirname(args.model), os.path.basename(args.baseline) + "-sensitivity.json")
    path = args.sensitivity_table or (beside if os.path.isfile(beside) else None)
    return (path, Sensitivity(path, {"network": fingerprint(model)}, read_only=True)) if path else (None, None)


def _of_files(args):
    """dict: attributes of the evidence that files beside the checkpoint tell, as far as there are any."""
    found = {}
    path = int8_plan_path(args.model)
    if is_int8_plan(path):
        with open_input(path, encoding="utf-8") as handle:
            found["int8"] = json.load(handle)
    if os.path.isfile(state_path(args.model)):
        state = load_state(args.model)
        found["stages"] = stages_summary(state, [SimpleNamespace(epochs=one["epochs"]) for one in state.done], 0)
        found["history"] = reporting.epochs_of(found["stages"])
    log = args.history or args.model + "-log.csv"
    if os.path.isfile(log):
        found["history"] = read_history(log)
    return found


def read_history(path):
    """tuple of dict: the epochs of a log of fine_tune.py.

    Raises
    ------
    AccnnError
        The file is none.
    """
    try:
        with open_input(path, encoding="utf-8", newline="") as handle:
            rows = [{name: float(value) if value else None for name, value in row.items()}
                    for row in csv.DictReader(handle)]
        if not rows or not {"epoch", "val_images", "val_right"} <= set(rows[0]):
            raise ValueError
        if not all(map(_is_epoch, rows)):
            raise ValueError
        return tuple(dict(row, epoch=int(row["epoch"])) for row in rows)
    except AccnnError:  # is a ValueError too
        raise
    except (ValueError, TypeError, AttributeError, OverflowError, csv.Error) as error:
        raise AccnnError("%s is no log of fine_tune.py, which has a row for every epoch" % path) from error


def _is_epoch(row):
    """bool: whether a row's numbers belong together and can be drawn."""
    known = [value for value in row.values() if value is not None and math.isfinite(value)]
    return all(abs(value) <= _MOST for value in known) and not (row["val_images"] and row["val_right"] is None)


def _not_told(args, model, found):
    """Yield sentences on what cannot be known of these files."""
    if not is_marked(symbol_path(args.model), params_path(args.model, model.epoch)):
        yield ("%s bears no mark of accnn: it was made or changed by something else, and what is said of its layers is "
               "read from its graph" % args.model)
    if found.gone:
        yield "%d layers of the baseline have no counterpart in %s, so that nothing is said of them" % (
            len(found.gone), args.model)


def _unknown(args):
    """Yield sentences on what was not asked for."""
    if args.config is None:
        yield "Methods, reasons, energies and sensitivities are those of a plan: give `config`"
    if not args.timing:
        yield "Nothing was timed in this run: leave out `no_timing`"
    if args.data_val is None:
        yield "Nothing was scored: give `data_val`"


def _show(args, evidence, found, files):
    took = time.monotonic() - args.started
    if args.json:
        print(json.dumps(spelled({"layers": evidence.summary["layers"], "network": evidence.summary["network"],
                                  "measured": found.get("timings"), "scores": found.get("scores"),
                                  "unknown": list(evidence.unknown), "written": files, "seconds": took}), indent=2))
        return
    for sentence in evidence.unknown:
        say(sentence)
    for kind, path in files.items():
        print("%-11s %s" % (kind, path))
    print(seconds(took))

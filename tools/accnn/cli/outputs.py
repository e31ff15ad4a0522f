"""What scripts write and print: refusals before any work, then checkpoint and config together, then the table."""
import json
import os
import re

from accnn.cli import precision
from accnn.cli.replacing import check_replaced, int8_plan_path, is_int8_plan, is_plan, is_special
from accnn.cli.setting_names import spelled
from accnn.core.errors import AccnnError
from accnn.core.files import locked
from accnn.core.progress import say
from accnn.core.text import before_after, seconds
from accnn.exporting.exporter import export_onnx
from accnn.graph.checkpoint import epochs, params_path, save_model, symbol_path
from accnn.graph.mark import is_marked
from accnn.latency.table import TABLE, check_target
from accnn.ranks.energy_cache import FILE
from accnn.report import int8
from accnn.report.plan import summary, table
from accnn.scoring import report as scoring


def check_folder(option, target):
    """Refuse a path to be written, given as `option`, whose folder is missing or read-only, or that is a folder."""
    folder = os.path.dirname(os.path.abspath(target))
    if os.path.isdir(target) or not os.path.basename(target):
        raise AccnnError("%s %s names a folder: add the beginning of a file name, as in %s"
                         % (option, target, os.path.join(target, "new-model")))
    if not os.path.isdir(folder):
        raise AccnnError("%s %s: there is no folder %s, make it first" % (option, target, folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AccnnError("%s %s: the folder %s cannot be written to, choose another" % (option, target, folder))


def claimed(option, prefix):
    """Context in which no other process writes what begins with `prefix`, given as `option`.

    Raises
    ------
    AccnnError
        Another process does, or nothing can be written there: see :func:`check_folder`.
    """
    check_prefix(option, prefix)
    return locked(prefix)


def check_prefix(option, target, endings=r"-symbol\.json|-\d{4,}\.params"):
    """Refuse the name of a file that will be written where its beginning is asked for; see :func:`check_folder`."""
    check_folder(option, target)
    name = re.fullmatch(r"(.*[^/])(%s)" % endings, target)
    if name:
        raise AccnnError("%s %s is the name of a file, and would get another ending: give its beginning, %s %s"
                         % (option, target, option, name.group(1)))


def check_checkpoint(source, target, force, config=None, is_ours=is_plan):
    """Refuse ``--save-model`` where it would replace what was not made here unasked, or cannot be written.

    The parameters are those of :func:`check_source`; `is_ours` tells whether a file is a `config` of the same script.

    Raises
    ------
    AccnnError
    """
    check_source(source, target, force, config)
    files = [symbol_path(target), params_path(target, 1)]
    quantizes, quantized = is_ours is is_int8_plan, is_int8_plan(int8_plan_path(target))
    check_replaced("--save-model", target, files, force, lambda _: is_marked(*files) and quantizes == quantized)
    check_replaced("--save-model", target, [config] if config else [], force, is_ours)
    check_epochs("--save-model", target, 1, force)


def check_source(source, target, force, config=None):
    """Refuse ``--save-model`` where it would overwrite the model that is read unasked, or cannot be written.

    Parameters
    ----------
    source, target : str
        Prefixes.
    force : bool
    config : str, optional
        A file that is written too.

    Raises
    ------
    AccnnError
    """
    check_prefix("--save-model", target)
    written = [symbol_path(target), params_path(target, 1)]
    for path in written + ([config] if config else []):
        if os.path.isdir(path):
            raise AccnnError("--save-model %s: %s is a folder, choose another prefix" % (target, path))
        if is_special(path):
            raise AccnnError("--save-model %s: %s is no regular file, choose another prefix" % (target, path))
    read = {source, symbol_path(source)} | {params_path(source, epoch) for epoch in epochs(source)}
    if not force and set(map(os.path.realpath, read)) & set(map(os.path.realpath, [target] + written)):
        raise AccnnError("--save-model %s is the model that is read: choose another prefix, or say --force" % target)


def check_epochs(option, prefix, epoch, force, ours=()):
    """Refuse a checkpoint whose new symbol would stand beside parameters of another; with `force`, say what stays.

    Parameters
    ----------
    option, prefix : str
    epoch : int
        What is written.
    force : bool
    ours : container of str
        Files of other epochs that are removed, or belong to the new symbol.

    Raises
    ------
    AccnnError
    """
    others = [path for path in (params_path(prefix, other) for other in epochs(prefix) if other != epoch)
              if path not in ours]
    if not others:
        return
    if not force:
        raise AccnnError("%s is there already, and would stand beside the symbol of another network: choose another "
                         "%s, or say --force to leave it there" % (others[0], option))
    named = ", ".join(others[:3]) + (" and %d more" % (len(others) - 3) if len(others) > 3 else "")
    say("%s: left beside the new symbol, to which it does not belong: remove it" % named if len(others) == 1 else
        "%s: left beside the new symbol, to which they do not belong: remove them" % named)


def check_config(option, source, target):
    """Refuse a config that would overwrite a file of the checkpoint `source`, of any epoch, or cannot be written."""
    check_folder(option, target)
    if is_special(target):
        raise AccnnError("%s %s is no regular file: choose another name" % (option, target))
    files = [symbol_path(source)] + [params_path(source, epoch) for epoch in epochs(source)]
    if _is_among(files, target) or _is_epoch_of(source, target):
        raise AccnnError("%s %s is a file of the model that is read: choose another name" % (option, target))


def check_output(args, target):
    """Refuse ``--output`` where it cannot be written, is what other options let the script read or keep, or no plan."""
    check_config("--output", args.model, target)
    _check_kept("--output", target, _tables(args) + _others(args))
    check_replaced("--output", target, [target], args.force, is_plan)


def check_export(args, written):
    """Refuse ``--export-latencies`` where it cannot be written, or is what else is read or written.

    Parameters
    ----------
    args : Namespace
    written : sequence of (str or None)
        Paths of other results.
    """
    target = args.export_latencies
    if target is None:
        return
    check_config("--export-latencies", args.model, target)
    if _is_among(written, target):
        raise AccnnError("--export-latencies %s is written with something else: choose another name" % target)
    _check_kept("--export-latencies", target, _others(args))  # a table takes in what is exported, and loses nothing
    check_target(target)


def _tables(args):
    """list of (str, str or None): options, and the tables of milliseconds that they name."""
    return [("--cache", args.cache and os.path.join(args.cache, TABLE)), ("--import-latencies", args.import_latencies)]


def _others(args):
    """list of (str, str or None): options, and what else they let a script read or keep."""
    index = args.data_calib_idx or args.data_calib and os.path.splitext(args.data_calib)[0] + ".idx"
    return [("--cache", args.cache and os.path.join(args.cache, FILE)), ("--sensitivity-table", args.sensitivity_table),
            ("--data-calib", args.data_calib), ("--data-calib-idx", index)]


def _check_kept(option, target, named):
    for other, path in named:
        if _is_among([path], target):
            raise AccnnError("%s %s is a file of %s: choose another name" % (option, target, other))


def _is_among(paths, path):
    """bool: whether a file is one of several, by whatever name; None stands for none."""
    return os.path.realpath(path) in [os.path.realpath(one) for one in paths if one]


def _is_epoch_of(prefix, path):
    """bool: whether a file has the name of an epoch of a checkpoint, saved or yet to be."""
    folder, name = os.path.split(os.path.realpath(path))
    return folder == os.path.realpath(os.path.dirname(prefix)) and bool(
        re.fullmatch(re.escape(os.path.basename(prefix)) + r"-\d{4,}\.params", name))


def config_path(prefix, ratio):
    """Where ranks chosen for `ratio` are written: beside the saved model, under the original's name."""
    exact = "%.1f" % ratio
    return os.path.join(os.path.dirname(prefix), "config-rksel-%s.json" % (exact if float(exact) == ratio else ratio))


def accelerate_and_write(accelerator, plan, prefix, config=None, low_prefix=None, onnx=None, also=None):
    """Apply `plan` and write the checkpoint, its form in a lower precision, and the plan: all files, or none.

    Parameters
    ----------
    accelerator : Accelerator
        Of a model that was loaded from files.
    plan : Plan
    prefix : str
    config : str, optional
        Where the plan is written.
    low_prefix : str, optional
        Of the form in the precision of the plan, INT8 with the images of the accelerator; default: none is made.
    onnx : str, optional
        Path of an ONNX file, written once it is proved; default: none is.
    also : callable, optional
        ``also(summary)`` returns paths and texts of files that are written with them.

    Returns
    -------
    dict
        :func:`accnn.report.plan.summary` with ``written`` (paths) and ``file_bytes``; with another form its precision
        too, with its ``file_bytes``, and of INT8 :func:`accnn.report.int8.summary`; with an ONNX file ``onnx``, with
        its ``file_bytes``.
    """
    before = os.path.getsize(params_path(accelerator.model.prefix, accelerator.model.epoch))
    faster = accelerator.accelerate(plan)
    low, made = (None, None) if low_prefix is None else precision.in_precision(accelerator, plan, faster)
    written = {"symbol": symbol_path(prefix), "params": params_path(prefix, 1)}
    if low:
        written.update({plan.precision + " symbol": symbol_path(low_prefix),
                        plan.precision + " params": params_path(low_prefix, 1)})
    with_them = {config: plan.text()} if config else {}
    if onnx:
        written["onnx"] = onnx
        with_them[onnx] = lambda path: export_onnx(faster, path, accelerator.input_shapes)
    say_replaced(list(written.values()) + ([config] if config else []))
    result = summary(accelerator, plan)
    with_them.update(also(result) if also else {})
    save_model(faster, prefix, 1, with_them, stale_plans(prefix, low_prefix), True, {low_prefix: low} if low else None)
    if config:
        written["config"] = config
    result = dict(result, written=written, file_bytes=_sizes(before, written["params"]))
    if low:
        told = int8.summary(made, accelerator.input_shapes, accelerator.responses.images,
                            {"original": accelerator.model.prefix}) if made else {}
        result[plan.precision] = dict(told, file_bytes=_sizes(before, written[plan.precision + " params"]))
    if low and made:
        result["layers"] = int8.with_exclusions(result["layers"], told, precision.operators(accelerator, plan))
    if onnx:
        result["onnx"] = {"file_bytes": _sizes(before, onnx)}
    return result


def _sizes(before, path):
    return before_after(before, os.path.getsize(path))


def say_replaced(paths):
    """Say on stderr which files of an earlier run are about to be replaced."""
    there = [path for path in paths if os.path.exists(path)]
    if there:
        say("replacing %s" % ", ".join(there))


def stale_plans(*prefixes):
    """list of str: what quantize.py wrote beside checkpoints that are replaced, to be removed; says so."""
    paths = [int8_plan_path(prefix) for prefix in prefixes if prefix and is_int8_plan(int8_plan_path(prefix))]
    if paths:
        say("removing %s, which says how what is replaced was made" % ", ".join(paths))
    return paths


def missed_exit_code(plan):
    """int: the exit code, 1 for a plan that is the best there is and not what was asked for, which is said."""
    missed = plan.made_by.get("latency", {}).get("missed")
    if missed:
        say("the best there is, not what was asked for: %s" % missed)
    return 1 if missed else 0


def show(report, as_json, table=table):
    """Print a report on stdout, as JSON or as the lines that `table` makes of it, with what was written."""
    report = spelled(report)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    lines = table(report) + (int8.outcome(report["int8"]) if report.get("int8") else [])
    lines += [""] + scoring.table(report["scores"]) if report.get("scores") else []
    print(spelled("\n".join(lines)))
    for kind, path in report.get("written", {}).items():
        print("%-11s %s" % (kind, path))
    print(seconds(report["seconds"]))

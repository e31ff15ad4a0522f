"""What a script prints last: the command to run next, complete, for the shell and folder that it was started in."""
import contextlib
import os
import shlex
import shutil
import sys

from accnn.core.layers import FP32, INT8
from accnn.core.libraries import missing

_TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_INSTALLED = {"rank_selection": "accnn-ranks", "acc_conv": "acc-conv", "acc_fc": "acc-fc", "accnn": "accnn"}
_FEW = 1000  # images that are enough to see how far outputs are apart


def command(script, words):
    """str: how a script is started with some words, in the way that the running one was: as a file, or installed.

    Parameters
    ----------
    script : str
        As in 'fine_tune'.
    words : sequence of str
    """
    return shlex.join(_start(script) + [str(word) for word in words])


def _start(script):
    folder, name = os.path.split(sys.argv[0] or "")
    if name not in _installed_names():
        return [_python(), _short(os.path.join(_TOOLS, script + ".py"))]
    there = os.path.join(os.path.abspath(folder), _installed(script))
    return [_installed(script) if shutil.which(_installed(script)) == there else _nearby(there)]


def _installed(script):
    return _INSTALLED.get(script, "accnn-" + script.replace("_", "-"))


def _installed_names():
    scripts = [os.path.splitext(name)[0] for name in os.listdir(_TOOLS) if name.endswith(".py")]
    return {_installed(script) for script in scripts if not script.startswith("_")}


def _python():
    """str: the interpreter, by the name that the shell finds it under."""
    return next(filter(_is_this_python, ("python", "python3")), None) or _nearby(sys.executable)


def _is_this_python(name):
    """bool: in the same folder too, since those of virtual environments may be links to one file."""
    found = shutil.which(name)
    return bool(found) and os.path.dirname(found) == os.path.dirname(sys.executable) and os.path.samefile(
        found, sys.executable)


def _nearby(path):
    """str: a path as it is seen from the current folder, where it is in that."""
    inside = os.path.relpath(path)
    return os.path.abspath(path) if inside.startswith(os.pardir) else os.path.join(os.curdir, inside)


def _short(path):
    return min(os.path.relpath(path), path, key=len)


_told = [True]  # of the blocks of :func:`untold`, the innermost last


@contextlib.contextmanager
def untold():
    """Context in which :func:`tell` is silent: for a program that runs scripts and knows itself what comes next."""
    _told.append(False)
    try:
        yield
    finally:
        _told.pop()


def tell(args, step):
    """Print what to do next, where people read it and not machines.

    Parameters
    ----------
    args : Namespace
        With ``json``.
    step : (str, str, list of str) or None
        What for, the script and its words.
    """
    if step is not None and not args.json and _told[-1]:
        purpose, script, words = step
        print("\nnext, %s:\n  %s" % (purpose, command(script, words)))


def after_planning(args, plan, result):
    """Return the step after accnn.py: see :func:`tell`.

    Parameters
    ----------
    args : Namespace
    plan : Plan
    result : dict
        With ``written`` and ``measured``.
    """
    written = result.get("written", {})
    if "params" not in written:
        return "to write that", "accnn", without(args.words, "--dry-run")
    if os.path.realpath(args.save_model) == os.path.realpath(args.model):
        return None  # there is no original to compare with
    engine = getattr(args, "engine", "mxnet")
    pair = ["-m", _best_form(args.save_model, plan.precision, written)] + _baseline(args)
    if engine != "mxnet":
        return ("to time it in both engines", "benchmark",
                pair + ["--engine", "mxnet," + engine] + _machine(args) + _shapes(args))
    if result["measured"] is None:
        return "to time it", "benchmark", pair + _machine(args) + _shapes(args)
    if args.data_calib is None:
        return _seen(args, pair + (["--config", written["config"]] if "config" in written else []))
    if plan.precision == FP32:
        return ("to make it INT8", "quantize", ["-m", args.save_model, "--original", args.model] + _epoch(
            args, "--original-epoch") + _calibration(args) + ["--save-model", args.save_model + "-int8"])
    return _outputs_compared(args, pair)


def _best_form(prefix, precision, written):
    """str: prefix of the form in a lower precision, where one was written."""
    return "%s-%s" % (prefix, precision) if "%s params" % precision in written else prefix


def after_ranks(args, plan):
    """Return the step after rank_selection.py, which wrote a plan to a path: see :func:`tell`."""
    words = ["-m", args.model] + _epoch(args, "--load-epoch") + _shapes(args) + ["--config", plan]
    if args.data_calib is not None:
        words += _calibration(args)
    elif getattr(args, "precision", FP32) == INT8:
        words += ["--random-thresholds"]
    return "to do what it says", "accnn", words + ["--save-model", args.model + "-%gx" % getattr(args, "ratio", 2)]


def after_one_layer(args):
    """Return the step after acc_conv.py and acc_fc.py: see :func:`tell`."""
    return "to time it", "benchmark", ["-m", args.save_model] + _baseline(args) + _shapes(args)


def after_sweep(args, rows):
    """Return the step after accnn.py with ``--sweep``, where `rows` say what was written: see :func:`tell`."""
    if args.dry_run:
        return "to write them", "accnn", without(args.words, "--dry-run")
    written = [row for row in rows if "prefix" in row]
    if not written:
        return None
    chosen, *others = [_best_form(row["prefix"], row["precision"], row["written"]) for row in written]
    beside = [word for prefix in others for word in ("--beside", prefix)]
    words = ["-m", chosen] + _baseline(args) + ["--config", written[0]["written"]["config"]]
    return _seen(args, words + beside)


def after_quantizing(args):
    """Return the step after quantize.py: see :func:`tell`."""
    if args.dry_run:
        return "to write that", "quantize", without(args.words, "--dry-run")
    original = ([args.original] + (["--baseline-epoch", args.original_epoch] if args.original_epoch is not None else [])
                if args.original is not None else [args.model] + _epoch(args, "--baseline-epoch"))
    return _outputs_compared(args, ["-m", args.save_model, "--baseline"] + original)


def after_training(args, best, last):
    """Return the step after fine_tune.py: see :func:`tell`.

    Parameters
    ----------
    args : Namespace
    best : str or None
        Prefix of the best epoch, where images were scored.
    last : int
        The last epoch.
    """
    words = ["-m", best] if best else ["-m", args.model_prefix, "--load-epoch", last]
    return _trained(args, words, args.model_prefix, args.teacher)


def after_two_passes(args):
    """Return the step after two_pass.py: see :func:`tell`."""
    return _trained(args, ["-m", args.save_model], args.save_model)


def _trained(args, words, prefix, teacher=None):
    if args.data_val is None:
        read = "train" if args.data_train is not None else "unlabelled"
        images = ["--data-calib", getattr(args, "data_" + read)] + _index(args, read, "calib")
        return "to make it INT8", "quantize", words + images + _pictures(args) + ["--save-model", prefix + "-int8"]
    base = ["--baseline", teacher] if teacher is not None else _baseline(args)
    return ("to compare it with what it is to do", "score", words + base + ["--data-val", args.data_val]
            + _index(args, "val", "val") + _pictures(args))


def after_scoring(args):
    """Return the step after score.py: see :func:`tell`."""
    words = ["-m", args.model] + _epoch(args, "--load-epoch") + _given(args, "baseline", "baseline_epoch")
    return "to time it", "benchmark", words + _shapes(args)


def after_timing(args, precision):
    """Return the step after benchmark.py, which timed a network in a precision: see :func:`tell`."""
    words = ["-m", args.model] + _epoch(args, "--load-epoch")
    if args.baseline is not None:
        return _seen(args, words + _given(args, "baseline", "baseline_epoch"))
    if precision != FP32:
        return "to check its files", "check", words
    return ("to make it twice as fast", "accnn", words + ["--cost", "latency", "--ratio", "2"] + _shapes(args) + [
        "--save-model", args.model + "-2x"])


def _seen(args, words):
    """A page about two networks where its libraries are there, else their milliseconds by layer."""
    if any(missing(name) for name in ("jinja2", "matplotlib")):
        return ("to time every layer", "benchmark",
                _before(words, "--config") + ["--layers"] + _machine(args) + _shapes(args))
    return "to see it", "report", words + _machine(args, batch=False) + _shapes(args)


def _before(words, option):
    return words[:words.index(option)] if option in words else words


def _outputs_compared(args, pair):
    return ("to see how far its outputs are off", "score",
            pair + ["--data-val", args.data_calib] + _index(args, "calib", "val") + ["--fidelity", "--max-num-examples",
                                                                                     _FEW] + _pictures(args))


def without(words, option):
    """list of str: words of a command line less an option that takes no value."""
    return [word for word in words if word != option]


def _baseline(args):
    return ["--baseline", args.model] + _epoch(args, "--baseline-epoch")


def _epoch(args, option):
    return [option, args.load_epoch] if args.load_epoch is not None else []


def _given(args, *names):
    """list of str: options that were given, with their values."""
    values = [(name, getattr(args, name, None)) for name in names]
    return [word for name, value in values if value is not None for word in ("--" + name.replace("_", "-"), value)]


def _machine(args, batch=True):
    sizes = _given(args, "batch_size") if batch and getattr(args, "data_calib", None) is None else []
    return [",".join(map(str, word)) if isinstance(word, tuple) else word for word in _given(
        args, "threads") + sizes if word != ()]


def _shapes(args):
    return [word for name, shape in args.input_shape for word in (
        "--input-shape", ("%s:" % name if name else "") + ",".join(map(str, shape)))]


def _calibration(args):
    images = ["--calib-images", args.calib_images] if args.calib_images and args.calib_images < _FEW else []
    return ["--data-calib", args.data_calib] + _index(args, "calib", "calib") + images + _pictures(args)


def _index(args, read, named):
    index = getattr(args, "data_%s_idx" % read, None)
    return ["--data-%s-idx" % named, index] if index is not None else []


def _pictures(args):
    """list of str: how images are read and for which input."""
    words = []
    for option, values, usual in (("--rgb-mean", args.rgb_mean, 0), ("--rgb-std", args.rgb_std, 1)):
        if any(value != usual for value in values):
            words.append("%s=%s" % (option, ",".join("%.9g" % value for value in values)))
    return words + (["--resize", args.resize] if args.resize else []) + _shapes(args)


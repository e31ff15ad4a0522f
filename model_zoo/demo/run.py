"""python model_zoo/demo/run.py

Accelerates the demo's network through the real command lines: accnn.py plans ranks for INT8 by measured latency,
fine_tune.py lets the original teach what that wrote, quantize.py makes it INT8, report.py compares it with the original
on 500 images that neither was trained on, times them in turns, and writes all of it as one page. Everything that is
written goes to ``--work-dir``. All of it takes some 40 seconds on two cores; one plan is timed, or two or three.
"""
import argparse
import contextlib
import io
import json
import os
import sys
import textwrap

if not __package__:  # started as a script
    _REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The script's own folder goes off the path, so that no file in it shadows an installed module.
    sys.path[0] = os.path.join(_REPOSITORY, "tools")
    sys.path.append(_REPOSITORY)

from accnn import accnn, fine_tune, quantize, report
from accnn.cli import main as cli
from accnn.cli import next_step
from accnn.cli.outputs import config_path
from accnn.core.machine import cores
from accnn.core.text import megabytes, percent, points, times
from accnn.graph.checkpoint import params_path
from accnn.report import page, timing
from accnn.scoring import report as scoring
from accnn.timing.clock import conditions, known_to
from model_zoo.demo import pack_digits

FOLDER = os.path.dirname(os.path.abspath(__file__))
CHECKPOINT = os.path.join(FOLDER, "digits")
EPOCH = 1
FP32, INT8 = "fp32", "int8"
EPOCHS = 1             # of fine-tuning
LEARNING_RATE = 1e-3
# One thread makes the measured ratio repeatable; with AMX units INT8 alone would be so fast that no layer were split.
LATENCY = ["--batch-size", "32", "--threads", "1", "--no-amx"]
TARGET_MISSED = 1      # exit code of accnn.py where this machine is not that fast: what it made is shown all the same
_SHAPE = ",".join(str(size) for size in pack_digits.IMAGE_SHAPE)


def demonstrate(ratio, align, precision, work_dir, as_json=False):
    """Pack, accelerate, fine-tune, quantize, score, time and report; print the outcome.

    Parameters
    ----------
    ratio : float
        Measured speed-up to ask for.
    align : int
        Ranks are multiples of this; 1: of what is found to be fast.
    precision : str
        'int8', or 'fp32': then nothing is quantized.
    work_dir : str
        Folder for everything that is written; made if it is missing.
    as_json : bool
        One JSON object on stdout instead of tables.

    Returns
    -------
    int
        0, or the exit code of the first step that failed.
    """
    page.check_libraries()
    recs = pack_digits.pack(work_dir)
    found = {}
    for script, arguments in steps(ratio, align, precision, work_dir, recs):
        name = _name(script)
        command = next_step.command(name, arguments)
        if not as_json:
            print("$ " + command, flush=True)
        with next_step.untold():
            captured = as_json or script is report
            exit_code, text = _captured(script, arguments + ["--json"]) if captured else (script.main(arguments), "{}")
        if not as_json:
            print(flush=True)
        if exit_code and (script, exit_code) != (accnn, TARGET_MISSED):
            return exit_code
        found[name] = dict(json.loads(text or "{}"), command=command, exit_code=exit_code)
    print(json.dumps(dict(found, ratio=ratio), indent=2) if as_json else "\n".join(
        scoring.table(found["report"]["scores"]) + [""] + timing.lines(found["report"]["measured"]) + [
            "", outcome(ratio, found["report"])]))
    return 0


def outcome(ratio, found):
    """str: a paragraph on what was asked for and what came of it.

    Parameters
    ----------
    ratio : float
    found : dict
        What report.py prints as JSON.
    """
    run, scores, pair = found["measured"]["runs"][0], found["scores"], found["scores"]["paired"]
    before, after = (scores[name]["top"]["1"]["accuracy"] for name in ("baseline", "model"))
    sizes = [os.path.getsize(params_path(scores[name]["model"], scores[name]["epoch"]))
             for name in ("baseline", "model")]
    return textwrap.fill(
        "Asked for %gx, measured %s (%s; known to %s). Top-1 is %s, was %s: %s points lost, 95%% interval %s to %s, of "
        "%d images. The file of parameters has %s, was %s. All of it, with plots, on one page that a browser opens: %s"
        % ((ratio, times(run["measured"]["median"]), conditions(run["threads"], run["batch_size"]),
            known_to(run["measured"]["uncertainty"]), percent(after), percent(before), points(pair["drop"]["1"]))
           + tuple(map(points, pair["drop_interval_95"])) + (scores["model"]["images"], megabytes(sizes[1]),
                                                             megabytes(sizes[0]), found["written"]["report"])),
        width=100, break_long_words=False, break_on_hyphens=False)


def steps(ratio, align, precision, work_dir, recs):
    """list of (script, arguments): the commands of the demo, in order."""
    split = os.path.join(work_dir, f"digits-{ratio:g}x")
    tuned = split + "-tuned"
    original = os.path.relpath(CHECKPOINT)
    shape = ["--image-shape", _SHAPE]
    calibration = ["--data-calib", recs["train"], "--calib-images", "250"]
    # The network is made INT8 after it was trained: planning needs no images for that, and takes seconds without.
    made_up = ["--random-thresholds"] if precision == INT8 else []
    # Its plan was timed when it was made, and what comes of it is in the end.
    planned = (accnn, ["-m", original, "--load-epoch", str(EPOCH), "--ratio", f"{ratio:g}", "--cost", "latency",
                       "--precision", precision, "--align", str(align), "--method", "vh,fc-svd", "--best-effort",
                       "--save-model", split, "--no-timing"]
               + made_up + LATENCY + shape)
    taught = (fine_tune, ["--pretrained-model", split, "--teacher", original, "--data-train", recs["train"],
                          "--data-val", recs["val"], "--num-epochs", str(EPOCHS), "--lr", f"{LEARNING_RATE:g}",
                          "--batch-size", "32", "--dropout", "0", "--random-mirror", "0", "--pad-size", "2",
                          "--fill-value", "0", "--model-prefix", tuned, "--force"] + shape)
    final, more = tuned + "-best", []
    if precision == INT8:
        final = tuned + "-int8"
        more = [(quantize, ["-m", tuned + "-best", "--original", original, "--save-model", final, "--no-timing"]
                 + calibration + LATENCY + shape)]
    seen = (report, ["-m", final, "--baseline", original, "--config", config_path(split, ratio), "--data-val",
                     recs["val"], "--history", tuned + "-log.csv", "--output", split + "-report.html"]
            + LATENCY + shape)
    return [planned, taught] + more + [seen]


def _name(script):
    """str: of a script; that of report.py is a package's too."""
    return script.__name__.rpartition(".")[2]


def _captured(script, arguments):
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exit_code = script.main(arguments)
    return exit_code, stdout.getvalue()


def main(argv=None):
    """Run the demo as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Accelerate a small network, fine-tune it, make it INT8, score and time it.")
    parser.add_argument("--ratio", type=float, default=6, help="measured speed-up (default: %(default)s)")
    parser.add_argument("--align", type=int, default=1, help="ranks are multiples of this (default: what is fast)")
    parser.add_argument("--precision", choices=[FP32, INT8], default=INT8, help="(default: %(default)s)")
    parser.add_argument("--work-dir", default="accnn-demo", help="where files go (default: ./%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    return cli.run(demonstrate, options.ratio, options.align, options.precision, options.work_dir, options.json)


if __name__ == "__main__":
    # Training, scoring and INT8 on all cores, of which MXNet takes half unless told so before it is imported. What is
    # timed says itself how many it takes.
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    sys.exit(main())

"""python model_zoo/demo/run.py

Accelerates the demo's network through the real command line and scores it before and after on 500 images that it was
not trained on. Everything it writes goes to ``--work-dir``.
"""
import argparse
import contextlib
import io
import json
import os
import shlex
import sys

if not __package__:  # started as a script
    # One thread, unless the caller says otherwise, makes the measured ratio repeatable; read when MXNet is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The script's own folder goes off the path, so that no file in it shadows an installed module.
    sys.path[0] = os.path.join(_REPOSITORY, "tools")
    sys.path.append(_REPOSITORY)

from accnn import accnn as accnn_script
from accnn import cli
from model_zoo.demo import pack_digits, scoring

FOLDER = os.path.dirname(os.path.abspath(__file__))
CHECKPOINT = os.path.join(FOLDER, "digits")
EPOCH = 1
LATENCY_BATCH = 32


def demonstrate(ratio, align, work_dir, as_json=False):
    """Pack, accelerate, score and time; print the outcome.

    Parameters
    ----------
    ratio : float
        Theoretical speed-up to ask for.
    align : int
        Ranks are multiples of this; 16 fits the kernels of most CPUs.
    work_dir : str
        Folder for everything that is written; made if it is missing.
    as_json : bool
        One JSON object on stdout instead of tables.

    Returns
    -------
    int
        0, or the exit code of the acceleration where that failed.
    """
    rec = pack_digits.pack(work_dir)["val"]
    accelerated = os.path.join(work_dir, f"digits-{ratio:g}x")
    arguments = _accnn_arguments(ratio, align, accelerated)
    command = _shell_command(arguments)
    if as_json:
        exit_code, text = _captured(arguments + ["--json"])
    else:
        print("$ " + command, flush=True)
        exit_code, text = accnn_script.main(arguments), None
    if exit_code:
        return exit_code
    outcome = dict(_scores(accelerated, rec), ratio=ratio, command=command, latency=_latency(accelerated, rec))
    print(json.dumps(dict(outcome, accnn=json.loads(text)), indent=2) if as_json else "\n" + table(outcome))
    return 0


def _accnn_arguments(ratio, align, accelerated):
    shape = ",".join(str(size) for size in pack_digits.IMAGE_SHAPE)
    return ["-m", os.path.relpath(CHECKPOINT), "--load-epoch", str(EPOCH), "--input-shape", shape,
            "--ratio", f"{ratio:g}", "--align", str(align), "--save-model", accelerated]


def _shell_command(arguments):
    script = os.path.relpath(os.path.abspath(accnn_script.__file__))
    return " ".join(shlex.quote(word) for word in ["python", script] + arguments)


def _captured(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exit_code = accnn_script.main(arguments)
    return exit_code, stdout.getvalue()


def _scores(accelerated, rec):
    before, labels = scoring.predict(CHECKPOINT, EPOCH, rec, pack_digits.IMAGE_SHAPE)
    after, _ = scoring.predict(accelerated, EPOCH, rec, pack_digits.IMAGE_SHAPE)
    return {"images": len(labels), "right_before": int((before == labels).sum()),
            "right_after": int((after == labels).sum()), "agree": int((before == after).sum())}


def _latency(accelerated, rec):
    images, _ = next(scoring.read_images(rec, pack_digits.IMAGE_SHAPE, LATENCY_BATCH))
    bound = [scoring.bind(prefix, EPOCH, pack_digits.IMAGE_SHAPE, LATENCY_BATCH)
             for prefix in (CHECKPOINT, accelerated)]
    measured = scoring.compare_latency(*bound, images=images)
    return dict(measured._asdict(), ratio=measured.baseline_ms / measured.accelerated_ms, batch=LATENCY_BATCH,
                threads=os.environ.get("OMP_NUM_THREADS", "unset"))


def table(outcome):
    """Return the lines to print for what :func:`demonstrate` found, as one text."""
    images, latency = outcome["images"], outcome["latency"]
    before, after, agree = outcome["right_before"], outcome["right_after"], outcome["agree"]
    setting = f"batch {latency['batch']}, threads {latency['threads']}, median"
    rows = [
        ("", "before", "after", ""),
        ("top-1", _percent(before, images), _percent(after, images), f"{before} and {after} of {images} right"),
        ("same answer", "", _percent(agree, images), f"{agree} of {images}"),
        ("forward pass", f"{latency['baseline_ms']:.1f} ms", f"{latency['accelerated_ms']:.1f} ms",
         f"measured {latency['ratio']:.2f}x, whole network ({setting})"),
    ]
    return "\n".join(f"{name:12}  {left:>9}  {right:>9}  {note}".rstrip() for name, left, right, note in rows)


def _percent(part, whole):
    return f"{part / whole:.2%}"


def main(argv=None):
    """Run the demo as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Accelerate a small network and score it before and after.")
    parser.add_argument("--ratio", type=float, default=2, help="theoretical speed-up (default: %(default)s)")
    parser.add_argument("--align", type=int, default=16, help="ranks are multiples of this (default: %(default)s)")
    parser.add_argument("--work-dir", default="accnn-demo", help="where files go (default: ./%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    return cli.run(demonstrate, options.ratio, options.align, options.work_dir, options.json)


if __name__ == "__main__":
    sys.exit(main())

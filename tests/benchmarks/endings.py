"""python tests/benchmarks/endings.py [--epochs 15]

Every way to end a network that tests/endings.py knows: what score.py calls the cross-entropy of drawn pictures beside
what NumPy makes of the probabilities, and what a run of fine_tune.py gets right beside the same run of the plain end.
Takes about a minute.
"""
import argparse
import contextlib
import io
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (os.path.join(HERE, os.pardir), os.environ.get("ACCNN_TOOLS") or os.path.join(HERE, os.pardir, os.pardir,
                                                                                         "tools")):
    sys.path.insert(0, folder)

import numpy as np

from accnn import fine_tune, score
from accnn.core.compat import mx
from endings import ENDINGS, TRAINED
from networks import outputs, random_model, saved
from pictures import CLASSES, items, packed, read

S = mx.sym
SHAPE, COLOURS = (3, 12, 12), ["--rgb-mean", "128", "--rgb-std", "64", "--image-shape", "3,12,12"]


def scores():
    """A small network up to its class scores."""
    x = S.Convolution(S.Variable("data"), kernel=(3, 3), stride=(2, 2), num_filter=6, name="conv")
    return S.FullyConnected(S.Activation(x, act_type="relu"), num_hidden=CLASSES, name="fc")


def run(main, *arguments):
    """(document, what stderr says) of a script with --json; the document is None where it refuses."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments) + ["--json"])
    return (json.loads(out.getvalue()) if code == 0 else None), err.getvalue()


def tuned(folder, prefix, rec, epochs):
    """Images right after fine-tuning; None where it is refused."""
    out = os.path.join(folder, "out")
    found, _ = run(fine_tune.main, "-m", prefix, "--data-train", rec, "--data-val", rec, "--num-epochs", str(epochs),
                   "--batch-size", "10", "--lr", "0.02", "--mom", "0.9", "--model-prefix", out, "--force", *COLOURS)
    return found and found["epochs"][-1]["val_right"]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rec = packed(os.path.join(folder, "val"), items(60))
        images, labels = read(rec, SHAPE, (128.0,), (64.0,))
        labels, rows = np.array(labels, int), np.arange(len(labels))
        given = outputs(random_model(scores(), data=SHAPE), data=images)[0]
        plain = {}
        print("%-24s %10s %10s %7s %7s  %s" % ("end", "score.py", "NumPy", "tuned", "plain", "what is said"))
        for name, (end, truth) in ENDINGS.items():
            prefix = saved(random_model(end(scores()), data=SHAPE), os.path.join(folder, "net"))
            found, said = run(score.main, "-m", prefix, "--data-val", rec, *COLOURS)
            entropy = found["model"]["cross_entropy"] if found else float("nan")
            right = tuned(folder, prefix, rec, args.epochs)
            trained = TRAINED.get(name, S.softmax)
            if trained not in plain:
                prefix = saved(random_model(trained(scores()), data=SHAPE), os.path.join(folder, "net"))
                plain[trained] = tuned(folder, prefix, rec, args.epochs)
            told = [line.split(": ", 1)[-1] for line in said.splitlines() if "taken for" in line]
            wanted = -np.log(truth(given)[rows, labels]).mean()
            print("%-24s %10.4f %10.4f %7s %7s  %s" % (name, entropy, wanted, right, plain[trained], "".join(told)),
                  flush=True)


if __name__ == "__main__":
    main()

"""python tests/benchmarks/recovery.py -m vgg16_cifar10 --data-train cifar10_train.rec --data-val cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7

What fine-tuning brings back of what a split lost, on labels, with the original as teacher beside them, and by matching
its answers alone: accnn.py splits, or --start names what is split already, then fine_tune.py runs three times. Options
it does not know go to fine_tune.py; about 4 minutes an epoch of 50,000 on 2 cores.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools", "accnn")
RECIPE = ["--lr-schedule", "cosine", "--dropout", "0"]
LABELS = RECIPE + ["--lr", "2e-3", "--batch-size", "32"]
MATCHING = RECIPE + ["--lr", "5e-4", "--optimizer", "adam", "--wd", "0", "--batch-size", "128", "--temperature", "1",
                     "--distill-weight", "1", "--teacher-mirror", "1", "--pad-size", "4", "--clip-gradient", "0"]


def script(name, *arguments):
    """Run a script of the package and return what it says as JSON; its progress goes to stderr."""
    command = [sys.executable, os.path.join(TOOLS, name), *arguments, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def study(args, rest, folder):
    """Yield (title, images right, of, seconds) for every stage."""
    split, began = args.start or os.path.join(folder, "split"), time.monotonic()
    if not args.start:
        planning = ["--rank-selection", args.rank_selection] if args.rank_selection else []
        script("accnn.py", "-m", args.model, "--ratio", str(args.ratio), "--save-model", split, *planning)
    began = time.monotonic() - began
    images = ["--rgb-mean", args.rgb_mean, "--rgb-std", args.rgb_std]
    scored = script("score.py", "-m", split, "--baseline", args.model, "--data-val", args.data_val, *images)
    n = scored["data"]["images"]
    yield "original", scored["baseline"]["top"]["1"]["right"], n, 0.0
    yield "split", scored["model"]["top"]["1"]["right"], n, began
    teacher = ["--teacher", args.model]
    for title, options in (("fine-tuned on labels", LABELS), ("taught by the original", LABELS + teacher),
                           ("matching the original", MATCHING + teacher)):
        started = time.monotonic()
        tuned = script("fine_tune.py", "--pretrained-model", split, "--data-train", args.data_train, "--data-val",
                       args.data_val, "--num-epochs", str(args.num_epochs), "--model-prefix",
                       os.path.join(folder, title.replace(" ", "-")), *images, *options, *rest)
        for entry in tuned["epochs"][1:]:
            yield "%s, epoch %d" % (title, entry["epoch"]), entry["val_right"], n, time.monotonic() - started


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data-train", required=True)
    parser.add_argument("--data-val", required=True)
    parser.add_argument("--rgb-mean", default="0,0,0")
    parser.add_argument("--rgb-std", default="1,1,1")
    parser.add_argument("--ratio", type=float, default=4)
    parser.add_argument("--start", metavar="PREFIX", help="a network that is split already, in place of --ratio")
    parser.add_argument("--rank-selection", help="default: that of accnn.py")
    parser.add_argument("--num-epochs", type=int, default=2)
    args, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        for title, right, images, seconds in study(args, rest, folder):
            print("%-36s %6.2f%%  %5d of %d  %6.0f s" % (title, 100 * right / images, right, images, seconds),
                  flush=True)


if __name__ == "__main__":
    main()

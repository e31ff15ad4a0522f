"""python tests/benchmarks/recovery.py -m vgg16_cifar10 --data-train cifar10_train.rec --data-val cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7

What fine-tuning brings back of what a split lost, without and with the original as teacher: accnn.py splits, then
fine_tune.py runs twice. Options it does not know go to fine_tune.py; about 4 minutes an epoch of 50,000 on 2 cores.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools", "accnn")
RECIPE = ["--lr", "2e-3", "--batch-size", "32", "--lr-schedule", "cosine", "--dropout", "0"]


def script(name, *arguments):
    """Run a script of the package and return what it says as JSON; its progress goes to stderr."""
    command = [sys.executable, os.path.join(TOOLS, name), *arguments, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def study(args, rest, folder):
    """Yield (title, images right, of, seconds) for every stage."""
    split = os.path.join(folder, "split")
    planning = ["--rank-selection", args.rank_selection] if args.rank_selection else []
    report = script("accnn.py", "-m", args.model, "--ratio", str(args.ratio), "--save-model", split, *planning)
    images = ["--rgb-mean", args.rgb_mean, "--rgb-std", args.rgb_std]
    scored = script("score.py", "-m", split, "--baseline", args.model, "--data-val", args.data_val, *images)
    n = scored["data"]["images"]
    yield "original", scored["baseline"]["top"]["1"]["right"], n, 0.0
    yield "split, %.2fx theoretical" % report["convolutions"]["ratio"], scored["model"]["top"]["1"]["right"], n, \
        report["seconds"]
    for title, teacher in (("fine-tuned on labels", []), ("taught by the original", ["--teacher", args.model])):
        started = time.monotonic()
        tuned = script("fine_tune.py", "--pretrained-model", split, "--data-train", args.data_train, "--data-val",
                       args.data_val, "--num-epochs", str(args.num_epochs), "--model-prefix",
                       os.path.join(folder, "tuned" + "-taught" * bool(teacher)), *images, *RECIPE, *teacher, *rest)
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
    parser.add_argument("--rank-selection", help="default: that of accnn.py")
    parser.add_argument("--num-epochs", type=int, default=2)
    args, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        for title, right, images, seconds in study(args, rest, folder):
            print("%-36s %6.2f%%  %5d of %d  %6.0f s" % (title, 100 * right / images, right, images, seconds),
                  flush=True)


if __name__ == "__main__":
    main()

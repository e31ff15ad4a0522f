"""python tests/benchmarks/latency_ablation.py [-m vgg16] [--ratio 3 4 3] [--batch-size 1] [--off nothing ...]

What parts of the planning by latency are good for: `rank_selection.py --cost latency` with everything, and with one
part or another switched off (here, by putting something else in its place), on VGG-16 with random weights or another
checkpoint. A first planning fills a latency cache; then, for every combination in `--off`, plannings for the ratios one
after the other begin with a cache that knows these chains and nothing of the network. `--new`: with an empty one each.
`--tools`: folders of several versions to plan with in turns. Printed are the seconds of every planning, the predicted
ratio and the measured one, and all plans that were timed.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = "latencies.json"


def _no_partial_batches():
    from accnn.latency.profiler import LatencyProfiler
    LatencyProfiler.use_partial_batch = lambda self, layers: None


def _no_standard_errors():
    from accnn.latency.table import LatencyTable
    LatencyTable.ms_plus_stderr = LatencyTable.ms


PARTS = {"nothing": lambda: None, "partial-batches": _no_partial_batches, "standard-errors": _no_standard_errors}


def plan(off, arguments):
    """int: the exit code of rank_selection.py without some parts."""
    for part in off.split("+"):
        PARTS[part]()
    from accnn import rank_selection
    return rank_selection.main(arguments)


def planned(off, args, tools, ratio, cache, folder):
    """str: one row of what a planning in a process of its own took and found."""
    command = [sys.executable, os.path.abspath(__file__), "--plan", off, "-m", args.model, "--ratio", "%g" % ratio,
               "--cost", "latency", "--threads", str(args.threads), "--batch-size", str(args.batch_size), "--json",
               "--cache", cache, "--output", os.path.join(folder, "plan.json"), "--force"]
    started = time.monotonic()
    done = subprocess.run(command + args.more, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, PYTHONPATH=tools))
    title = "without %-24s %5gx %6.1f s" % (off, ratio, time.monotonic() - started)
    rounds = [line.strip() for line in done.stderr.splitlines() if "planned " in line and "measured " in line]
    if done.returncode not in (0, 1) or not done.stdout:
        return "%s  ended with %d: %s" % (title, done.returncode, done.stderr[-300:])
    found = json.loads(done.stdout)["made_by"]["latency"]
    measured = found["measured"]["median"] if found["measured"] else float("nan")
    return "%s  predicted %.3fx  measured %.3fx  %s  (%s)" % (
        title, found["predicted"], measured, "within 3%" if abs(measured / ratio - 1) <= 0.03 else "missed",
        "; ".join(rounds))


def without_networks(source, target):
    """Copy a cache, less what it knows of whole networks."""
    shutil.copytree(source, target)
    path = os.path.join(target, TABLE)
    with open(path) as handle:
        document = json.load(handle)
    for row in document["measured"]:
        if "networks" in row:  # of an earlier version
            row["networks"] = {}
        row.get("times", {}).pop(next((key for key in row.get("times", {}) if key.startswith("network ")), None), None)
    with open(path, "w") as handle:
        json.dump(document, handle)


def plannings(args, tools, folder):
    """Yield rows: of one version, with and without some parts."""
    chains = os.path.join(folder, "chains")
    if args.chains:
        shutil.copytree(args.chains, chains)
    elif not args.new:
        yield "from an empty cache: " + planned("nothing", args, tools, args.ratio[0], chains, folder)
    for place, off in enumerate(args.off):
        cache = os.path.join(folder, "cache-%d" % place)
        if not args.new:
            without_networks(chains, cache)
        for ratio in args.ratio:
            yield planned(off, args, tools, ratio, cache, folder)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", help="default: VGG-16 with random weights, made in a temporary folder")
    parser.add_argument("--ratio", type=float, nargs="+", default=[3, 4, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--off", nargs="+", default=["nothing", "standard-errors"], help="joined by +; any of " +
                        ", ".join(PARTS))
    parser.add_argument("--new", action="store_true", help="begin each combination with an empty cache")
    parser.add_argument("--chains", help="a cache that knows the chains already, in place of a first planning")
    parser.add_argument("--tools", nargs="+", default=[os.path.join(ROOT, "tools")])
    parser.add_argument("more", nargs="*", help="options of rank_selection.py, behind --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.model is None:
            args.model = os.path.join(folder, "vgg16")
            subprocess.run([sys.executable, os.path.join(ROOT, "model_zoo", "get_model.py"), "vgg16", "--random-init"],
                           cwd=folder, check=True, stdout=subprocess.DEVNULL)
        args.model = os.path.abspath(args.model)
        for place, tools in enumerate(args.tools):
            print(tools)
            own = os.path.join(folder, str(place))
            os.mkdir(own)
            for row in plannings(args, os.path.abspath(tools), own):
                print(row, flush=True)


if __name__ == "__main__":
    sys.exit(plan(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--plan"] else main())

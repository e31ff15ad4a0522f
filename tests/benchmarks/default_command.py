"""python tests/benchmarks/default_command.py [-m vgg16] [--rounds 3]

What it costs that accnn.py times what it wrote, on VGG-16 with random weights (made in a temporary folder by
model_zoo/get_model.py, 0.55 GB) or another checkpoint: `accnn.py --ratio 2 --no-timing` and `accnn.py --ratio 2` in
turns, then `benchmark.py --baseline`, also with --layers. Printed are seconds, processor seconds, and the most memory
that the processes of a command had at one time: the sum of their resident sets, in which libraries count once for each
process, and of their proportional ones, in which they count once.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(ROOT, "tools", "accnn")
_EVERY, _ROLLUP = 0.02, 10  # seconds between looks; every so many of them is at the proportional sets too


def tree(pid):
    """list of int: a process and all that descend from it."""
    try:
        threads = os.listdir("/proc/%d/task" % pid)
        texts = [open("/proc/%d/task/%s/children" % (pid, thread)).read() for thread in threads]
    except OSError:  # it has ended meanwhile
        return [pid]
    return [pid] + [one for text in texts for child in text.split() for one in tree(int(child))]


def resident(pid):
    """int: bytes of its resident set."""
    try:
        with open("/proc/%d/statm" % pid) as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def proportional(pid):
    """int: bytes of its proportional resident set."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as handle:
            return sum(1024 * int(line.split()[1]) for line in handle if line.startswith("Pss:"))
    except OSError:
        return 0


def run(command, folder):
    """dict: ``seconds``, ``cpu`` and ``out`` of a command, and ``rss`` and ``pss``, its peaks in bytes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    peaks, looks = {"rss": 0, "pss": 0}, 0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable] + command, cwd=folder, stdout=out)
        while process.poll() is None:
            pids = tree(process.pid)
            peaks["rss"] = max(peaks["rss"], sum(map(resident, pids)))
            if looks % _ROLLUP == 0:
                peaks["pss"] = max(peaks["pss"], sum(map(proportional, pids)))
            looks += 1
            time.sleep(_EVERY)
        seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            sys.exit("%s ended with the exit code %d" % (" ".join(command), process.returncode))
        out.seek(0)
        return dict(peaks, seconds=seconds, out=out.read(),
                    cpu=after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def measured(found):
    """str: the speed-up that a command printed as JSON, how sure it is, and the rounds it took."""
    ratio = (found.get("measured") or found)["runs"][0]["measured"]
    known = "" if ratio.get("uncertainty") is None else ", known to %.1f%%" % (100 * ratio["uncertainty"])
    return "%.3fx%s, %d rounds" % (ratio["median"], known, ratio["rounds"])


def row(title, runs, what=""):
    """Print medians and peaks of several runs of a command."""
    print("%-32s %7.1f s %7.1f s cpu   rss %.2f GB   pss %.2f GB   %s" % (
        title, statistics.median(one["seconds"] for one in runs), statistics.median(one["cpu"] for one in runs),
        max(one["rss"] for one in runs) / 1e9, max(one["pss"] for one in runs) / 1e9, what), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", help="prefix of a checkpoint (default: VGG-16 with random weights)")
    parser.add_argument("--rounds", type=int, default=3, help="of both forms of accnn.py (default: 3)")
    parser.add_argument("--tools", default=TOOLS, help="folder of the scripts, of another version for instance")
    args, more = parser.parse_known_args()  # what is left is for accnn.py, such as --threads 1
    with tempfile.TemporaryDirectory() as folder:
        prefix = args.model and os.path.abspath(args.model)
        if prefix is None:
            subprocess.check_call([sys.executable, os.path.join(ROOT, "model_zoo", "get_model.py"), "vgg16",
                                   "--random-init"], cwd=folder, stdout=subprocess.DEVNULL)
            prefix = os.path.join(folder, "vgg16")
        compare(args, prefix, folder, more)


def compare(args, prefix, folder, more):
    """Run all commands, and print a row for each."""
    accelerate = [os.path.join(args.tools, "accnn.py"), "-m", prefix, "--ratio", "2", "--save-model", "new", "--json"]
    untimed, timed = [], []
    for _ in range(args.rounds):
        untimed.append(run(accelerate + more + ["--no-timing"], folder))
        timed.append(run(accelerate + more, folder))
    row("accnn.py --no-timing", untimed)
    row("accnn.py", timed, measured(json.loads(timed[-1]["out"])))
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(untimed, timed)]
    print("%-32s %7.2f times the seconds of --no-timing (%s)"
          % ("", statistics.median(ratios), " ".join("%.2f" % ratio for ratio in ratios)))
    for layers in ([], ["--layers"]):
        command = [os.path.join(args.tools, "benchmark.py"), "-m", "new", "--baseline", prefix, "--json"] + layers
        found = run(command, folder)
        row(" ".join(["benchmark.py --baseline"] + layers), [found], measured(json.loads(found["out"])))


if __name__ == "__main__":
    main()

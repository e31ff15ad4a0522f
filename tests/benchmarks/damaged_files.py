"""python tests/benchmarks/damaged_files.py --symbols 1500 --parameters 1000

Damages symbols and parameter files of small networks in every form since MXNet 0.8, hands each case to the loading,
the list of layers and one forward pass in a child process, and counts how it ends: a traceback or a crash of the
process is a fault of the checks. ``--case symbols:17`` runs one case alone, in this process.
"""
import argparse
import collections
import json
import os
import random
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, os.pardir, os.pardir, "tools"), os.path.join(HERE, os.pardir)]

from damage import FORMS, NETS, damage_parameters, damage_symbol, write_nets

KINDS = {"symbols": damage_symbol, "parameters": damage_parameters}
ENDS = ("loaded", "refused", "traceback", "crash", "no end")
_PATIENCE = 60.0  # seconds for one case
_MEMORY = 6 << 30


def attempt(prefix, shapes):
    """Load a checkpoint, list its layers, run two examples through it; return how that ended, and a word on it."""
    from accnn.core.compat import mx
    from accnn.core.errors import AccnnError
    from accnn.graph.checkpoint import load_model
    from accnn.planning.accelerator import Accelerator
    from accnn.runtime.predictor import Predictor, compute_errors_as_sentences

    try:
        model = load_model(prefix)
        bench = Accelerator(model, shapes)
        list(bench.layers)
        with compute_errors_as_sentences(prefix):
            predictor = Predictor(model, bench.input_shapes, 2)
            inputs = [mx.nd.zeros((2,) + tuple(bench.input_shapes[name])) for name in predictor.inputs]
            for output in predictor.forward(*inputs):
                output.wait_to_read()
        return "loaded", ""
    except AccnnError as error:
        return ("refused", str(error)) if "\n" not in str(error) else ("traceback", "several lines: %s" % error)
    except Exception as error:  # noqa: BLE001  (counted)
        last = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in last if "accnn" in frame.filename][-1:]
        place = " ".join("%s:%s" % (os.path.basename(frame.filename), frame.name) for frame in ours)
        return "traceback", "%s in %s: %s" % (type(error).__name__, place, str(error).splitlines()[:1])


def run_case(kind, number, folder):
    """Damage the files of case `number` in `folder` and return (what was done, the end, a word on it)."""
    dice = random.Random("%s %d" % (kind, number))
    net = dice.choice(sorted(NETS))
    prefix, shapes = os.path.join(folder, "case"), NETS[net][1]
    done = KINDS[kind](dice, os.path.join(folder, net), prefix, dice.choice(sorted(FORMS)))
    return (net + ": " + done,) + attempt(prefix, dict(shapes))


def work():
    """The child: a line in, 'symbols 17', a line out, the end of that case as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MXNet prints is no answer
    with tempfile.TemporaryDirectory() as folder:
        write_nets(folder)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            kind, number = line.split()
            print(json.dumps(run_case(kind, int(number), folder)), file=answers, flush=True)


class Child:
    """One child process, begun anew where it died."""

    def __init__(self, cases, ended):
        self.cases, self.ended, self.process = cases, ended, None
        self._begin()

    def _begin(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--work"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.process.stdout.readline()
        self.case = None

    def go_on(self):
        """Hand out the next case; False where there is none."""
        if not self.cases:
            return False
        self.case, self.since = self.cases.pop(), time.monotonic()
        try:
            self.process.stdin.write("%s %d\n" % self.case)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.read()
        return True

    def read(self):
        """Take the answer, or the death, of the child."""
        line = self.process.stdout.readline()
        if line:
            self.ended(self.case, *json.loads(line))
        elif self.process.wait() == 1:
            raise RuntimeError("%s:%d cannot be damaged: try it with --case" % self.case)
        else:
            self.ended(self.case, "?", "crash", "exit code %d" % self.process.returncode)
            self._begin()

    def look(self):
        """End a case that takes too long."""
        if time.monotonic() - self.since > _PATIENCE:
            self.process.kill()
            self.process.wait()
            self.ended(self.case, "?", "no end", "")
            self._begin()
            return True
        return False

    def close(self):
        """End the child, which has nothing left to do."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def study(cases, processes, ended):
    """Run all cases in child processes; ``ended(case, what was done, end, word)`` is told each."""
    cases = list(reversed(cases))
    children = [Child(cases, ended) for _ in range(processes)]
    busy = [child for child in children if child.go_on()]
    while busy:
        with selectors.DefaultSelector() as selector:
            for child in busy:
                selector.register(child.process.stdout, selectors.EVENT_READ, child)
            ready = [key.data for key, _ in selector.select(1.0)]
        for child in ready:
            child.read()
        busy = [child for child in busy if (child not in ready and not child.look()) or child.go_on()]
    for child in children:
        child.close()


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=0, metavar="N", help="damaged symbols")
    parser.add_argument("--parameters", type=int, default=0, metavar="N", help="damaged parameter files")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--case", metavar="KIND:N", help="one case alone, in this process")
    parser.add_argument("--log", metavar="FILE", help="write every case as a line")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work()
    if args.case:
        kind, number = args.case.split(":")
        with tempfile.TemporaryDirectory() as folder:
            write_nets(folder)
            print(run_case(kind, int(number), folder))
        return None
    ends, words = collections.Counter(), collections.defaultdict(list)
    log = open(args.log, "w", encoding="utf-8") if args.log else None

    def ended(case, done, end, word):
        ends[case[0], end] += 1
        if end not in ("loaded", "refused"):
            words[end, word].append("%s:%d" % case)
        if log:
            log.write("%s:%d\t%s\t%s\t%s\n" % (case + (done, end, word)))
            log.flush()

    started = time.monotonic()
    study([(kind, args.first + number) for kind in KINDS for number in range(getattr(args, kind))], args.processes,
          ended)
    for (end, word), where in sorted(words.items()):
        print("%s, %s: %s" % (end, word, " ".join(where[:6])))
    print("%-11s %s" % ("", "".join("%11s" % end for end in ENDS)))
    for kind in KINDS:
        print("%-11s %s" % (kind, "".join("%11d" % ends[kind, end] for end in ENDS)))
    print("%.0f seconds" % (time.monotonic() - started))
    return None


if __name__ == "__main__":
    sys.exit(main())

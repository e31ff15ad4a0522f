"""python tests/benchmarks/equal_speed.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 --batch-size 32 --threads 1 [--ratios 3] [--only 'cp*']
       [--int8 --no-amx --ratios 6,8 --method vh,fc-svd --folder found]

Accuracy at equal measured speed: plans by latency against plans by MACs, aligned or not, with reconstruction. A plan
by MACs gets whatever theoretical ratio it needs to be as fast on the clock as was asked for, whole network, in turns
with the original: the least one that measures 99% of that. All plans choose ranks by the same table of sensitivities.
Besides points of top-1, which a few thousand images tell to some tenths, the divergence of the outputs is told, in
thousandths of a nat, on up to 5,000 of the scored images. Rows go to stderr as they are found, the table to stdout.

With `--int8`: the INT8 network that is not split, the plan in INT8, plans by MACs in INT8, and the plan in float32.
With `--folder` a second call goes on where the first one ended.
"""
import argparse
import contextlib
import functools
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from parts.scoring import Scoring, add_image_options

from accnn import methods
from accnn.cli import main, measuring_options, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.cli.precision import in_precision
from accnn.cli.types import positive
from accnn.core.errors import AccnnError, TargetError
from accnn.core.files import open_input, written_whole
from accnn.core.layers import FP32, INT8
from accnn.core.progress import Progress, say
from accnn.core.text import columns
from accnn.data.images import image_input
from accnn.data.records import open_records
from accnn.planning.plan import Plan, Row
from accnn.planning.planner import layer_precisions, select_ranks
from accnn.planning.request import Request, matches
from accnn.planning.timed import time_plans
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import record_images
from accnn.reconstruction.sensitivity import Comparison

RATIOS = "2,3,4"
FACTORS = 1, 1.2, 1.45, 1.75, 2.1, 2.6, 3.2, 4.0  # theoretical over measured, tried together
SCORED = 5000  # images on which outputs are compared, at most
ENOUGH = 0.99  # of the speed that was asked for
FINER = 1, 1.25, 1.5, 1.75  # quarters of the way from the last that is too slow to the first that is fast enough
# What results that are kept depend on, besides the contender.
KEPT_BY = ("model", "load_epoch", "batch_size", "threads", "amx", "data_calib", "calib_images", "calib_positions",
           "data_val", "seed", "rgb_mean", "rgb_std", "restarts", "iterations")
NOTHING, CLOCK, MACS = "not split", "latency", "macs"


@dataclass(frozen=True)
class Contender:
    """A way to plan.

    Attributes
    ----------
    cost, method : str
    align : int
    precision : str
    """

    cost: str
    method: str
    align: int = 1
    precision: str = FP32

    @property
    def name(self):
        """str: what ``--only`` matches."""
        return " ".join(filter(None, (self.method, self.cost, "align %d" % self.align if self.align > 1 else "",
                                      self.precision if self.precision != FP32 else "")))


def contenders(clock_methods, int8):
    """list of Contender: the clock, and MACs with each method and with all, at any rank and at multiples of 16.

    With `int8` the clock in both precisions, the network as it is, and MACs with the methods of the clock.
    """
    if int8:
        return [Contender(NOTHING, "", precision=INT8), Contender(CLOCK, clock_methods, precision=INT8),
                Contender(CLOCK, clock_methods)] + [Contender(MACS, clock_methods, align, INT8) for align in (16, 1)]
    own = [name for name in methods.names("Convolution")] + [clock_methods]
    return [Contender(CLOCK, clock_methods)] + [Contender(MACS, method, align) for method in own for align in (1, 16)]


class Study:
    """Plans, measures, rebuilds and scores on one workbench.

    Parameters
    ----------
    bench : Accelerator
        With responses.
    how : TimingConfig
    scoring : Scoring
    compare : Comparison
    seed : int
    """

    def __init__(self, bench, how, scoring, compare, seed):
        self._accelerator, self._how, self._scoring, self._compare, self._seed = bench, how, scoring, compare, seed

    def found(self, contender, ratio):
        """dict: theoretical, measured and right answers of the slowest plan that is fast enough; or what is missing."""
        by = {NOTHING: self._unsplit, CLOCK: self._by_clock, MACS: self._by_macs}[contender.cost]
        plan, measured = by(contender, ratio)
        if plan is None:
            return {"trouble": "of the theoretical ratios tried none is as fast: the best measures %.2fx" % measured}
        model = self._accelerator.accelerate(plan)
        if plan.precision != FP32:
            model, _ = in_precision(self._accelerator, plan, model)
        return {"theoretical": plan.made_by["reached"] if contender.cost == MACS else None, "measured": measured,
                "right": self._scoring.right(model), "divergence": self._compare.of(model),
                "picks": {row.layer: [row.method, row.rank] for row in plan.chosen()}, "in_fp32": plan.in_fp32()}

    def _request(self, contender, ratio):
        return Request(ratio, "latency" if contender.cost == CLOCK else "sensitivity",
                       CLOCK if contender.cost == CLOCK else MACS, contender.method or None, fc=True,
                       align=contender.align, seed=self._seed, precision=contender.precision, measuring=self._how)

    def _plan(self, contender, ratio):
        return select_ranks(self._accelerator, self._request(contender, ratio))

    def _by_clock(self, contender, ratio):
        plan = self._plan(contender, ratio)
        return plan, plan.made_by["reached"]

    def _unsplit(self, contender, _=None):
        """(Plan, measured ratio): of the network as it is, in a precision."""
        rows = [Row(name, self._accelerator.specs[name].kind, precision=one.precision, why_fp32=one.reason or None)
                for name, one in layer_precisions(self._accelerator, self._request(contender, 1.0)).items()]
        plan = Plan(tuple(rows), {"reached": 1.0})
        return plan, self._measured([plan])[0]

    def _by_macs(self, contender, ratio):
        """(Plan or None, measured ratio): None where none is fast enough, and then the best ratio."""
        slow, fast, best = 1.0, None, 0.0
        own = 1.0 if contender.precision == FP32 else self._unsplit(contender)[1]  # what the precision alone gives
        for ladder in (FACTORS, FINER):
            wanted = [ratio * factor / own for factor in ladder] if fast is None else [
                slow + (fast[0] - slow) * (factor - 1) for factor in ladder[1:]]
            plans = self._reachable(contender, [one for one in wanted if one >= 1])
            speeds = self._measured([plan for _, plan in plans])
            best = max([best] + speeds)
            rows = [(asked, plan, speed) for (asked, plan), speed in zip(plans, speeds)]
            enough = [row for row in rows + ([fast] if fast else []) if row[2] >= ENOUGH * ratio]
            if not enough:
                return None, best
            fast = min(enough, key=lambda row: row[0])
            slow = max([asked for asked, _, speed in rows if asked < fast[0] and speed < ENOUGH * ratio] + [slow])
        return fast[1:]

    def _reachable(self, contender, ratios):
        """list of (float, Plan): theoretical ratios that the method reaches."""
        found = []
        for ratio in ratios:
            with contextlib.suppress(TargetError):
                found.append((ratio, self._plan(contender, ratio)))
        return found

    def _measured(self, plans):
        """list of float: how many times faster than the original, whole network."""
        if not plans:
            return []
        return [one["measured"]["median"] for one in time_plans(self._accelerator, self._how, plans)["plans"]]


class Found:
    """What was found, kept in a folder if there is one, so that a second run need not find it again.

    Parameters
    ----------
    folder : str or None
    asked : dict
        On what it depends, but for contender and ratio.
    """

    def __init__(self, folder, asked):
        self._path, self._asked = folder and os.path.join(folder, "found.json"), json.loads(json.dumps(asked))
        self._cells = []
        if folder and os.path.exists(self._path):
            with open_input(self._path) as handle:
                self._cells = json.load(handle)

    def cell(self, contender, ratio, find):
        """dict: what ``find(contender, ratio)`` gives, or gave."""
        key = dict(self._asked, ratio=None if contender.cost == NOTHING else ratio, **asdict(contender))
        known = [one["cell"] for one in self._cells if one["of"] == key or _out_of_reach(one, key)]
        if known:
            return known[0]
        try:
            found = find(contender, ratio)
        except AccnnError as error:
            found = {"trouble": str(error)}
            if not isinstance(error, TargetError):  # such as noise, of which there may be less another time
                return found
        self._cells.append({"of": key, "cell": found})
        if self._path:
            with written_whole(self._path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
                json.dump(self._cells, handle, indent=1)
        return found


def _out_of_reach(one, key):
    """bool: what was found says that a smaller ratio than that of `key` cannot be reached."""
    of, ratio = one["of"], key["ratio"]
    return "trouble" in one["cell"] and dict(of, ratio=ratio) == key and of["ratio"] <= ratio


def table(results, ratios, original, images):
    """list of str: points lost, theoretical and measured ratio."""
    rows = [("plan",) + sum((("lost at %gx" % ratio, "mnats", "theory", "measured") for ratio in ratios), ())]
    for contender, cells in results.items():
        row = (contender.name,)
        for ratio in ratios:
            cell = cells.get(ratio, {"trouble": "-"})
            row += ("-", "", "", "") if "trouble" in cell else (
                "%.2f" % (100 * (original - cell["right"]) / images), "%.1f" % (1e3 * cell["divergence"]),
                "%.2fx" % cell["theoretical"] if cell["theoretical"] else "", "%.2fx" % cell["measured"])
        rows.append(row)
    lines = columns(rows, "<" + ">>>>" * len(ratios))
    return ["points of top-1 lost of %.2f%%, %d images, at equal measured speed" % (100 * original / images, images),
            lines[0], "-" * len(lines[0])] + lines[1:]


def listed(text):
    """list of float: numbers joined by commas."""
    return [float(one) for one in text.split(",")]


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_effort_options(arguments)
    measuring_options.add_measuring_options(arguments)
    add_image_options(arguments)
    add = arguments.add_argument
    add("--calib-positions", type=positive, default=10, metavar="N", help="default: %(default)s")
    add("--method", default="all", help="methods that the clock chooses among (default: %(default)s)")
    add("--ratios", type=listed, default=RATIOS, metavar="R[,R]", help="measured speed-ups (default: %(default)s)")
    add("--int8", action="store_true", help="plans in INT8, and what they have to be better than")
    add("--folder", help="where results, times and sensitivities are kept for another call (default: nowhere)")
    add("--only", action="append", metavar="PATTERN", help="shell pattern of names of rows; may be repeated")
    add("--json", action="store_true", help="print results as JSON")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add_preprocessing_options(arguments, 32)
    return arguments


def run(argv=None):
    """Plan, measure, rebuild, score and print; return the exit code."""
    args = parser().parse_args(argv)
    if args.folder:
        os.makedirs(args.folder, exist_ok=True)
        args.cache = args.folder
    bench = options.open_accelerator(args)
    (name, shape), = image_input(bench.model, bench.input_shapes).items()
    how, timing = preprocessing(args, shape), measuring_options.measuring(args, INT8 if args.int8 else FP32)
    scoring, results, code = Scoring(args, bench, how), {}, 0
    original = scoring.right(bench.model)
    wanted = [one for one in contenders(args.method, args.int8) if matches(one.name, args.only or ["*"])]
    wish = ReconstructionConfig(positions=args.calib_positions, seed=args.seed)
    quiet = functools.partial(Progress, patience=20.0, every=30.0)
    kept = Found(args.folder, {name: getattr(args, name) for name in KEPT_BY})
    with tempfile.TemporaryDirectory(prefix="accnn-") as folder, record_images(
            open_records(args.data_calib, args.data_calib_idx), how, name, args.calib_images, args.seed,
            64) as images, record_images(open_records(args.data_val, args.data_val_idx), how, name, SCORED, args.seed,
                                         64) as scored:
        bench.responses = Calibrated(bench, images, wish, quiet,
                                     os.path.join(args.folder or folder, "sensitivities.json"))
        study = Study(bench, replace(timing, best_effort=False), scoring,
                      Comparison(bench.model, scored, bench.input_shapes, SCORED), args.seed)
        try:
            for contender, ratio in ((one, ratio) for one in wanted for ratio in args.ratios):
                cell = results.setdefault(contender, {})[ratio] = kept.cell(contender, ratio, study.found)
                say("%s at %gx: %s" % (contender.name, ratio, cell.get("trouble") or
                                       "%.2f points lost, %.1f mnats, measured %.2fx" % (
                                           100 * (original - cell["right"]) / scoring.images,
                                           1e3 * cell["divergence"], cell["measured"])))
        except KeyboardInterrupt:
            say("interrupted: this is what was found")
            code = main.INTERRUPTED
    print(json.dumps({one.name: cells for one, cells in results.items()}, indent=2) if args.json else
          "\n".join(table(results, args.ratios, original, scoring.images)))
    return code


if __name__ == "__main__":
    sys.exit(main.run(run))

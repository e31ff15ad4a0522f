"""python tests/benchmarks/reconstruction.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val \
cifar10_val_5000.rec

       --rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7 --calib-images 2000 [--ratio 4] [--only 'vh*'] [--ranks]
       [--all-methods] [--joint]

What reconstruction keeps of the accuracy, without fine-tuning, in the form of Tables 2, 6 and 7 of Zhang et al.
(2016): for methods, rank rules, solvers, symmetric or asymmetric, and metrics the points of top-1 lost against the
original, and whether the paper's orderings hold. Rows go to stderr as they are found, the tables to stdout at the end;
an interrupted run prints what it has. Set OMP_NUM_THREADS to the number of cores.
"""
import argparse
import functools
import json
import os
import re
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field, replace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn import methods, ranks
from accnn.cli import main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import Progress, say
from accnn.core.text import ruled, sizes
from accnn.data.images import image_input, read_images
from accnn.data.records import open_records
from accnn.planning import planner
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import DATA_FREE, LINEAR, NETWORK, NONLINEAR, RESPONSES, SOLVERS
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import record_images
from accnn.runtime.predictor import Predictor, contexts
from accnn.scoring.heads import class_head
from accnn.scoring.passes import answers
from accnn.scoring.tally import Tally, check_finite

RATIOS = 2.0, 3.0, 4.0, 5.0, 6.0, 8.0
COST = "macs"  # for all rules, so that the same ratio is the same thing in every row
ALL_METHODS = "All methods"  # what --all-methods takes alone
_BEST = re.compile(r"the best is ([0-9.]+)x")


@dataclass(frozen=True)
class Combination:
    """A row of a table.

    Attributes
    ----------
    method, rule : str
        See :mod:`accnn.methods` and :mod:`accnn.ranks`.
    solver : {'linear', 'nonlinear'} or None
        None: the factors that need no images; then the other attributes mean nothing.
    symmetric : bool
    metric : {'responses', 'network'}
        See :class:`accnn.reconstruction.calibration.ReconstructionConfig`.
    """

    method: str
    rule: str
    solver: object = None
    symmetric: bool = False
    metric: str = RESPONSES

    def cells(self):
        """tuple of str: how a table says it."""
        if self.solver is None:
            return self.method, self.rule, DATA_FREE, "", ""
        return self.method, self.rule, self.solver, "symmetric" if self.symmetric else "asymmetric", self.metric

    @property
    def name(self):
        """str: what ``--only`` matches."""
        return " ".join(filter(None, self.cells()))


def _crossed(rule, metrics):
    """Every method with every solver under some metrics."""
    return [Combination(method, rule, solver, metric=metric) for method in ("vh", "channel", "3d")
            for solver in SOLVERS for metric in metrics]


SECTIONS = (
    ("Tables 2 and 6: with and without rank selection (the first convolution left alone)",
     [Combination("channel", rule, solver) for solver in SOLVERS for rule in ("uniform", "greedy")]),
    ("Figure 5: symmetric against asymmetric",
     [Combination("channel", "greedy", solver, symmetric) for solver in SOLVERS for symmetric in (True, False)] +
     [Combination("vh", "sensitivity", LINEAR, symmetric, NETWORK) for symmetric in (True, False)]),
    ("Table 7: Jaderberg et al. (vh by filter reconstruction, data-free), asymmetric, asymmetric (3d)",
     [Combination("vh", "uniform"), Combination("vh", "dp"), Combination("channel", "greedy", NONLINEAR),
      Combination("3d", "greedy", NONLINEAR)]),
    ("Beyond: energies of kernels (accnn's default) and measured sensitivity",
     [Combination("vh", "dp-energy")] + [Combination(method, "dp-energy", LINEAR, metric=NETWORK)
                                         for method in ("vh", "channel", "3d")] +
     [Combination("vh", "sensitivity")] + _crossed("sensitivity", (RESPONSES, NETWORK))),
    (ALL_METHODS, [Combination(method, "sensitivity", LINEAR, metric=NETWORK)
                   for method in methods.names("Convolution")]),
)

# What is claimed, the attribute in which two rows differ, the better and the worse.
ORDERINGS = (
    ("the paper", "asymmetric >= symmetric", "symmetric", False, True),
    ("the paper", "rank selection >= uniform", "rule", "greedy", "uniform"),
    ("the paper", "3d >= channel at high ratios", "method", "3d", "channel"),
    ("the paper", "nonlinear >= linear", "solver", NONLINEAR, LINEAR),
    ("beyond", "metric network >= responses", "metric", NETWORK, RESPONSES),
    ("beyond", "sensitivity >= greedy", "rule", "sensitivity", "greedy"),
    ("beyond", "sensitivity >= dp-energy", "rule", "sensitivity", "dp-energy"),
)


@dataclass
class Cell:
    """What came of a combination at a ratio.

    Attributes
    ----------
    ratio, reached : float
        Asked for, and what the plan has.
    right : int or None
        Images, None where there is no network.
    seconds : float
        For plan and reconstruction, without what is made once.
    ranks : dict of str to (int or tuple of int)
        Of the layers that were split.
    best : float or None
        The ratio that can be reached where the one asked for cannot.
    trouble : str or None
        Why there is no network.
    """

    ratio: float
    reached: object = None
    right: object = None
    seconds: object = None
    ranks: dict = field(default_factory=dict)
    best: object = None
    trouble: object = None


@dataclass
class Result:
    """What came of a combination.

    Attributes
    ----------
    combination : Combination
    once : float
        Seconds for what all ratios share, as far as no earlier combination had made it.
    cells : dict of float to Cell
    trouble : str or None
        Why there are none.
    """

    combination: Combination
    once: float = 0.0
    cells: dict = field(default_factory=dict)
    trouble: object = None


class Scoring:
    """Counts right answers on all images of a file.

    Parameters
    ----------
    args : Namespace
    bench : Accelerator
    how : Preprocessing
    """

    def __init__(self, args, bench, how):
        self._records, self._how = open_records(args.data_val, args.data_val_idx), how
        self._shapes, self._batch_size, self._contexts = bench.input_shapes, args.batch_size, contexts(args.gpus)
        self._records.check_classes(class_head(bench.model, bench.input_shapes).classes)
        self.images = len(self._records)

    def right(self, model):
        """int: images whose best answer is their label."""
        head = class_head(model, self._shapes)
        predictor = Predictor(model, self._shapes, min(self._batch_size, self.images), self._contexts,
                              head.symbol(model))
        tally = Tally(head)
        for batch, ((scores,),) in answers([predictor], read_images(self._records, self._how, self._batch_size)):
            check_finite(scores, head.name, model, batch.first)
            tally.add(scores, batch.labels.astype(int))
        return tally.right[1]


class Study:
    """Plans and rebuilds on one workbench, on which decompositions are made once for all.

    Parameters
    ----------
    args : Namespace
    bench : Accelerator
    images : RecordImages
    scoring : Scoring
    tables : str
        Stem of the files of sensitivities.
    """

    def __init__(self, args, bench, images, scoring, tables):
        self._args, self._accelerator, self._images, self._scoring, self._tables = args, bench, images, scoring, tables
        self._calibrated = {}

    def prepare(self, combination):
        """Make what all ratios share: decompositions, energies, sensitivities, gradients. Return the seconds."""
        started = time.monotonic()
        self._accelerator.responses = self._responses(combination)
        self._plan(combination, 1.0)  # no saving, but the rule looks at all it weighs
        if combination.solver:
            self._accelerator.accelerate(self._smallest_plan(combination))  # the first fit makes what the metric needs
        return time.monotonic() - started

    def cell(self, combination, ratio):
        """Return the Cell of a combination that is prepared."""
        started, cell = time.monotonic(), Cell(ratio)
        self._accelerator.responses = self._responses(combination)
        plan = self._plan(combination, ratio)
        model = self._accelerator.accelerate(plan)
        cell.seconds, cell.reached = time.monotonic() - started, plan.made_by["reached"]
        cell.ranks = {row.layer: row.rank for row in plan.chosen()}
        cell.right = self._scoring.right(model)
        return cell

    def _plan(self, combination, ratio):
        # Of the rules that are compared, greedy leaves the first one alone by itself.
        exclude = (_convolutions(self._accelerator)[0],) if combination.rule == "uniform" else ()
        return self._accelerator.select_ranks(ratio, rank_selection=combination.rule, method=combination.method,
                                              cost=COST,
                                              exclude=exclude, seed=self._args.seed)

    def _smallest_plan(self, combination):
        """A plan that splits the first layer that can be split, at the smallest rank."""
        method = methods.get(combination.method)
        spec = next(spec for spec in self._accelerator.layers if not self._accelerator.refusal(spec, method))
        return Plan((Row(spec.name, spec.op, method.name, method.ranks(spec)[0]),))

    def _responses(self, combination):
        wish = ReconstructionConfig(combination.solver, combination.symmetric, combination.metric,
                                    self._args.calib_positions, self._args.seed,
                                    self._args.joint and combination.metric == NETWORK)
        if wish not in self._calibrated:
            # A table holds for one solver and metric, whether symmetric or not.
            stem, end = os.path.splitext(self._tables)
            table = "%s-%s-%s%s" % (stem, wish.solver or DATA_FREE, wish.metric, end)
            self._calibrated[wish] = Calibrated(self._accelerator, self._images, wish, _progress(), table)
        return self._calibrated[wish]


def measured(study, combination, ratios):
    """Yield the Result of a combination again and again, with one Cell more each time; nothing is raised."""
    result = Result(combination, trouble=ranks.get(combination.rule).refuse(methods.get(combination.method)))
    if not result.trouble:
        result.once, failed = _guarded(lambda: study.prepare(combination))
        result.trouble = failed and str(failed)
    if result.trouble:
        yield result
        return
    for ratio in ratios:
        cell, failed = _guarded(lambda ratio=ratio: study.cell(combination, ratio))
        result.cells[ratio] = cell or Cell(ratio, best=_best(failed), trouble=str(failed))
        yield result


def _guarded(step):
    """(what a step returned, None), or (None, the error): the other rows are to go on."""
    try:
        return step(), None
    except AccnnError as error:
        return None, error
    except Exception as error:  # noqa: BLE001  (told with its traceback)
        traceback.print_exc()
        return None, RuntimeError("%s: %s" % (type(error).__name__, error))


def _best(error):
    """The ratio that can be reached, which the sentence of a TargetError ends with."""
    found = _BEST.search(str(error)) if isinstance(error, TargetError) else None
    return float(found.group(1)) if found else None


class Findings:
    """All results, and what to say of them.

    Parameters
    ----------
    bench : Accelerator
    images : int
        That were scored.
    original : int
        Those that the original network has right.
    ratios : list of float
    """

    def __init__(self, bench, images, original, ratios):
        self._layers = _convolutions(bench)
        self.images, self.original, self.ratios = images, original, ratios
        self.results = {}

    def accuracy(self, right):
        """float: in percent."""
        return 100 * right / self.images

    def lost(self, cell):
        """float: points of accuracy; negative where some were gained."""
        return self.accuracy(self.original) - self.accuracy(cell.right)

    def told(self, result):
        """The line about the last Cell of a Result."""
        if result.trouble:
            return "%s: %s" % (result.combination.name, result.trouble)
        cell = list(result.cells.values())[-1]
        if cell.right is None:
            return "%s, %gx: %s" % (result.combination.name, cell.ratio, cell.trouble)
        return "%s, %gx: %.2f points lost (%.2f%%), reached %.2fx, %.1f s" % (
            result.combination.name, cell.ratio, self.lost(cell), self.accuracy(cell.right), cell.reached, cell.seconds)

    def lines(self, with_ranks):
        """list of str: all tables, what was skipped, the orderings."""
        lines = ["points of top-1 lost without fine-tuning, of %.2f%% (%d images; negative: gained), the theoretical "
                 "ratio reached," % (self.accuracy(self.original), self.images),
                 "and seconds for ranks and reconstruction; once: those for what the ratios of a row and rows below "
                 "it share"] + ["(ranks: - where a layer is left alone)"] * with_ranks
        for title, combinations in SECTIONS:
            found = [self.results[one] for one in combinations if one in self.results]
            if found:
                lines += ["", title, ""] + self._table(found) + (self._rank_table(found) if with_ranks else [])
        return lines + self._troubles() + self._ordering_lines()

    def _table(self, found):
        head = ["method", "ranks", "solver", "fit", "metric"]
        for ratio in self.ratios:
            head += ["%gx" % ratio, "reached", "s"]
        rows = [list(result.combination.cells()) + [text for ratio in self.ratios
                                                    for text in self._texts(result.cells.get(ratio))] +
                ["%.0f" % result.once] for result in found]
        return ruled([head + ["once"]] + rows, "<<<<<" + ">>>" * len(self.ratios) + ">", header=True)

    def _texts(self, cell):
        """What a table says of a Cell: lost, reached, seconds."""
        if cell is not None and cell.right is not None:
            return "%.2f" % self.lost(cell), "%.2fx" % cell.reached, "%.0f" % cell.seconds
        return "-", "best %.2fx" % cell.best if cell is not None and cell.best else "", ""

    def _rank_table(self, found):
        rows = [["method", "ranks", "solver", "fit", "metric", "ratio"] + self._layers + ["lost"]]
        for result in found:
            rows += [list(result.combination.cells()) + ["%gx" % cell.ratio] +
                     [_rank_text(cell.ranks.get(layer)) for layer in self._layers] + ["%.2f" % self.lost(cell)]
                     for cell in result.cells.values() if cell.right is not None]
        return [""] + ruled(rows, "<<<<<" + ">" * (2 + len(self._layers)), header=True)

    def _troubles(self):
        """Every reason why there is no number, once, with the rows that it is about."""
        about = {}
        for result in self.results.values():
            for said in [result.trouble] + [cell.trouble for cell in result.cells.values() if cell.best is None]:
                if said:
                    about.setdefault(said, {})[result.combination.name] = None
        return [""] * bool(about) + ["no number for %s: %s" % (", ".join(names), trouble)
                                     for trouble, names in about.items()]

    def orderings(self):
        """Yield a dict for every two rows of which one should be at least as good."""
        for source, claim, attribute, better, worse in ORDERINGS:
            for one, result in self.results.items():
                other = self.results.get(replace(one, **{attribute: worse}))
                if getattr(one, attribute) == better and other:
                    yield dict({"source": source, "claim": claim, "row": one.name, "than": other.combination.name},
                               **self._compared(result, other))

    def _compared(self, result, other):
        """At which ratios a result is at least as good as another, and what both are at the rest."""
        both = [ratio for ratio in self.ratios
                if all(one.cells.get(ratio) and one.cells[ratio].right is not None for one in (result, other))]
        pairs = {ratio: (result.cells[ratio].right, other.cells[ratio].right) for ratio in both}
        return {"holds": [ratio for ratio, (better, worse) in pairs.items() if better >= worse],
                "fails": [(ratio, self.accuracy(better), self.accuracy(worse))
                          for ratio, (better, worse) in pairs.items() if better < worse]}

    def _ordering_lines(self):
        lines, group = [], None
        for one in self.orderings():
            if (one["source"], one["claim"]) != group:
                group = one["source"], one["claim"]
                lines += ["", "%s: %s" % group]
            lines.append("  %s: %s" % (one["row"], _verdict(one["holds"], one["fails"])))
        return lines

    def document(self):
        """dict: the same for machines."""
        rows = [dict(asdict(one), name=one.name, once=result.once, trouble=result.trouble,
                     sections=[title for title, some in SECTIONS if one in some],
                     cells=[dict(asdict(cell), lost=None if cell.right is None else self.lost(cell))
                            for cell in result.cells.values()])
                for one, result in self.results.items()]
        return {"original": {"right": self.original, "images": self.images}, "ratios": self.ratios, "rows": rows,
                "orderings": list(self.orderings())}


def _verdict(holds, fails):
    """As in 'holds at 2x, 3x; not at 4x (84.10 vs 84.30)'."""
    said = ["holds at " + ", ".join("%gx" % ratio for ratio in holds)] if holds else []
    if fails:
        said.append("not at " + ", ".join("%gx (%.2f vs %.2f)" % (ratio, *pair) for ratio, *pair in fails))
    return "; ".join(said) or "nothing to compare"


def _rank_text(rank):
    return "-" if rank is None else sizes(rank)


def _convolutions(bench):
    return [spec.name for spec in bench.layers if spec.op == "Convolution"]


def _progress():
    """Counters of long steps only: there are hundreds of steps."""
    return functools.partial(Progress, patience=20.0, every=30.0)


def _positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "positive number"  # what argparse calls it


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_effort_options(arguments)
    arguments.add_argument("--data-calib", required=True, metavar="REC", help="images that calibrate")
    arguments.add_argument("--data-calib-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    arguments.add_argument("--data-val", required=True, metavar="REC", help="images that are scored, all of them")
    arguments.add_argument("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    arguments.add_argument("--calib-images", type=_positive, default=2000, metavar="N", help="default: %(default)s")
    arguments.add_argument("--calib-positions", type=_positive, default=10, metavar="N", help="default: %(default)s")
    arguments.add_argument("--joint", action="store_true",
                           help="in the metric network improve all chains together at the end")
    arguments.add_argument("--ratio", type=float, action="append", help="may be repeated (default: 2 to 6, and 8)")
    arguments.add_argument("--only", action="append", metavar="PATTERN",
                           help="shell pattern of names of rows, as in 'vh sensitivity*'; may be repeated")
    arguments.add_argument("--all-methods", action="store_true",
                           help="every method with ranks by sensitivity, linear, and nothing else")
    arguments.add_argument("--ranks", action="store_true", help="print the ranks as well, layer by layer")
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    arguments.add_argument("--sensitivity-table", metavar="FILE",
                           help="kept for the next run, as FILE with the names of solver and metric added (default: "
                                "not kept)")
    arguments.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_preprocessing_options(arguments, 64)
    return arguments


def wanted(patterns, all_methods=False):
    """list of Combination: every one once, in the order of the tables; those of one table only for `all_methods`."""
    everything = list(dict.fromkeys(one for title, some in SECTIONS for one in some
                                    if title == ALL_METHODS or not all_methods))
    some = [one for one in everything if planner.matches(one.name, patterns or ["*"])]
    if not some:
        raise AccnnError("no row matches --only %s: there are %s"
                         % (" ".join(patterns), ", ".join(one.name for one in everything)))
    return some


def fill(findings, study, combinations):
    """Measure all combinations, telling every number as soon as it is there."""
    for number, one in enumerate(combinations, 1):
        for result in measured(study, one, findings.ratios):
            findings.results[one] = result
            say("[%d/%d] %s" % (number, len(combinations), findings.told(result)))


def run(argv=None):
    """Measure and print; return the exit code."""
    args = parser().parse_args(argv)
    combinations, code = wanted(args.only, args.all_methods), 0
    bench = options.open_accelerator(args)
    (name, shape), = image_input(bench.model, bench.input_shapes).items()
    how = preprocessing(args, shape)
    scoring = Scoring(args, bench, how)
    findings = Findings(bench, scoring.images, scoring.right(bench.model), list(args.ratio or RATIOS))
    calibrating = open_records(args.data_calib, args.data_calib_idx)
    with tempfile.TemporaryDirectory(prefix="accnn-") as folder, record_images(
            calibrating, how, name, args.calib_images, args.seed, args.batch_size) as images:
        tables = args.sensitivity_table or os.path.join(folder, "table.json")
        try:
            fill(findings, Study(args, bench, images, scoring, tables), combinations)
        except KeyboardInterrupt:
            say("interrupted: this is what was found")
            code = main.INTERRUPTED
    print(json.dumps(findings.document(), indent=2) if args.json else "\n".join(findings.lines(args.ranks)))
    return code


if __name__ == "__main__":
    sys.exit(main.run(run))

"""Plans and reconstructions of the rows of reconstruction.py, one ratio after another."""
import functools
import os
import re
import time
import traceback
from dataclasses import dataclass, field

from accnn import methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import Progress
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import DATA_FREE, NETWORK
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from parts.combinations import Combination

COST = "macs"  # for all rules, so that the same ratio is the same thing in every row
_BEST = re.compile(r"the best is ([0-9.]+)x")


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
        exclude = (convolutions(self._accelerator)[0],) if combination.rule == "uniform" else ()
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


def convolutions(bench):
    """list of str: names."""
    return [spec.name for spec in bench.layers if spec.op == "Convolution"]


def _progress():
    """Counters of long steps only: there are hundreds of steps."""
    return functools.partial(Progress, patience=20.0, every=30.0)

"""From a wish ("twice as fast, leave conv1_1 alone") to a plan: which layers, which method, a rank rule's ranks."""
import fnmatch
import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Optional, Sequence

from accnn import costs, methods, ranks
from accnn.errors import AccnnError, TargetError
from accnn.plan import Plan, Row


@dataclass(frozen=True)
class Request:
    """What is asked of a plan.

    Attributes
    ----------
    ratio : float
        Cost before / after, over all convolutions; with `fc` over all fully connected layers too. Layers
        that stay as they are count on both sides.
    rank_selection : str
        A name of :func:`accnn.ranks.names`.
    cost : str, optional
        A name of :func:`accnn.costs.names`; default: the rule's own.
    method : str, optional
        A name of :func:`accnn.methods.names`, for the operators it splits; others take their default.
    layers, exclude : sequence of str
        Names or shell patterns of layers to plan and to leave alone.
    fc : bool
        Plan fully connected layers too.
    align : int
        Ranks are multiples of this; 8 or 16 fit the CPU's kernels much better than others.
    seed : int
        Written into the plan.

    Raises
    ------
    AccnnError
        `ratio` is below 1 or no number, `align` below 1; a name is not known.
    """

    ratio: float
    rank_selection: str = ranks.DEFAULT
    cost: Optional[str] = None
    method: Optional[str] = None
    layers: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    fc: bool = False
    align: int = 1
    seed: int = 0

    def __post_init__(self):
        if not _is(self.ratio, Real) or not math.isfinite(self.ratio) or self.ratio < 1:
            raise AccnnError("--ratio %s makes no sense: it is cost before / cost after, 1 or more" % (self.ratio,))
        if not _is(self.align, Integral) or self.align < 1:
            raise AccnnError("--align %s makes no sense: ranks are multiples of it, so 1 or more" % (self.align,))
        rule = ranks.get(self.rank_selection)
        object.__setattr__(self, "cost", costs.get(self.cost or rule.cost).name)
        object.__setattr__(self, "method", methods.get(self.method).name if self.method else None)

    def method_for(self, spec):
        """Method: the one asked for where it splits such layers, else the default."""
        asked = methods.get(self.method) if self.method else None
        return asked if asked and asked.op == spec.op else methods.get(methods.DEFAULT[spec.op])

    def leaves_alone(self, spec):
        """Return why the layer is not to be planned, or None."""
        if not matches(spec.name, self.layers):
            return "not asked for (--layers)"
        if matches(spec.name, self.exclude):
            return "excluded"
        if spec.op == "FullyConnected" and not self.fc:
            return "fully connected (--fc plans these too)"
        return None


def select_ranks(bench, request):
    """Choose ranks for all layers of a model.

    Parameters
    ----------
    bench : Workbench
    request : Request

    Returns
    -------
    Plan
        A row for every convolution and fully connected layer.

    Raises
    ------
    TargetError
        The ratio cannot be reached; says which can.
    AccnnError
        A pattern matches nothing; no layer can be split.
    """
    candidates, left = choose_layers(bench, request)
    aligned = [candidate.aligned(request.align) for candidate in candidates]
    selection = within_budget(bench, aligned, request, ranks.get(request.rank_selection).select)
    chosen = {candidate.name: candidate.method.name for candidate in candidates}
    rows = []
    for spec in bench.layers:
        rank = selection.ranks.get(spec.name)
        reason = left.get(spec.name, "no cheaper chain is worth it")
        rows.append(Row(spec.name, spec.op, reason=reason) if rank is None else
                    Row(spec.name, spec.op, chosen[spec.name], rank))
    return Plan(tuple(rows), dict(_told(request), objective=selection.objective, bound=selection.bound))


def choose_layers(bench, request):
    """Return (candidates, reasons why the other layers are left alone), the candidates decomposed."""
    _check_patterns(bench, tuple(request.layers) + tuple(request.exclude))
    candidates, left = [], {}
    for name, spec in bench.specs.items():
        method = request.method_for(spec)
        reason = bench.refusal(spec, method) or request.leaves_alone(spec)
        if reason:
            left[name] = reason
        else:
            candidates.append(bench.candidate(name, method))
    if not candidates:
        raise AccnnError("no layer of %s can be split: %s" % (bench.model.prefix, "; ".join(
            "%s: %s" % item for item in list(left.items())[:4]) or "it has no convolution"))
    bench.decompose(candidates)
    return candidates, left


def within_budget(bench, candidates, request, select):
    """Call ``select(candidates, budget, cost)`` with what the candidates may cost together.

    Layers that count but are no candidates keep their cost, so the candidates must make up for them.

    Raises
    ------
    TargetError
        The ratio cannot be reached; says which can.
    """
    cost, names = costs.get(request.cost), {candidate.name for candidate in candidates}
    counted = [spec for spec in bench.layers
               if spec.part is not None and (request.fc or spec.op == "Convolution" or spec.name in names)]
    total = sum(cost.layer(spec) for spec in counted)
    fixed = sum(cost.layer(spec) for spec in counted if spec.name not in names)
    try:
        return select(candidates, total / request.ratio - fixed, cost)
    except ranks.Unreachable as error:
        share = " (%.0f%% of the cost is in layers that stay)" % (100 * fixed / total) if fixed else ""
        raise TargetError("%gx (%s, over all convolutions%s) cannot be reached: the best is %.2fx, with the least rank "
                          "everywhere%s; ask for less" % (request.ratio, cost.name, " and fully connected layers" if
                                                          request.fc else "", total / (fixed + error.least), share)
                          ) from None


def matches(name, patterns):
    """True when one of the patterns is the name or matches it as a shell would."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(bench, patterns):
    for pattern in patterns:
        if pattern != "*" and not any(matches(name, [pattern]) for name in bench.specs):
            raise AccnnError("%s has no convolution or fully connected layer that matches %r: its layers are %s"
                             % (bench.model.prefix, pattern, ", ".join(list(bench.specs)[:8])))


def _told(request):
    """The request as JSON can hold it."""
    return {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in asdict(request).items()}


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)

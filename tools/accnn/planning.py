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
        `ratio` is below 1 or no number, `align` below 1; a name is not known; the method has nothing to do.
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
        if self.method is not None and methods.get(self.method).op == "FullyConnected" and not self.fc:
            raise AccnnError("--method %s splits fully connected layers: add --fc" % self.method)
        cost = costs.get(ranks.get(self.rank_selection).cost if self.cost is None else self.cost).name
        self._set(ratio=float(self.ratio), align=int(self.align), seed=int(self.seed), fc=bool(self.fc), cost=cost,
                  layers=_patterns(self.layers), exclude=_patterns(self.exclude))

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def method_for(self, spec):
        """Method: the one asked for where it splits such layers, else the default."""
        asked = None if self.method is None else methods.get(self.method)
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
    rule = ranks.get(request.rank_selection)
    candidates, left = choose_layers(bench, request, rule)
    total, selection = within_budget(bench, candidates, request, rule.select)
    rows = []
    for spec in bench.layers:
        pick = selection.picks.get(spec.name)
        rows.append(Row(spec.name, spec.op, pick[0].method.name, pick[1]) if pick else
                    Row(spec.name, spec.op, reason=left.get(spec.name) or _why_kept(bench, spec, request)))
    return Plan(tuple(rows), dict(asdict(request), layers=list(request.layers), exclude=list(request.exclude),
                                  reached=total.before / total.after(selection.cost),
                                  objective=selection.objective, bound=selection.bound))


def _why_kept(bench, spec, request):
    """Why a rank rule left a layer alone that it could have split."""
    cost, candidate = costs.get(request.cost), bench.candidate(spec.name, request.method_for(spec))
    if any(cost.chain(spec, candidate.chain(rank)) < cost.layer(spec) for rank in candidate.ranks(request.align)[:1]):
        return "saving elsewhere loses less"
    return "no rank makes it cheaper" + (" (--align %d)" % request.align if request.align > 1 else "")


@dataclass(frozen=True)
class Total:
    """What the ratio is taken of: all cost that counts, and the part of it that no candidate can change."""

    before: float
    fixed: float

    def after(self, cost):
        """Cost of the network when the candidates cost `cost`."""
        return self.fixed + cost


def choose_layers(bench, request, rule):
    """Return (candidates, reasons why the other layers are left alone), the candidates decomposed."""
    _check_patterns(bench, tuple(request.layers) + tuple(request.exclude))
    candidates, left = [], {}
    for name, spec in bench.specs.items():
        method = request.method_for(spec)
        reason = bench.refusal(spec, method) or request.leaves_alone(spec) or rule.refuse(method)
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
    """Call ``select(problem)`` with the budget that the ratio leaves for the candidates.

    Layers that count but are no candidates keep their cost, so the candidates must make up for them.

    Returns
    -------
    (Total, Selection)

    Raises
    ------
    TargetError
        The ratio cannot be reached; says which can.
    """
    cost = costs.get(request.cost)
    total = _total(bench, candidates, request, cost)
    try:
        return total, select(ranks.Problem(candidates, total.before / request.ratio - total.fixed, cost, request.align))
    except ranks.Unreachable as error:
        best = math.floor(100 * total.before / total.after(error.least)) / 100  # down, so that asking for it succeeds
        over = "all convolutions" + (" and fully connected layers" if request.fc else "")
        stay = " (%.0f%% of the cost is in what stays)" % (100 * total.fixed / total.before) if total.fixed else ""
        raise TargetError("%gx (%s, over %s) cannot be reached: the best is %.2fx, with the least rank everywhere%s; "
                          "ask for less%s" % (request.ratio, cost.name, over, best, stay,
                                              " or a smaller --align" if request.align > 1 else "")) from None


def _total(bench, candidates, request, cost):
    names = {candidate.name for candidate in candidates}
    counted = [spec for spec in bench.layers if spec.part is not None and (request.fc or spec.op == "Convolution")]
    rest = cost.rest(bench)
    return Total(rest + sum(cost.layer(spec) for spec in counted),
                 rest + sum(cost.layer(spec) for spec in counted if spec.name not in names))


def matches(name, patterns):
    """True when one of the patterns is the name or matches it as a shell would."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(bench, patterns):
    for pattern in patterns:
        if pattern != "*" and not any(matches(name, [pattern]) for name in bench.specs):
            raise AccnnError("%s has no convolution or fully connected layer that matches %r: its layers are %s"
                             % (bench.model.prefix, pattern, some(bench.specs)))


def some(names, most=8):
    """The first names as a list for a sentence."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _patterns(value):
    return (value,) if isinstance(value, str) else tuple(value)


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)

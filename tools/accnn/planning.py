"""From a wish ("twice as fast, leave conv1_1 alone") to a plan: which layers, which method, a rank rule's ranks."""
import fnmatch
import math
import os
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Mapping, Optional, Sequence, Tuple, Union

from accnn import costs, methods, ranks
from accnn.cli import say
from accnn.errors import AccnnError, TargetError
from accnn.plan import Plan, Row, load_plan


@dataclass(frozen=True)
class Request:
    """What is asked of a plan.

    Attributes
    ----------
    ratio : float
        Cost before / after, over all convolutions; with `fc` over all fully connected layers too. Layers
        that stay as they are count on both sides.
    rank_selection : str, optional
        A name of :func:`accnn.ranks.names`; default: the first of :data:`accnn.ranks.DEFAULTS` that can weigh the
        methods asked for.
    cost : str, optional
        A name of :func:`accnn.costs.names`; default: the rule's own.
    method : str or sequence of str, optional
        Names of :func:`accnn.methods.names`, one for an operator at most, as ``'vh,fc-svd'`` or as a sequence; other
        operators take their default. Kept as the first.
    layers, exclude : sequence of str
        Names or shell patterns of layers to plan and to leave alone.
    fixed : dict, or sequence of pairs (name, rank)
        Layers that are split at a given rank, whatever the rule; these names beat the patterns of `layers` and
        `exclude`.
    fc : bool
        Plan fully connected layers too.
    align : int
        Ranks are multiples of this; 8 or 16 fit the CPU's kernels much better than others.
    seed : int
        Written into the plan.
    margin : float
        How far above `ratio` a rule that goes step by step may end.
    initial_ranks : dict, Plan, or path
        Ranks that such a rule starts at, by layer; a path is that of a plan or config that says them. Kept as a
        dict.

    Raises
    ------
    AccnnError
        `ratio` is below 1 or no number, `align` below 1, `margin` not above 0; a name is not known; the method has
        nothing to do, or two have the same; a layer is fixed twice, or excluded as well; `initial_ranks` are of
        another method.
    """

    ratio: float
    rank_selection: Optional[str] = None
    cost: Optional[str] = None
    method: Union[str, Sequence[str], None] = None
    layers: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    fc: bool = False
    align: int = 1
    seed: int = 0
    fixed: Union[Mapping[str, object], Sequence[Tuple[str, object]]] = ()
    margin: float = ranks.MARGIN
    initial_ranks: Union[Mapping[str, object], Plan, str, os.PathLike, None] = None

    def __post_init__(self):
        if not _is(self.ratio, Real) or not math.isfinite(self.ratio) or self.ratio < 1:
            raise AccnnError("--ratio %s makes no sense: it is cost before / cost after, 1 or more" % (self.ratio,))
        if not _is(self.align, Integral) or self.align < 1:
            raise AccnnError("--align %s makes no sense: ranks are multiples of it, so 1 or more" % (self.align,))
        if not _is(self.margin, Real) or not math.isfinite(self.margin) or self.margin <= 0:
            raise AccnnError("--margin %s makes no sense: it is a part of a speed-up, above 0" % (self.margin,))
        self._set(method=_method_names(self.method))
        self._check_methods()
        if self.rank_selection is None:
            self._set(rank_selection=next(name for name in ranks.DEFAULTS
                                          if not any(map(ranks.get(name).refuse, self._asked()))))
        cost = costs.get(ranks.get(self.rank_selection).cost if self.cost is None else self.cost).name
        self._set(ratio=float(self.ratio), align=int(self.align), seed=int(self.seed), fc=bool(self.fc), cost=cost,
                  layers=_patterns(self.layers), exclude=_patterns(self.exclude), fixed=_pins(self.fixed),
                  margin=float(self.margin), initial_ranks=self._given_ranks())
        _check_pins([name for name, _ in self.fixed], self.exclude)

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def method_for(self, spec):
        """Method: the one asked for where it splits such layers, else the default."""
        return self._method_of(spec.op)

    def as_json(self):
        """dict: the attributes, as a plan's file says them."""
        return dict(asdict(self), layers=list(self.layers), exclude=list(self.exclude), fixed=_written(self.fixed),
                    initial_ranks=_written(self.initial_ranks.items()))

    def _asked(self):
        return [methods.get(name) for name in (self.method or "").split(",") if name]

    def _method_of(self, op):
        return next((method for method in self._asked() if method.op == op), None) or methods.get(methods.DEFAULT[op])

    def _check_methods(self):
        ops = [method.op for method in self._asked()]
        for method in self._asked():
            if ops.count(method.op) > 1:
                raise AccnnError("--method %s names several methods for %s layers: keep one of them"
                                 % (self.method, method.op))
            if method.op == "FullyConnected" and not self.fc:
                raise AccnnError("--method %s splits fully connected layers: add --fc" % method.name)

    def _given_ranks(self):
        """dict of str to rank: `initial_ranks`, whose methods must be those of the plan."""
        path = isinstance(self.initial_ranks, (str, os.PathLike))
        given = load_plan(os.fspath(self.initial_ranks)) if path else self.initial_ranks
        if not isinstance(given, Plan):
            return dict(_pins(given or ()))
        for row in given.chosen():
            if row.op is not None and self._method_of(row.op).name != row.method:
                raise AccnnError("the initial rank of the layer %r is one of the method %s, but it is to be split by "
                                 "%s: say --method %s" % (row.layer, row.method, self._method_of(row.op).name,
                                                          row.method))
        return {row.layer: row.rank for row in given.chosen()}

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
        A pattern matches nothing; no layer can be split; a fixed rank does not fit; the rule needs images.
    """
    rule = ranks.get(request.rank_selection)
    if rule.needs_images and bench.responses is None:
        raise AccnnError("the rank rule %s weighs what the layers answer to real images: give --data-calib, or choose "
                         "another --rank-selection" % rule.name)
    pinned = pinned_layers(bench, request)
    _check_initial(bench, request, rule)
    candidates, left = choose_layers(bench, request, rule)
    _tell_unused(request, rule, left)
    total, selection = within_budget(bench, candidates, request, rule.select, pinned)
    rows, picks = [], dict(selection.picks, **pinned)
    for spec in bench.layers:
        pick = picks.get(spec.name)
        rows.append(Row(spec.name, spec.op, pick[0].method.name, pick[1]) if pick else
                    Row(spec.name, spec.op, reason=left.get(spec.name) or _why_kept(bench, spec, request)))
    if selection.remark:
        say(selection.remark)
    return Plan(tuple(rows), dict(request.as_json(), reached=total.before / total.after(selection.cost),
                                  objective=selection.objective, bound=selection.bound, remark=selection.remark))


def _check_initial(bench, request, rule):
    """Refuse initial ranks that do not fit the network; say when the rule looks at no such wishes."""
    for name, rank in request.initial_ranks.items():
        _checked(bench, request, name, rank)
    for wish, given, option in (("margin", request.margin != ranks.MARGIN, "--margin"),
                                ("initial", request.initial_ranks, "--initial-ranks")):
        if given and wish not in rule.reads:
            say("the rank rule %s looks at no %s: ignoring it" % (rule.name, option))


def _tell_unused(request, rule, left):
    """Say which initial ranks start nothing."""
    stay = dict(left, **dict.fromkeys((name for name, _ in request.fixed), "--fixed"))
    unused = ["%s (%s)" % (name, stay[name]) for name in request.initial_ranks if name in stay]
    if unused and "initial" in rule.reads:
        say("initial ranks of layers that the rank rule does not plan are ignored: %s" % some(unused))


def _why_kept(bench, spec, request):
    """Why a rank rule left a layer alone that it could have split."""
    cost, candidate = costs.get(request.cost), bench.candidate(spec.name, request.method_for(spec))
    if any(cost.chain(spec, candidate.chain(rank)) < cost.layer(spec) for rank in candidate.ranks(request.align)[:1]):
        return "saving elsewhere loses less"
    return "no rank makes it cheaper" + (" (--align %d)" % request.align if request.align > 1 else "")


@dataclass(frozen=True)
class Total:
    """What the ratio is taken of: all cost that counts before, and what no candidate can change of it after."""

    before: float
    fixed: float

    def after(self, cost):
        """Cost of the network when the candidates cost `cost`."""
        return self.fixed + cost


def pinned_layers(bench, request):
    """dict of str to (Candidate, rank): the layers whose rank is fixed.

    Raises
    ------
    AccnnError
        A name is not known, a layer cannot be split, or not at this rank.
    """
    pinned = {}
    for name, rank in request.fixed:
        method = _checked(bench, request, name, rank)
        if method.op == "FullyConnected" and not request.fc:
            raise AccnnError("--fixed %s: this layer is fully connected, add --fc" % name)
        pinned[name] = bench.candidate(name, method), rank
    return pinned


def _checked(bench, request, name, rank):
    """The method for a layer that a person names, or an AccnnError where it cannot be split at this rank."""
    spec = bench.specs.get(name)
    method = request.method_for(spec) if spec else methods.get(methods.DEFAULT["Convolution"])
    # Knows all that can be wrong with a row of a config, and what to say of a name that is not there.
    bench.check(Plan((Row(name, spec and spec.op, method.name, rank),)))
    return method


def choose_layers(bench, request, rule):
    """Return (candidates, reasons why the other layers are left alone), the candidates decomposed."""
    _check_patterns(bench, tuple(request.layers) + tuple(request.exclude))
    candidates, left, pinned = [], {}, dict(request.fixed)
    first = next((spec.name for spec in bench.layers if spec.op == "Convolution"), None)
    for name, spec in bench.specs.items():
        if name in pinned:
            continue
        method = request.method_for(spec)
        reason = (bench.refusal(spec, method) or request.leaves_alone(spec) or rule.refuse(method) or
                  (None if name in request.layers else rule.leaves_alone(spec, name == first)))
        if reason:
            left[name] = reason
        else:
            candidates.append(bench.candidate(name, method))
    if not candidates and not pinned:
        raise AccnnError("no layer of %s can be split: %s" % (bench.model.prefix, _by_reason(left)))
    bench.decompose(candidates)
    return candidates, left


def _by_reason(left):
    """str: why layers are left alone, each reason once."""
    layers = {}
    for name, reason in left.items():
        layers.setdefault(reason, []).append(name)
    return "; ".join("%s: %s" % (some(names, 4), reason)
                     for reason, names in list(layers.items())[:4]) or "it has no convolution"


def within_budget(bench, candidates, request, select, pinned=None):
    """Call ``select(problem)`` with the budget that the ratio leaves for the candidates.

    Layers that count but are no candidates keep their cost, or have that of the chain they are `pinned` to, so the
    candidates must make up for them.

    Returns
    -------
    (Total, Selection)

    Raises
    ------
    TargetError
        The ratio cannot be reached; says which can.
    """
    cost = costs.get(request.cost)
    total = _total(bench, candidates, request, cost, pinned or {})
    problem = ranks.Problem(candidates, total.before / request.ratio - total.fixed, cost, request.align,
                            bench.responses, total.before, total.fixed, request.margin, request.initial_ranks,
                            bench.progress)
    try:
        return total, (select if candidates else _select_nothing)(problem)
    except ranks.Unreachable as error:
        best = math.floor(100 * total.before / total.after(error.least)) / 100  # down, so that asking for it succeeds
        over = "all convolutions" + (" and fully connected layers" if request.fc else "")
        stay = " (%.0f%% of the cost is in what stays%s)" % (
            100 * total.fixed / total.before, " and what --fixed says" if pinned else "") if total.fixed else ""
        raise TargetError("%gx (%s, over %s) cannot be reached: the best is %.2fx, with the least rank everywhere%s; "
                          "ask for less%s" % (request.ratio, cost.name, over, best, stay,
                                              " or a smaller --align" if request.align > 1 else "")) from None


def _select_nothing(problem):
    """What a rule is not asked for: there are no candidates, because every layer to be planned is pinned."""
    if problem.budget < 0:
        raise ranks.Unreachable(0)
    return ranks.Selection({}, 0, 0.0, 0.0)


def _total(bench, candidates, request, cost, pinned):
    names = {candidate.name for candidate in candidates}
    counted = [spec for spec in bench.layers if spec.part is not None and (request.fc or spec.op == "Convolution")]
    after = {name: cost.chain(candidate.spec, candidate.chain(rank)) for name, (candidate, rank) in pinned.items()}
    rest = cost.rest(bench)
    return Total(rest + sum(cost.layer(spec) for spec in counted),
                 rest + sum(after[spec.name] if spec.name in after else cost.layer(spec)
                            for spec in counted if spec.name not in names))


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


def _method_names(value):
    """str or None: names joined by commas, without blanks."""
    names = value.split(",") if isinstance(value, str) else value
    return None if value is None else ",".join(methods.get(name.strip() if isinstance(name, str) else name).name
                                               for name in names)


def _written(pairs):
    """dict: ranks by layer as JSON has them."""
    return {name: list(rank) if isinstance(rank, tuple) else rank for name, rank in pairs}


def _patterns(value):
    return (value,) if isinstance(value, str) else tuple(value)


def _pins(fixed):
    """tuple of (name, rank), ranks in Python's own ints where they are whole numbers."""
    pairs = fixed.items() if isinstance(fixed, Mapping) else fixed
    return tuple((name, tuple(map(_plain, rank)) if isinstance(rank, (tuple, list)) else _plain(rank))
                 for name, rank in pairs)


def _plain(rank):
    return int(rank) if _is(rank, Integral) else rank


def _check_pins(names, exclude):
    for name in names:
        if names.count(name) > 1:
            raise AccnnError("--fixed names the layer %r twice: keep one of them" % name)
        if name in exclude:
            raise AccnnError("the layer %r is named in --fixed and in --exclude: keep one of them" % name)


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)

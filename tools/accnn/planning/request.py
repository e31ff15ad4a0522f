"""What people ask of a plan, checked before any work."""
import difflib
import fnmatch
import math
import os
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Mapping, Optional, Sequence, Tuple, Union

from accnn import costs, engines, methods, ranks
from accnn.core import text
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, PRECISIONS
from accnn.latency import model  # noqa: F401  (importing registers the cost)
from accnn.latency.config import TimingConfig
from accnn.planning.plan import Plan, load_plan

_ALL = "all"


@dataclass(frozen=True)
class Request:
    """What is asked of a plan.

    Attributes
    ----------
    ratio : float
        Cost before / after, over all convolutions; with `fc` over all fully connected layers too; of the whole network
        where the cost is one of it. Layers that stay as they are count on both sides.
    rank_selection : str, optional
        A name of :func:`accnn.ranks.names`; default: the one that goes with `cost`, else the first of
        :data:`accnn.ranks.DEFAULTS` that can weigh the methods asked for.
    cost : str, optional
        A name of :func:`accnn.costs.names`; default: the rule's own.
    method : str or sequence of str, optional
        Names of :func:`accnn.methods.names`, as ``'vh,fc-svd'`` or as a sequence; several for one operator where the
        rank rule chooses among methods, and ``'all'`` for every one there is. Operators without one take the rule's
        own, or the default. Kept as names joined by commas.
    layers, exclude : sequence of str
        Names or shell patterns of layers to plan and to leave alone.
    fixed : dict, or sequence of pairs (name, rank)
        Layers that are split at a given rank, whatever the rule; these names beat the patterns of `layers` and
        `exclude`.
    fc : bool
        Plan fully connected layers too; always so where the cost is one of the whole network.
    align : int
        Ranks are multiples of this; 8 or 16 fit the CPU's kernels much better than others.
    seed : int
        Written into the plan.
    margin : float
        How far above `ratio` a rule that goes step by step may end.
    initial_ranks : dict, Plan, or path
        Ranks that such a rule starts at, by layer; a path is that of a plan or config that says them. Kept as a
        dict.
    precision : {'fp32', 'int8', 'bf16'}
        In which the planned network is to be computed; the original is float32.
    keep_fp32 : sequence of str
        Names or shell patterns of layers that stay in float32 all the same, or the chains in their place.
    measuring : TimingConfig
        How milliseconds are measured, where they are the cost.

    Raises
    ------
    AccnnError
        `ratio` is below 1 or no number, `align` below 1, `margin` not above 0; a name is not known; the method has
        nothing to do, or two have the same and the rule does not choose among methods; a layer is fixed twice, or
        excluded as well; `initial_ranks` are of another method; `keep_fp32` where all layers are.
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
    precision: str = FP32
    keep_fp32: Sequence[str] = ()
    measuring: TimingConfig = field(default_factory=TimingConfig)

    def __post_init__(self):
        if not _is(self.ratio, Real) or not math.isfinite(self.ratio) or self.ratio < 1:
            raise AccnnError("`ratio=%s` makes no sense: it is cost before / cost after, 1 or more" % (self.ratio,))
        if not _is(self.align, Integral) or self.align < 1:
            raise AccnnError("`align=%s` makes no sense: ranks are multiples of it, so 1 or more" % (self.align,))
        if not _is(self.margin, Real) or not math.isfinite(self.margin) or self.margin <= 0:
            raise AccnnError("`margin=%s` makes no sense: it is a part of a speed-up, above 0" % (self.margin,))
        self._set(method=_method_names(self.method))
        if self.rank_selection is None:
            self._set(rank_selection=self._default_rule())
        cost = costs.get(ranks.get(self.rank_selection).cost if self.cost is None else self.cost)
        self._set(fc=bool(self.fc) or cost.whole_network, cost=cost.name)
        self._check_methods()
        self._check_precision()
        self._set(ratio=float(self.ratio), align=int(self.align), seed=int(self.seed),
                  layers=_patterns(self.layers), exclude=_patterns(self.exclude), fixed=_pins(self.fixed),
                  keep_fp32=_patterns(self.keep_fp32),
                  margin=float(self.margin), initial_ranks=self._given_ranks())
        _check_pins([name for name, _ in self.fixed], self.exclude)

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _default_rule(self):
        """The rule that goes with the cost that was asked for, else the first that can weigh the methods."""
        own = self.cost and costs.get(self.cost).rule
        return own or next(name for name in ranks.DEFAULTS if not any(map(ranks.get(name).refuse, self._asked())))

    def methods_for(self, spec):
        """list of Method: those that may split such layers, in the order asked for; the default first of all."""
        return self._methods_of(spec.kind)

    def method_for(self, spec):
        """Method: the first of :meth:`methods_for`, which splits layers whose rank a person says."""
        return self._methods_of(spec.kind)[0]

    def as_json(self):
        """dict: the attributes, as a plan's file says them."""
        said = dict(asdict(self), layers=list(self.layers), exclude=list(self.exclude), fixed=_written(self.fixed),
                    keep_fp32=list(self.keep_fp32),
                    initial_ranks=_written(self.initial_ranks.items()))
        del said["measuring"]  # a plan by latency says itself how it was measured
        if self.precision == FP32:
            del said["precision"], said["keep_fp32"]
        return said

    def _asked(self):
        if self.method == _ALL:
            return [method for method in map(methods.get, methods.names()) if self.fc or method.op == "Convolution"]
        return [methods.get(name) for name in (self.method or "").split(",") if name]

    def _methods_of(self, op):
        usual = methods.get(methods.DEFAULT[op])
        for some in (self._asked(), map(methods.get, ranks.get(self.rank_selection).methods)):
            found = [method for method in some if method.op == op]
            if found:
                return sorted(found, key=lambda method: self.method == _ALL and method is not usual)
        return [usual]

    def _check_methods(self):
        ops = [method.op for method in self._asked()]
        for method in self._asked():
            if ops.count(method.op) > 1 and not ranks.get(self.rank_selection).chooses_methods:
                raise AccnnError("`method=%s` names several methods for %s layers, but the rank rule %s does not "
                                 "choose among methods: keep one of them, or say %s"
                                 % (self.method, method.op, self.rank_selection, _remedies()))
            if method.op == "FullyConnected" and not self.fc:
                raise AccnnError("`method=%s` splits fully connected layers: add `fc=True`" % method.name)

    def _check_precision(self):
        if self.precision not in PRECISIONS:
            raise AccnnError("`precision=%s`: it can be %s" % (self.precision, ", ".join(PRECISIONS)))
        if self.keep_fp32 and self.precision == FP32:
            raise AccnnError("`keep_fp32` names layers of a network in another precision: give `precision` too")
        self._check_engine()

    def _check_engine(self):
        engine = self.measuring.engine
        if engine == engines.DEFAULT:
            return
        if costs.get(self.cost).is_analytic:
            raise AccnnError("`engine=%s` is the engine whose clock a plan is made by: give `cost='latency'` with it"
                             % engine)
        if self.keep_fp32:
            raise AccnnError("`keep_fp32` is for plans for MXNet: the engine %s has every layer in one precision"
                             % engine)

    def _given_ranks(self):
        """dict of str to rank: `initial_ranks`, whose methods must be those of the plan."""
        path = isinstance(self.initial_ranks, (str, os.PathLike))
        given = load_plan(os.fspath(self.initial_ranks)) if path else self.initial_ranks
        if not isinstance(given, Plan):
            return dict(_pins(given or ()))
        for row in given.chosen():
            method = self._methods_of(row.op)[0].name if row.op is not None else row.method
            if method != row.method:
                raise AccnnError("the initial rank of the layer %r is one of the method %s, but it is to be split by "
                                 "%s: say `method='%s'`" % (row.layer, row.method, method, row.method))
        return {row.layer: row.rank for row in given.chosen()}

    def leaves_alone(self, spec):
        """Return why the layer is not to be planned, or None."""
        if not matches(spec.name, self.layers):
            return "not asked for (`layers`)"
        if matches(spec.name, self.exclude):
            return "excluded"
        if spec.kind == "FullyConnected" and not self.fc:
            return "fully connected (`fc=True` plans these too)"
        return None


def choosing_rules():
    """list of str: names of the rank rules that choose among methods."""
    return [name for name in ranks.names() if ranks.get(name).chooses_methods]


def _remedies():
    """str: the settings that lead to a rule that chooses among methods."""
    rules = choosing_rules()
    said = ["`rank_selection='%s'`%s" % (name, " (with `responses`)" if ranks.get(name).needs_images else "")
            for name in rules]
    return " or ".join(said + ["`cost='%s'` alone" % name for name in costs.names() if costs.get(name).rule in rules])


def _method_names(value):
    """str or None: names joined by commas, without blanks, each once."""
    if value is None:
        return None
    names = [name.strip() if isinstance(name, str) else name
             for name in (value.split(",") if isinstance(value, str) else value)]
    return names[0] if names == [_ALL] else ",".join(dict.fromkeys(methods.get(name).name for name in names))


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
            raise AccnnError("`fixed` names the layer %r twice: keep one of them" % name)
        if name in exclude:
            raise AccnnError("the layer %r is named in `fixed` and in `exclude`: keep one of them" % name)


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def check_pattern(prefix, layers, pattern):
    """Refuse a pattern that matches none of the layers of the network called `prefix`; names those nearest to it."""
    if pattern != "*" and not any(matches(name, [pattern]) for name in layers):
        near = difflib.get_close_matches(pattern, layers, n=3, cutoff=0.5)
        hint = "did you mean %s?" % " or ".join(near) if near else "its layers are %s" % text.some(layers)
        raise AccnnError("%s has no convolution or fully connected layer that matches %r: %s" % (prefix, pattern, hint))


def matches(name, patterns):
    """True when one of the patterns is the name or matches it as a shell would."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

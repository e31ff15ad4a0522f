"""From a wish ("twice as fast, leave conv1_1 alone") to a plan: which layers, which method, a rank rule's ranks."""
import math
from dataclasses import dataclass

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import CONVOLUTION
from accnn.core.progress import say
from accnn.core.text import percent, some, times
from accnn.planning.plan import Plan, Row
from accnn.planning.request import Request, matches

__all__ = ["Request", "BudgetAllocator", "Total", "choose_layers", "pinned_layers", "select_ranks", "some"]


def select_ranks(accelerator, request):
    """Choose methods and ranks for all layers of a model.

    Parameters
    ----------
    accelerator : Accelerator
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
    rule, cost = ranks.get(request.rank_selection), costs.get(request.cost).of(accelerator, request)
    if rule.needs_images and accelerator.responses is None:
        raise AccnnError("the rank rule %s weighs what the layers answer to real images: give --data-calib, or choose "
                         "another --rank-selection" % rule.name)
    if rule.any_rank and not cost.knows_all:
        raise AccnnError("the rank rule %s chooses among ranks of which the cost %s does not know all: choose another "
                         "--rank-selection" % (rule.name, cost.name))
    if not rule.needs_decompositions and request.measuring.cache is not None:
        accelerator.remember(request.measuring.cache)
    pinned = pinned_layers(accelerator, request)
    _check_initial(accelerator, request, rule)
    candidates, left = choose_layers(accelerator, request, rule)
    _tell_unused(request, rule, left)
    cost.look_at(candidates, pinned)
    if rule.needs_decompositions:
        accelerator.decompose(candidates)
    sharing = BudgetAllocator(accelerator, candidates, request, cost, rule.select, pinned)
    try:
        selection, found = cost.settle(sharing)
    finally:
        if request.measuring.keep:
            accelerator.keep()
    picks = dict(selection.picks, **pinned)
    rows = []
    for spec in accelerator.layers:
        pick = picks.get(spec.name)
        rows.append(Row(spec.name, spec.kind, pick[0].method.name, pick[1]) if pick else
                    Row(spec.name, spec.kind, reason=left.get(spec.name) or _why_kept(accelerator, spec, request,
                                                                                      cost)))
    if selection.remark:
        say(selection.remark)
    made_by = dict(request.as_json(), reached=sharing.speed_up(selection.cost), objective=selection.objective,
                   bound=selection.bound, remark=selection.remark)
    return Plan(tuple(rows), dict(made_by, **found))


def _check_initial(accelerator, request, rule):
    """Refuse initial ranks that do not fit the network; say when the rule looks at no such wishes."""
    for name, rank in request.initial_ranks.items():
        _checked(accelerator, request, name, rank)
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


def _why_kept(accelerator, spec, request, cost):
    """Why a rank rule left a layer alone that it could have split."""
    candidates = [accelerator.candidate(spec.name, method) for method in request.methods_for(spec)
                  if not accelerator.refusal(spec, method)]
    # By MACs the smallest rank is the cheapest; by the clock any may be.
    most = 1 if cost.knows_all else None
    if any(cost.chain(spec, candidate.chain(rank)) < cost.layer(spec)
           for candidate in candidates for rank in cost.ranks(candidate, request.align)[:most]):
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


def pinned_layers(accelerator, request):
    """dict of str to (Candidate, rank): the layers whose rank is fixed.

    Raises
    ------
    AccnnError
        A name is not known, a layer cannot be split, or not at this rank.
    """
    pinned = {}
    for name, rank in request.fixed:
        method = _checked(accelerator, request, name, rank)
        if method.op == "FullyConnected" and not request.fc:
            raise AccnnError("--fixed %s: this layer is fully connected, add --fc" % name)
        pinned[name] = accelerator.candidate(name, method), rank
    return pinned


def _checked(accelerator, request, name, rank):
    """The method for a layer that a person names, or an AccnnError where it cannot be split at this rank."""
    spec = accelerator.specs.get(name)
    method = request.method_for(spec) if spec else methods.get(methods.DEFAULT["Convolution"])
    # Knows all that can be wrong with a row of a config, and what to say of a name that is not there.
    accelerator.check(Plan((Row(name, spec and spec.kind, method.name, rank),)))
    return method


def choose_layers(accelerator, request, rule):
    """Return (candidates, reasons why the other layers are left alone): a Candidate for every method of a layer."""
    _check_patterns(accelerator, tuple(request.layers) + tuple(request.exclude))
    candidates, left, pinned = [], {}, dict(request.fixed)
    first = next((spec.name for spec in accelerator.layers if spec.kind == CONVOLUTION), None)
    for name, spec in accelerator.specs.items():
        if name in pinned:
            continue
        reasons = {method: _refusal(accelerator, request, rule, spec, method, name == first)
                   for method in request.methods_for(spec)}
        able = [method for method, reason in reasons.items() if not reason]
        candidates += [accelerator.candidate(name, method) for method in able]
        if not able:
            left[name] = "; ".join(dict.fromkeys(reasons.values()))
    if not candidates and not pinned:
        raise AccnnError("no layer of %s can be split: %s" % (accelerator.model.prefix, _by_reason(left)))
    return candidates, left


def _refusal(accelerator, request, rule, spec, method, is_first):
    """Why a method is no candidate for a layer, or None."""
    return (accelerator.refusal(spec, method) or request.leaves_alone(spec) or rule.refuse(method) or
            (None if spec.name in request.layers else rule.leaves_alone(spec, is_first)))


def _by_reason(left):
    """str: why layers are left alone, each reason once."""
    layers = {}
    for name, reason in left.items():
        layers.setdefault(reason, []).append(name)
    return "; ".join("%s: %s" % (some(names, 4), reason)
                     for reason, names in list(layers.items())[:4]) or "it has no convolution"


class BudgetAllocator:
    """What a ratio leaves for the candidates, and what a rank rule makes of it.

    Layers that count but are no candidates keep their cost, or have that of the chain they are pinned to, so the
    candidates must make up for them.

    Parameters
    ----------
    accelerator : Accelerator
    candidates : list of Candidate
    request : Request
    cost : Cost
        That of this model, see :meth:`accnn.costs.Cost.of`.
    select : callable
        ``select(problem)`` returns a Selection: :meth:`accnn.ranks.RankRule.select` or the like.
    pinned : dict of str to (Candidate, rank), optional

    Attributes
    ----------
    request : Request
    pinned : dict
    total : Total
    """

    def __init__(self, accelerator, candidates, request, cost, select, pinned=None):
        self.request, self.pinned = request, pinned or {}
        self._accelerator, self._candidates, self._cost = accelerator, candidates, cost
        self._select = select if candidates else _select_nothing
        self.total = _total(accelerator, candidates, request, cost, self.pinned)

    def speed_up(self, cost):
        """float: the ratio when the candidates cost `cost`; infinite where nothing is left."""
        after = self.total.after(cost)
        return self.total.before / after if after > 0 else math.inf

    def at(self, ratio):
        """Return the Selection for a ratio.

        Raises
        ------
        accnn.ranks.Unreachable
        """
        total, request, accelerator = self.total, self.request, self._accelerator
        return self._select(ranks.Problem(
            self._candidates, total.before / ratio - total.fixed, self._cost, request.align, accelerator.responses,
            total.before, total.fixed, request.margin, request.initial_ranks, accelerator.progress))

    def reached(self):
        """Return the Selection for the ratio that was asked for.

        Raises
        ------
        TargetError
            It cannot be reached; says which can.
        """
        try:
            return self.at(self.request.ratio)
        except ranks.Unreachable as error:
            raise TargetError(self._best_instead(error)) from None

    def _best_instead(self, error):
        request, total = self.request, self.total
        best = math.floor(100 * self.speed_up(error.least)) / 100  # down, so that asking for it succeeds
        over = "all convolutions" + (" and fully connected layers" if request.fc else "")
        stay = "" if not total.fixed else " (%s of the cost is in what stays%s)" % (
            percent(total.fixed / total.before, 0), " and what --fixed says" if self.pinned else "")
        return ("%gx (%s, over %s) cannot be reached: the best is %s, with the least rank everywhere%s; ask for "
                "less%s" % (request.ratio, self._cost.name, over, times(best), stay,
                   " or a smaller --align" if request.align > 1 else ""))


def _select_nothing(problem):
    """What a rule is not asked for: there are no candidates, because every layer to be planned is pinned."""
    if problem.budget < 0:
        raise ranks.Unreachable(0)
    return ranks.Selection({}, 0, 0.0, 0.0)


def _total(accelerator, candidates, request, cost, pinned):
    names = {candidate.name for candidate in candidates}
    counted = [spec for spec in accelerator.layers
               if spec.part is not None and (request.fc or spec.kind == CONVOLUTION)]
    after = {name: cost.chain(candidate.spec, candidate.chain(rank)) for name, (candidate, rank) in pinned.items()}
    rest = cost.rest(accelerator)
    return Total(rest + sum(cost.layer(spec) for spec in counted),
                 rest + sum(after[spec.name] if spec.name in after else cost.layer(spec)
                            for spec in counted if spec.name not in names))


def _check_patterns(accelerator, patterns):
    for pattern in patterns:
        if pattern != "*" and not any(matches(name, [pattern]) for name in accelerator.specs):
            raise AccnnError("%s has no convolution or fully connected layer that matches %r: its layers are %s"
                             % (accelerator.model.prefix, pattern, some(accelerator.specs)))

"""From a request ("twice as fast, leave conv1_1 alone") to a plan: which layers, which method, a rank rule's ranks."""
import contextlib
from dataclasses import replace

from accnn import costs, engines, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import CONVOLUTION, FP32, INT8
from accnn.core.progress import say
from accnn.core.text import some
from accnn.latency.profiler import LatencyProfiler, measuring_process
from accnn.latency.survey import survey
from accnn.planning.budget import BudgetAllocator
from accnn.planning.evidence import evidence_of
from accnn.planning.plan import Plan, Row
from accnn.planning.request import Request, check_pattern, matches
from accnn.planning.search import search_together
from accnn.quantization.conversion import LayerPrecision
from accnn.timing import low_precision

__all__ = ["Request", "BudgetAllocator", "choose_layers", "pinned_layers", "select_ranks", "some"]


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
    (found,) = sweep(accelerator, request, [request.ratio])
    if isinstance(found, AccnnError):
        raise found
    return found


def sweep(accelerator, request, ratios):
    """:func:`select_ranks` for several ratios, of one survey, one table of sensitivities and one SVD a layer.

    Parameters
    ----------
    accelerator : Accelerator
    request : Request
        Of which the ratio does not matter.
    ratios : sequence of float

    Returns
    -------
    list of (Plan or AccnnError)
        In the order of `ratios`; a TargetError where one cannot be reached, an AccnnError where what was planned for it
        cannot be timed, or not well enough.

    Raises
    ------
    AccnnError
        See :func:`select_ranks`.
    """
    with contextlib.nullcontext() if costs.get(request.cost).is_analytic else measuring_process(request.measuring):
        return _plans(accelerator, request, ratios)


def _plans(accelerator, request, ratios):
    """list of (Plan or TargetError): see :func:`sweep`."""
    requests = [replace(request, ratio=ratio) for ratio in ratios]
    rule, cost = ranks.get(request.rank_selection), costs.get(request.cost)
    precisions = layer_precisions(accelerator, request)
    profiler = None if cost.is_analytic else LatencyProfiler(
        accelerator, request.measuring, precisions={name: one.precision for name, one in precisions.items()})
    _check_rule(accelerator, rule, cost)
    if not rule.needs_decompositions and request.measuring.cache is not None:
        accelerator.remember(request.measuring.cache, request.measuring.keep)
    pinned = pinned_layers(accelerator, request)
    _check_initial(accelerator, request, rule)
    candidates, left = choose_layers(accelerator, request, rule)
    _tell_unused(request, rule, left)
    if profiler is not None:
        cost = survey(profiler, candidates, pinned, request.align, _initial_picks(request, rule, candidates),
                      _free_to_stay(accelerator, request, rule, candidates, precisions))
    if rule.needs_decompositions:
        accelerator.decompose(candidates)
    allocators = [BudgetAllocator(accelerator, candidates, one, cost, rule.select, pinned,
                                  [name for name, one in precisions.items() if one.precision == INT8])
                  for one in requests]
    chosen = _chosen(accelerator, allocators, cost, profiler)
    return [one if isinstance(one, AccnnError) else
            _plan(accelerator, allocator, dict(precisions), _rows(
                accelerator, allocator.request, cost, dict(one[0].picks, **pinned), left), *one)
            for allocator, one in zip(allocators, chosen)]


def _chosen(accelerator, allocators, cost, profiler):
    """list of ((Selection, dict) or AccnnError): for every ratio; what was learnt of energies is kept."""
    try:
        return list(map(_solved, allocators)) if profiler is None else search_together(allocators, cost, profiler)
    finally:
        if allocators[0].request.measuring.keep:
            accelerator.keep()


def _plan(accelerator, allocator, precisions, rows, selection, found):
    """Plan: rows with their precisions, and how they came about."""
    if selection.remark:
        say(selection.remark)
    precisions.update((name, LayerPrecision(name, FP32, why)) for name, why in selection.in_fp32.items())
    rows = tuple(replace(row, precision=precisions[row.layer].precision, why_fp32=precisions[row.layer].reason or None)
                 for row in rows)
    return Plan(rows, dict(_made_by(allocator, selection), **found), evidence_of(accelerator, rows))


def _solved(allocator):
    """(Selection, dict) or TargetError: see :func:`accnn.planning.search.search_together`; nothing is timed."""
    try:
        return allocator.solve(), {}
    except TargetError as error:
        return error


def _made_by(allocator, selection):
    """dict: what a reader of the plan may want to know, whatever the cost."""
    return dict(allocator.request.as_json(), reached=allocator.speed_up(selection.cost), objective=selection.objective,
                bound=selection.bound, remark=selection.remark)


def layer_precisions(accelerator, request):
    """dict of str to LayerPrecision: of every layer, that of the request, or float32 and why.

    Raises
    ------
    AccnnError
        No layer can be in the precision asked for, or the engine has none such here, or cannot run the network; a
        pattern of `keep_fp32` matches no layer.
    """
    measuring = request.measuring
    if measuring.imported is None and (request.precision != FP32 or measuring.engine != engines.DEFAULT):
        engines.get(measuring.engine).check(request.precision)
        engines.get(measuring.engine).check_network(accelerator.model, accelerator.input_shapes)
    if measuring.engine != engines.DEFAULT:
        return {name: LayerPrecision(name, request.precision, "") for name in accelerator.specs}
    _check_patterns(accelerator, request.keep_fp32)
    kept = [name for name in accelerator.specs if matches(name, request.keep_fp32)]
    found = low_precision.layer_precisions(accelerator.model, accelerator.specs, request.precision, kept)
    if found and all(one.precision != request.precision for one in found.values()):
        raise AccnnError("no layer of %s can be %s: %s" % (
            accelerator.model.prefix, request.precision, _by_reason({one.layer: one.reason for one in found.values()})))
    return found


def _free_to_stay(accelerator, request, rule, candidates, precisions):
    """list of str: layers in INT8 that may as well stay in float32, because images tell what INT8 costs them.

    In other engines none: what these make INT8 beside a layer is theirs to choose.
    """
    is_ours = request.measuring.engine == engines.DEFAULT
    if accelerator.responses is None or not rule.chooses_precisions or not is_ours:
        return []
    names = dict.fromkeys(candidate.name for candidate in candidates)  # in the network's order, run after run
    return [name for name in names if precisions[name].precision == INT8]


def _check_rule(accelerator, rule, cost):
    """Refuse a rank rule without the images, or without the costs of all ranks, that it needs."""
    if rule.needs_images and accelerator.responses is None:
        raise AccnnError("the rank rule %s weighs what the layers answer to real images: give `responses`, or choose "
                         "another `rank_selection`" % rule.name)
    if rule.any_rank and not cost.is_analytic:
        raise AccnnError("the rank rule %s chooses among ranks of which the cost %s does not know all: choose another "
                         "`rank_selection`" % (rule.name, cost.name))


def _initial_picks(request, rule, candidates):
    """list of (Candidate, rank): where a rank rule starts that reads initial ranks; of several methods the first."""
    firsts = {candidate.name: candidate for candidate in reversed(candidates)}
    return [(firsts[name], rank) for name, rank in request.initial_ranks.items()
            if name in firsts and "initial" in rule.reads]


def _rows(accelerator, request, cost, picks, left):
    """Yield a Row for every layer."""
    for spec in accelerator.layers:
        pick = picks.get(spec.name)
        if pick:
            yield Row(spec.name, spec.kind, pick[0].method.name, pick[1])
        else:
            yield Row(spec.name, spec.kind,
                      reason=left.get(spec.name) or _why_kept(accelerator, spec, request, cost))


def _check_initial(accelerator, request, rule):
    """Refuse initial ranks that do not fit the network; say when the rule looks at no such wishes."""
    for name, rank in request.initial_ranks.items():
        _checked(accelerator, request, name, rank)
    for wish, given, setting in (("margin", request.margin != ranks.MARGIN, "margin"),
                                 ("initial", request.initial_ranks, "initial_ranks")):
        if given and wish not in rule.reads:
            say("the rank rule %s looks at no `%s`: ignoring it" % (rule.name, setting))


def _tell_unused(request, rule, left):
    """Say which initial ranks start nothing."""
    stay = dict(left, **dict.fromkeys((name for name, _ in request.fixed), "`fixed`"))
    unused = ["%s (%s)" % (name, stay[name]) for name in request.initial_ranks if name in stay]
    if unused and "initial" in rule.reads:
        say("initial ranks of layers that the rank rule does not plan are ignored: %s" % some(unused))


def _why_kept(accelerator, spec, request, cost):
    """Why a rank rule left a layer alone that it could have split."""
    candidates = [accelerator.candidate(spec.name, method) for method in request.methods_for(spec)
                  if not accelerator.refusal(spec, method)]
    # By MACs the smallest rank is the cheapest; by latency any may be.
    most = 1 if cost.is_analytic else None
    if any(cost.chain(spec, candidate.chain(rank)) < cost.layer(spec)
           for candidate in candidates for rank in cost.ranks(candidate, request.align)[:most]):
        return "saving elsewhere loses less"
    return "no rank makes it cheaper" + (" (`align=%d`)" % request.align if request.align > 1 else "")


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
            raise AccnnError("`fixed=%s`: this layer is fully connected, add `fc=True`" % name)
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


def _check_patterns(accelerator, patterns):
    for pattern in patterns:
        check_pattern(accelerator.model.prefix, list(accelerator.specs), pattern)

"""Before the first stage: ranks, the order of the layers, their groups, and whether anything stays to be trained."""
from accnn import costs, methods
from accnn.cli import calibration
from accnn.core.errors import AccnnError
from accnn.core.layers import CONVOLUTION
from accnn.core.progress import say
from accnn.core.threads import one_blas_thread
from accnn.iterative.restoring import check_restorable, fitness
from accnn.iterative.stages import FITNESS, TOGETHER, grouped, ordered
from accnn.iterative.state import State
from accnn.planning.planner import select_ranks


def choose_ranks(args, accelerator, config, request):
    """Plan: of the config, else by the rank rule that the options name.

    Raises
    ------
    AccnnError
        It does not fit the network, splits no layer, or one into a chain that no dense kernel is equal to.
    """
    if config:
        plan = accelerator.check(config)
    else:
        with calibration.calibrated(args, accelerator, args.save_model):
            plan = select_ranks(accelerator, request)
    if not plan.chosen():
        raise AccnnError("the plan splits no layer of %s: ask for more" % accelerator.model.prefix)
    for row in plan.chosen():
        spec = accelerator.specs[row.layer]
        check_restorable(spec, methods.get(row.method).chain(spec, row.rank))
    return plan


def new_state(args, accelerator, settings, plan):
    """State: the layers of a plan sorted and grouped, nothing done."""
    rows = {row.layer: row for row in plan.chosen()}
    names = ordered(list(rows), _all_fitness(accelerator, rows) if args.order == FITNESS else None)
    if len(names) < args.groups:
        say("the plan splits %d layers: as many groups, not %d" % (len(names), args.groups))
    pieces = [names] if args.one_pass == TOGETHER else grouped(names, args.groups)
    layers = [{"layer": name, "op": rows[name].op, "method": rows[name].method, "rank": rows[name].rank,
               "group": number} for number, piece in enumerate(pieces, 1) for name in piece]
    return State(args.save_model, settings, layers, plan.made_by, _macs(accelerator, rows))


def counted_groups(args, state):
    """int: groups, of which there are no more than layers; also where all of these come together."""
    return min(args.groups, len(state.layers))


def check_anything_left(accelerator, state, trained):
    """Refuse a plan that leaves none of the parameters `trained` once all chains are made and held."""
    specs = [accelerator.specs[item["layer"]] for item in state.layers]
    if not trained - {name for spec in specs for name in (spec.weight, spec.bias)}:
        raise AccnnError("every layer of %s that could be trained is decomposed and held fixed in the end: say "
                         "--unfreeze, --exclude a layer, or --fine-tune-epochs 0" % accelerator.model.prefix)


def _all_fitness(accelerator, rows):
    candidates = {name: accelerator.candidate(name, methods.get(row.method)) for name, row in rows.items()}
    accelerator.decompose(list(candidates.values()))
    with one_blas_thread():
        return {name: fitness(candidate, rows[name].rank) for name, candidate in candidates.items()}


def _macs(accelerator, rows):
    """dict: of all convolutions, before and after."""
    cost, before, after = costs.get("macs"), 0, 0
    for spec in accelerator.layers:
        if spec.kind == CONVOLUTION and spec.part is not None:
            row = rows.get(spec.name)
            before += cost.layer(spec)
            after += cost.chain(spec, methods.get(row.method).chain(spec, row.rank)) if row else cost.layer(spec)
    return {"before": before, "after": after}

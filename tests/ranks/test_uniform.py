import math

import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import TargetError
from accnn.planning.accelerator import Accelerator
from networks import chain_model

MACS = costs.get("macs")


def _options(bench, method, align):
    """For every convolution (cost, rank) of what is cheaper, and (cost, None) of leaving it alone, ascending."""
    return {spec.name: [(MACS.chain(spec, method.chain(spec, rank)), rank)
                        for rank in bench.candidate(spec.name, method).ranks(align)
                        if MACS.chain(spec, method.chain(spec, rank)) < MACS.layer(spec)] + [(MACS.layer(spec), None)]
            for spec in bench.layers if spec.op == "Convolution"}


@pytest.mark.parametrize("align", [1, 4])
@pytest.mark.parametrize("name", ["vh", "channel", "3d"])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.0, 2.6])
def test_the_smallest_speed_up_that_meets_the_budget(ratio, name, align):
    """All speed-ups that make a difference tried."""
    bench = Accelerator(chain_model(widths=(8, 16, 24)))
    options = _options(bench, methods.get(name), align)
    wholes = {layer: some[-1][0] for layer, some in options.items()}

    def choice(speed_up):
        return {layer: max([o for o in some if wholes[layer] / o[0] >= speed_up] or [min(some, key=lambda o: o[0])],
                           key=lambda o: o[0]) for layer, some in options.items()}

    every = sorted({wholes[layer] / cost for layer, some in options.items() for cost, _ in some})
    fits = [s for s in every if sum(cost for cost, _ in choice(s).values()) <= sum(wholes.values()) / ratio]
    plan = bench.select_ranks(ratio, rank_selection="uniform", method=name, align=align)
    assert plan.made_by["objective"] == plan.made_by["bound"] == fits[0]
    chosen = {row.layer: row.rank for row in plan.rows if row.op == "Convolution"}
    assert chosen == {layer: rank for layer, (_, rank) in choice(fits[0]).items()}
    assert plan.made_by["reached"] >= ratio


@pytest.mark.parametrize("name", ["vh", "channel", "3d"])
def test_an_unreachable_ratio_names_the_best_one(name):
    bench = Accelerator(chain_model())
    with pytest.raises(TargetError, match="the best is") as refused:
        bench.select_ranks(500.0, rank_selection="uniform", method=name)
    best = float(str(refused.value).split("the best is ")[1].split("x")[0])
    options = _options(bench, methods.get(name), 1).values()
    assert best == math.floor(100 * sum(some[-1][0] for some in options) / sum(min(some)[0] for some in options)) / 100
    bench.select_ranks(best, rank_selection="uniform", method=name)


class _Bumpy(costs.Cost):
    """Milliseconds do not grow with every rank: odd ones are slow."""

    def chain(self, spec, chain):
        return 100.0 if len(chain) == 1 else chain[0].outputs * 10.0 + 15 * (chain[0].outputs % 2)


def test_costs_that_do_not_grow_with_the_rank():
    bench = Accelerator(chain_model())
    candidate = bench.candidate("conv2", methods.get("vh"))
    picks = {}
    for budget in range(20, 101):
        pick = ranks.get("uniform").select(ranks.Problem([candidate], budget, _Bumpy())).picks["conv2"]
        picks[budget] = pick and pick[1]
    assert [picks[budget] for budget in (20, 39, 40, 59, 60, 85, 99, 100)] == [2, 2, 4, 4, 6, 8, 8, None]
    taken = [rank for rank in picks.values() if rank]
    assert taken == sorted(taken)

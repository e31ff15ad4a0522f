import time

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import LayerSpec, SubConv
from accnn.planning.accelerator import Accelerator
from networks import chain_model

MACS = costs.get("macs")


class Responses:
    """Eigenvalues that fall differently in every layer, without images."""

    def __init__(self, seed=0):
        self._seed = seed

    def energies(self, spec):
        """float64, largest first."""
        rng = np.random.RandomState(self._seed + len(spec.name) + spec.part.outputs)
        return np.sort(rng.uniform(size=spec.part.outputs) ** rng.randint(2, 9))[::-1]

    def points(self, layer, method):
        """No divergence was looked at."""
        return None


def _bench(seed=0, **options):
    bench = Accelerator(chain_model(**dict({"widths": (8, 16, 24, 32)}, **options)))
    bench.responses = Responses(seed)
    return bench


def _papers_loop(bench, names, method, budget, align=1):
    """Section 3.4 to the letter, with a list in the place of a heap: d' of every layer when the budget is met."""
    specs = {name: bench.specs[name] for name in names}
    d = {name: spec.part.outputs for name, spec in specs.items()}
    family = {name: {rank[1] if isinstance(rank, tuple) else rank: rank
                     for rank in bench.candidate(name, method).ranks(align)} for name in names}

    def cost(name):
        layer = MACS.layer(specs[name])
        if d[name] == specs[name].part.outputs:
            return layer
        return min(layer, MACS.chain(specs[name], method.chain(specs[name], family[name][d[name]])))

    while sum(map(cost, names)) > budget:
        measures = {}
        for name, spec in specs.items():
            lower = max((k for k in family[name] if k < d[name]), default=None)
            if lower:
                sigma = bench.responses.energies(spec)
                saved = MACS.layer(spec) * (d[name] - lower) / spec.part.outputs
                measures[name] = sigma[lower:d[name]].sum() / sigma[:d[name]].sum() / saved, lower
        name = min(measures, key=lambda name: measures[name][0])
        d[name] = measures[name][1]
    return {name: family[name][d[name]] if cost(name) < MACS.layer(specs[name]) else None for name in names}


@pytest.mark.parametrize("ratio", [1.0, 1.1, 1.7, 2.5, 3.5])
@pytest.mark.parametrize("name, align", [("channel", 1), ("channel", 4), ("3d", 1), ("3d", 8)])
@pytest.mark.parametrize("seed", range(2))
def test_it_is_the_papers_loop(ratio, name, align, seed):
    bench, planned = _bench(seed), ["conv2", "conv3", "conv4"]
    total, first = (sum(MACS.layer(bench.specs[n]) for n in names) for names in (["conv1"] + planned, ["conv1"]))
    plan = bench.select_ranks(ratio, rank_selection="greedy", method=name, align=align)
    chosen = {row.layer: row.rank for row in plan.rows if row.layer in planned}
    assert chosen == _papers_loop(bench, planned, methods.get(name), total / ratio - first, align)
    assert plan.made_by["reached"] >= ratio
    shares = [1.0 if rank is None else _share(bench, layer, rank) for layer, rank in chosen.items()]
    assert plan.made_by["objective"] == pytest.approx(np.log(shares).sum(), abs=1e-9)
    assert plan.made_by["objective"] <= plan.made_by["bound"] == 0


def _share(bench, layer, rank):
    sigma = bench.responses.energies(bench.specs[layer])
    return sigma[:rank[1] if isinstance(rank, tuple) else rank].sum() / sigma.sum()


def test_the_first_convolution_stays_unless_it_is_named():
    bench = _bench()
    rows = {row.layer: row for row in bench.select_ranks(2.0, rank_selection="greedy", method="channel").rows}
    assert "Zhang" in rows["conv1"].reason and rows["conv2"].rank
    named = bench.select_ranks(1.0, rank_selection="greedy", method="channel", layers=["conv1", "*"])
    assert "Zhang" not in {row.layer: row for row in named.rows}["conv1"].reason
    pinned = bench.select_ranks(2.0, rank_selection="greedy", method="channel", fixed={"conv1": 3})
    assert {row.layer: row.rank for row in pinned.rows}["conv1"] == 3


def test_an_unreachable_ratio_names_the_best_one():
    bench = _bench()
    with pytest.raises(TargetError, match="the best is") as refused:
        bench.select_ranks(500.0, rank_selection="greedy", method="3d")
    best = float(str(refused.value).split("the best is ")[1].split("x")[0])
    bench.select_ranks(best, rank_selection="greedy", method="3d")
    with pytest.raises(TargetError):
        bench.select_ranks(best + 0.01, rank_selection="greedy", method="3d")


def test_it_needs_images_and_ranks_of_responses():
    with pytest.raises(AccnnError, match="give `responses`"):
        Accelerator(chain_model()).select_ranks(2.0, rank_selection="greedy", method="channel")
    with pytest.raises(AccnnError, match="vh do not bound the dimension of responses"):
        _bench().select_ranks(2.0, rank_selection="greedy", method="vh")


def test_layers_without_any_energy_go_first():
    bench = _bench()
    full = bench.responses.energies
    bench.responses.energies = lambda spec: np.zeros(spec.part.outputs) if spec.name == "conv3" else full(spec)
    plan = bench.select_ranks(1.3, rank_selection="greedy", method="channel")
    assert [row.layer for row in plan.chosen()] == ["conv3"] and plan.made_by["objective"] == 0


def test_the_steps_of_vgg16_take_no_time():
    """4000 of them, each on a heap: hundredths of a second."""
    widths = [(64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
              (256, 512, 28)] + [(512, 512, 28)] * 2 + [(512, 512, 14)] * 3
    specs = [LayerSpec("conv%d" % i, SubConv("", c, n, (3, 3), pad=(1, 1)), (c, side, side), "w", "b", "Convolution")
             for i, (c, n, side) in enumerate(widths)]
    candidates = [ranks.Candidate(spec, methods.get("3d"), None) for spec in specs]
    budget = sum(map(MACS.layer, specs)) / 20
    started = time.process_time()
    chosen = ranks.get("greedy").select(ranks.Problem(candidates, budget, MACS, responses=Responses()))
    assert chosen.cost <= budget and time.process_time() - started <= 1

"""The rule that loses least by a table of divergences, against every combination there is."""
from itertools import product

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.planning.accelerator import Accelerator
from accnn.ranks.curve import Curve, measured_ranks
from networks import chain_model

MACS = costs.get("macs")


class Responses:
    """Divergences that fall differently in every layer and with every method, without images."""

    def __init__(self, seed=0, silent=()):
        self._seed, self._silent, self.asked = seed, silent, []

    def curves(self, candidates):
        """dict of Curve; nothing is known of the layers that are `silent`."""
        self.asked.append([one.name for one in candidates])
        return {(one.name, one.method.name): Curve(one, self.points(one)) for one in candidates
                if one.name not in self._silent and measured_ranks(one)}

    def points(self, candidate):
        """list of (rank, float): falling with the rank, but for some noise."""
        rng = np.random.RandomState(self._seed + sum(map(ord, candidate.name + candidate.method.name)))
        some = measured_ranks(candidate)
        return list(zip(some, np.sort(10 ** rng.uniform(-4, 0, len(some)))[::-1] * rng.uniform(0.8, 1.2, len(some))))


def bench_of(seed=0, silent=()):
    bench = Accelerator(chain_model(widths=(6, 8, 10)))
    bench.responses = Responses(seed, silent)
    return bench


def best(bench, candidates, budget, align):
    """The least sum of divergences within the budget, of all combinations; every layer may stay."""
    curves, layers = bench.responses.curves(candidates), {}
    for one in candidates:
        options = layers.setdefault(one.name, [(MACS.layer(one.spec), 0.0)])
        if (one.name, one.method.name) in curves:
            curve = curves[one.name, one.method.name]
            options += [(MACS.chain(one.spec, one.chain(rank)), curve.at(rank)) for rank in one.ranks(align)]
    # What costs more and loses more than another is never needed, and all combinations would be too many.
    for name, options in layers.items():
        layers[name] = [a for a in options if not any(b[0] <= a[0] and b[1] < a[1] for b in options)]
    return min(sum(value for _, value in some) for some in product(*layers.values())
               if sum(cost for cost, _ in some) <= budget)


@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.0, 3.5])
@pytest.mark.parametrize("name, align", [("vh", 1), ("vh", 2), ("channel", 1), ("3d", 1), ("3d", 2)])
@pytest.mark.parametrize("seed", range(2))
def test_no_combination_loses_less(ratio, name, align, seed):
    bench = bench_of(seed)
    plan = bench.select_ranks(ratio, rank_selection="sensitivity", method=name, align=align)
    candidates = [bench.candidate(layer, methods.get(name)) for layer in ("conv1", "conv2", "conv3")]
    budget = sum(MACS.layer(one.spec) for one in candidates) / ratio
    assert -plan.made_by["objective"] == pytest.approx(best(bench, candidates, budget, align), rel=1e-9, abs=1e-12)
    assert plan.made_by["reached"] >= ratio and plan.made_by["bound"] - plan.made_by["objective"] <= 1e-6
    curves = bench.responses.curves(candidates)
    lost = sum(curves[row.layer, name].at(row.rank) for row in plan.chosen())
    assert lost == pytest.approx(-plan.made_by["objective"], abs=1e-12)


def test_fully_connected_layers_too():
    bench = bench_of()
    plan = bench.select_ranks(2.0, rank_selection="sensitivity", fc=True)
    assert {row.method for row in plan.chosen()} == {"vh", "fc-svd"} or {row.method for row in plan.chosen()} == {"vh"}
    candidates = [bench.candidate(spec.name, methods.get(methods.DEFAULT[spec.op])) for spec in bench.layers]
    budget = sum(MACS.layer(one.spec) for one in candidates) / 2
    assert -plan.made_by["objective"] == pytest.approx(best(bench, candidates, budget, 1), rel=1e-9)
    bench = bench_of()
    chosen = bench.select_ranks(1.0, rank_selection="sensitivity", fc=True, fixed={"fc1": 3}).chosen()
    assert [(row.layer, row.rank) for row in chosen] == [("fc1", 3)]


@pytest.mark.parametrize("seed", range(4))
def test_it_chooses_among_methods(seed):
    bench = bench_of(seed)
    candidates = [bench.candidate(layer, methods.get(name)) for layer in ("conv1", "conv2", "conv3")
                  for name in ("vh", "channel", "3d")]
    budget = sum(MACS.layer(bench.specs[layer]) for layer in ("conv1", "conv2", "conv3")) / 2
    problem = ranks.Problem(candidates, budget, MACS, responses=bench.responses)
    chosen = ranks.get("sensitivity").select(problem)
    assert chosen.cost <= budget
    assert -chosen.objective == pytest.approx(best(bench, candidates, budget, 1), rel=1e-9)


def test_layers_of_which_nothing_is_known_stay():
    bench = bench_of(silent=["conv2"])
    plan = bench.select_ranks(1.3, rank_selection="sensitivity")
    assert "conv2" not in {row.layer for row in plan.chosen()} and plan.made_by["reached"] >= 1.3


def test_fixed_layers_are_not_measured():
    bench = bench_of()
    bench.select_ranks(1.5, rank_selection="sensitivity", fixed={"conv2": 3})
    assert bench.responses.asked == [["conv1", "conv3"]]


def test_an_unreachable_ratio_names_the_best_one():
    bench = bench_of()
    with pytest.raises(TargetError, match="the best is") as refused:
        bench.select_ranks(500.0, rank_selection="sensitivity")
    number = float(str(refused.value).split("the best is ")[1].split("x")[0])
    bench.select_ranks(number, rank_selection="sensitivity")


def test_it_needs_images():
    with pytest.raises(AccnnError, match="sensitivity weighs.*give `responses`"):
        Accelerator(chain_model()).select_ranks(2.0, rank_selection="sensitivity")

"""The rule that loses least by a table of divergences, against every combination there is."""
from itertools import product

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.costs import Cost
from accnn.planning.accelerator import Accelerator
from accnn.ranks.curve import Curve, Noise, measured_ranks
from networks import chain_model

MACS = costs.get("macs")


class Responses:
    """Divergences that fall differently in every layer and with every method, without images."""

    def __init__(self, seed=0, silent=()):
        self._seed, self._silent, self.asked = seed, silent, []

    def curves(self, candidates):
        """dict of Curve; nothing is known of the layers that are `silent`."""
        self.asked.append([one.name for one in candidates])
        return {(one.name, one.method.name): Curve(one, self.falling(one)) for one in candidates
                if one.name not in self._silent and measured_ranks(one)}

    def int8_noise(self, candidates):
        """dict: what INT8 adds, to layers 0.2, to chains some share of that."""
        found = {one.name: 0.2 for one in candidates}
        found.update(((one.name, one.method.name), Noise(one, [(some[0], 0.1), (some[-1], 0.01)]))
                     for one in candidates for some in [measured_ranks(one)])
        return found

    def points(self, layer, method):
        """None: nothing to be drawn."""

    def falling(self, candidate):
        """list of (rank, float): falling with the rank, but for some noise."""
        rng = np.random.RandomState(self._seed + sum(map(ord, candidate.name + candidate.method.name)))
        some = measured_ranks(candidate)
        return list(zip(some, np.sort(10 ** rng.uniform(-4, 0, len(some)))[::-1] * rng.uniform(0.8, 1.2, len(some))))


def bench_of(seed=0, silent=()):
    bench = Accelerator(chain_model(widths=(6, 8, 10)))
    bench.responses = Responses(seed, silent)
    return bench


def best(bench, candidates, budget, align, int8=()):
    """The least sum of divergences within the budget, of all combinations; every layer may stay."""
    curves, layers = bench.responses.curves(candidates), {}
    noise = bench.responses.int8_noise([one for one in candidates if one.name in int8])
    for one in candidates:
        key = one.name, one.method.name
        options = layers.setdefault(one.name, [(MACS.layer(one.spec), noise.get(one.name, 0.0))])
        if key in curves:
            options += [(MACS.chain(one.spec, one.chain(rank)),
                         curves[key].at(rank) + (noise[key].at(rank) if key in noise else 0))
                        for rank in one.ranks(align) if not int8 or curves[key].covers(rank)
                        and MACS.chain(one.spec, one.chain(rank)) < MACS.layer(one.spec)]
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


@pytest.mark.parametrize("ratio", [1.1, 2.0])
def test_what_int8_adds_counts_of_layers_too(ratio):
    bench = bench_of()
    candidates = [bench.candidate(layer, methods.get(name)) for layer in ("conv1", "conv2", "conv3")
                  for name in ("vh", "channel")]
    budget = sum(MACS.layer(bench.specs[layer]) for layer in ("conv1", "conv2", "conv3")) / ratio
    chosen = ranks.get("sensitivity").select(ranks.Problem(candidates, budget, MACS, responses=bench.responses,
                                                           int8=frozenset(["conv1", "conv3"])))
    assert -chosen.objective == pytest.approx(best(bench, candidates, budget, 1, ("conv1", "conv3")), rel=1e-9)


class TwoPrecisions(Cost):
    """MACs, of which INT8 does four at once; float32 also converts what it reads."""

    name = "two precisions"
    float_places = {"conv1": None, "conv2": None, "conv3": None}

    def __init__(self, in_fp32=()):
        self.in_fp32 = frozenset(in_fp32)

    def with_float32(self, names):
        """TwoPrecisions: in which these are float32."""
        return TwoPrecisions(names)

    def chain(self, spec, chain):
        """float."""
        macs = MACS.chain(spec, chain)
        return macs + 3000 if spec.name in self.in_fp32 else macs / 4


class Louder(Responses):
    """INT8 costs the layers differently."""

    def int8_noise(self, candidates):
        """dict: of conv1 the most, of conv3 hardly anything."""
        found = super().int8_noise(candidates)
        return dict(found, **{name: noise for name, noise in (("conv1", 0.5), ("conv2", 0.2), ("conv3", 1e-3))})


@pytest.mark.parametrize("share", [0.15, 0.25, 0.4, 0.7, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_method_rank_and_precision_are_one_choice(share, seed):
    """The best of all combinations, counted here one by one; one layer stays in INT8 whatever it costs."""
    bench, cost, names = bench_of(), TwoPrecisions(), ("conv1", "conv2", "conv3")
    bench.responses = Louder(seed)
    candidates = [bench.candidate(layer, methods.get(name)) for layer in names for name in ("vh", "channel")]
    budget = share * sum(MACS.layer(bench.specs[layer]) for layer in names)
    curves, noise, layers = bench.responses.curves(candidates), bench.responses.int8_noise(candidates), {}
    for one in candidates:
        key = one.name, one.method.name
        for in_fp32 in (False, True)[:1 + (one.name != "conv3")]:
            priced, own = TwoPrecisions([one.name] * in_fp32), 0 if in_fp32 else noise[one.name]
            options = layers.setdefault(one.name, [])
            options.append((priced.layer(one.spec), own, in_fp32))
            options += [(priced.chain(one.spec, one.chain(rank)), curves[key].at(rank) + (
                0 if in_fp32 else noise[key].at(rank)), in_fp32) for rank in one.ranks() if curves[key].covers(rank)
                and priced.chain(one.spec, one.chain(rank)) < priced.layer(one.spec)]
    for name, options in layers.items():
        layers[name] = [a for a in options if not any(b[0] <= a[0] and b[1] < a[1] for b in options)]
    wanted = min((some for some in product(*layers.values()) if sum(one[0] for one in some) <= budget),
                 key=lambda some: sum(one[1] for one in some))
    chosen = ranks.get("sensitivity").select(ranks.Problem(
        candidates, budget, cost, responses=bench.responses, int8=frozenset(names)))
    assert -chosen.objective == pytest.approx(sum(one[1] for one in wanted), rel=1e-9)
    assert set(chosen.in_fp32) == {name for name, one in zip(layers, wanted) if one[2]}
    if share == 2.0:
        assert chosen.in_fp32["conv1"] == "in INT8 it alone costs the outputs 500 mnat"


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

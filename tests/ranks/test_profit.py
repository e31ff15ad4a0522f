import json
import math
import time
from fractions import Fraction

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import LayerSpec, SubConv
from accnn.methods import Decomposition
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from networks import chain_model

MACS, VH = costs.get("macs"), methods.get("vh")


def _bench(**options):
    return Accelerator(chain_model(**dict({"widths": (8, 16, 24, 32)}, **options)))


def _cheaper(bench, name, method, align=1):
    """[(the paper's R, rank, cost)] of the ranks that make a layer cheaper."""
    spec = bench.specs[name]
    priced = [(place, rank, MACS.chain(spec, method.chain(spec, rank)))
              for place, rank in enumerate(bench.candidate(name, method).ranks(align), 1)]
    return [one for one in priced if one[2] < MACS.layer(spec)]


def _algorithm_1(layers, target, epsilon, most=100000):
    """The paper's loop to the letter, in fractions; its ranks, or None where it does not end.

    `layers` is a list of [R, F, N, {R: N'}].
    """
    def speed():
        return Fraction(sum(N for _, _, N, _ in layers), sum(costs_of[R] for R, _, _, costs_of in layers))

    layers = [[R, Fraction(F), N, costs_of] for R, F, N, costs_of in layers]
    S = speed()
    for _ in range(most):
        if not abs(S - target) > epsilon:
            return [R for R, _, _, _ in layers]
        if S < target:
            T = max((one for one in layers if one[0] - 1 in one[3]), key=lambda one: one[1] * one[2])
            T[1] = T[1] * Fraction(T[0] - 1, T[0])
            T[0] -= 1
        else:
            T = min((one for one in layers if one[0] + 1 in one[3]), key=lambda one: one[1] * one[2])
            T[1] = T[1] * Fraction(T[0] + 1, T[0])
            T[0] += 1
        S = speed()
    return None


def _to_the_letter(bench, method, ratio, margin, initial, align=1):
    layers, families = [], []
    for name, start in initial.items():
        family = _cheaper(bench, name, method, align)
        (size,) = (R for R, rank, _ in family if rank == start)
        fitness = bench.candidate(name, method).decomposition.fitness(start)
        layers.append([size, fitness, MACS.layer(bench.specs[name]), {R: cost for R, _, cost in family}])
        families.append({R: rank for R, rank, _ in family})
    half = Fraction(margin) / 2  # the ratio is a limit, so all of the margin lies above it
    found = _algorithm_1(layers, Fraction(ratio) + half, half)
    return found and {name: family[R] for name, family, R in zip(initial, families, found)}


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.1])
@pytest.mark.parametrize("name, align", [("vh", 1), ("channel", 1), ("3d", 1), ("channel", 4), ("3d", 2)])
@pytest.mark.parametrize("start", ["low", "high", "uniform", "mixed"])
def test_it_is_algorithm_1(ratio, name, align, start):
    bench, method = _bench(), methods.get(name)
    layers = ["conv1", "conv2", "conv3", "conv4"]
    family = {layer: [rank for _, rank, _ in _cheaper(bench, layer, method, align)] for layer in layers}
    place = {"low": [0, 0, 0, 0], "high": [-1, -1, -1, -1], "mixed": [0, -1, 0, -1]}.get(start)
    if place is None:
        rows = bench.select_ranks(ratio, rank_selection="uniform", method=name, align=align).rows
        initial = {row.layer: row.rank or family[row.layer][-1] for row in rows if row.layer in layers}
        wish = {}
    else:
        initial = {layer: family[layer][at] for layer, at in zip(layers, place)}
        wish = {"initial_ranks": initial}
    margin = 0.05 if align == 1 else 0.4
    plan = bench.select_ranks(ratio, rank_selection="profit", method=name, align=align, margin=margin, **wish)
    expected = _to_the_letter(bench, method, ratio, margin, initial, align)
    if expected is None:
        assert "steps lead over it both ways" in plan.made_by["remark"]
    else:
        assert {row.layer: row.rank for row in plan.rows if row.layer in layers} == expected
        assert plan.made_by["remark"] is None and plan.made_by["reached"] <= ratio + margin
    assert plan.made_by["reached"] >= ratio and plan.made_by["objective"] <= plan.made_by["bound"] == 0


def test_the_letter_is_reached_often_enough_to_mean_something():
    bench = _bench()
    for ratio in (1.5, 2.0, 3.1):
        for rank in (2, 3):
            initial = dict.fromkeys(["conv1", "conv2", "conv3", "conv4"], rank)
            assert _to_the_letter(bench, VH, ratio, 0.05, initial)


class _Fixed(Decomposition):
    """Tells one fitness, and remembers which ranks it was asked for."""

    def __init__(self, fitness):
        self._fitness, self.asked = fitness, []

    def factors(self, weight, rank):
        raise AssertionError

    def fitness(self, rank):
        self.asked.append(rank)
        return self._fitness


def _candidates(fitness, widths=(16, 32, 32, 64), side=14):
    made = []
    for i, (one, channels, filters) in enumerate(zip(fitness, widths, widths[1:] + widths[-1:])):
        part = SubConv("", channels, filters, (3, 3), pad=(1, 1))
        candidate = ranks.Candidate(LayerSpec("conv%d" % i, part, (channels, side, side), "w", "b", "Convolution"), VH,
                                    None)
        candidate._decomposition = _Fixed(one)
        made.append(candidate)
    return made


def _select(candidates, ratio, **options):
    whole = sum(MACS.layer(one.spec) for one in candidates)
    return ranks.get("profit").select(ranks.Problem(candidates, whole / ratio, MACS, **options))


def test_the_fitness_of_initial_ranks_only_is_asked_for():
    candidates = _candidates([0.9, 0.5, 0.7, 0.3])
    initial = {"conv0": 20, "conv1": 5, "conv2": 30, "conv3": 7}
    chosen = _select(candidates, 2.5, initial=initial)
    assert [one.decomposition.asked for one in candidates] == [[20], [5], [30], [7]]
    objective = sum(math.log(min(1, one.decomposition.fitness(0) * chosen.picks[one.name][1] / initial[one.name]))
                    for one in candidates)
    assert chosen.objective == pytest.approx(objective)


def test_an_initial_rank_beside_the_ladder_starts_at_the_one_that_costs_nearest():
    candidates = _candidates([0.9, 0.5, 0.7, 0.3])
    _select(candidates, 2.0, align=4, initial={"conv0": 9, "conv1": 95, "conv2": 3, "conv3": 8})
    largest = max(rank for rank in candidates[1].ranks(4)
                  if MACS.chain(candidates[1].spec, VH.chain(candidates[1].spec, rank)) <
                  MACS.layer(candidates[1].spec))
    assert [one.decomposition.asked for one in candidates] == [[8], [largest], [4], [8]]


@pytest.mark.parametrize("fitness", [[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0],
                                     [-0.3, 0.2, 0.2, 0.9], [1e-12, 1.0, 1e-12, 0.5]])
@pytest.mark.parametrize("margin", [1e-9, 0.3])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.0, 7.0])
def test_it_ends_and_keeps_the_budget(fitness, margin, ratio):
    candidates = _candidates(fitness)
    whole = sum(MACS.layer(one.spec) for one in candidates)
    for initial in ({}, {"conv0": 1, "conv1": 1}, {"conv%d" % i: 1 for i in range(4)},
                    {"conv%d" % i: 96 for i in range(4)}):
        chosen = _select(candidates, ratio, margin=margin, initial=initial)
        assert chosen.cost <= whole / ratio
        assert chosen.cost == sum(MACS.chain(one.spec, VH.chain(one.spec, chosen.picks[one.name][1]))
                                  for one in candidates)
        assert bool(chosen.remark) == (whole / chosen.cost - ratio > margin)
        assert chosen.objective <= chosen.bound == 0 and np.isfinite(chosen.objective)


def test_random_cases_end_soon():
    rng = np.random.RandomState(0)
    for _ in range(60):
        candidates = _candidates(list(rng.uniform(0, 1, 4)), tuple(int(2 ** k) for k in rng.randint(2, 7, 4)))
        ratio, started = rng.uniform(1, 4), time.process_time()
        chosen = _select(candidates, ratio, margin=10 ** rng.uniform(-6, 0),
                         initial={one.name: int(rng.choice(one.ranks())) for one in candidates})
        assert chosen.cost <= sum(MACS.layer(one.spec) for one in candidates) / ratio
        assert time.process_time() - started < 2


def test_an_unmet_margin_takes_the_ranks_nearest_above():
    candidates = _candidates([0.9, 0.6, 0.7, 0.3], widths=(4, 4, 4, 8))
    chosen = _select(candidates, 1.93, margin=1e-6, initial={"conv%d" % i: 3 for i in range(4)})
    whole = sum(MACS.layer(one.spec) for one in candidates)
    assert "within 1e-06 of 1.93x (steps lead over it both ways)" in chosen.remark
    assert "%.4gx" % (whole / chosen.cost) in chosen.remark and whole / chosen.cost < 2.1


def test_ranks_that_cannot_grow_to_the_ratio():
    chosen = _select(_candidates([0.9, 0.6, 0.7, 0.3], widths=(2, 2, 2, 2)), 1.01)
    assert "no rank can grow any more" in chosen.remark


def test_an_unreachable_ratio_names_the_best_one():
    for initial in ({}, {"conv2": 3}, {"conv1": 2, "conv2": 3, "conv3": 4, "conv4": 5}):
        bench = _bench()
        with pytest.raises(TargetError, match="the best is") as refused:
            bench.select_ranks(500.0, rank_selection="profit", initial_ranks=initial)
        best = float(str(refused.value).split("the best is ")[1].split("x")[0])
        assert bench.select_ranks(best, rank_selection="profit", initial_ranks=initial).made_by["reached"] >= best
        with pytest.raises(TargetError):
            bench.select_ranks(best + 0.02, rank_selection="profit", initial_ranks=initial)


def test_layers_that_no_rank_makes_cheaper_stay():
    bench = _bench(kernel=(1, 1))
    rows = {row.layer: row for row in bench.select_ranks(1.2, rank_selection="profit", method="channel",
                                                         align=8).rows}
    assert rows["conv1"].rank is None and "no rank makes it cheaper" in rows["conv1"].reason
    assert rows["conv4"].rank % 8 == 0


def test_the_margin_is_one_of_the_networks_speed_up():
    """With layers that stay, the speed-up of the rest is another one."""
    plan = _bench().select_ranks(1.5, rank_selection="profit", exclude=["conv2"], fixed={"conv3": 5}, margin=0.04)
    assert 1.5 <= plan.made_by["reached"] <= 1.54 and plan.made_by["remark"] is None


def test_a_method_without_fitness_is_refused():
    candidates = _candidates([None, 0.5, 0.5, 0.5])
    with pytest.raises(AccnnError, match="vh does not tell the fitness of the layer 'conv0'"):
        _select(candidates, 2.0)


@pytest.mark.parametrize("wish, sentence", [
    ({"margin": 0}, "`margin=0` makes no sense"), ({"margin": -1.0}, "`margin="),
    ({"margin": float("nan")}, "`margin="), ({"margin": float("inf")}, "`margin="), ({"margin": True}, "`margin="),
    ({"margin": "a"}, "`margin="), ({"initial_ranks": {"conv9": 3}}, "no layer 'conv9': did you mean"),
    ({"initial_ranks": {"conv2": 0}}, "'conv2': vh takes 1 to"),
    ({"initial_ranks": {"conv2": (2, 3)}}, "vh takes 1 to"), ({"initial_ranks": {"conv2": 999}}, "vh takes 1 to"),
    ({"initial_ranks": Plan((Row("conv2", "Convolution", "3d", (3, 2)),))},
     "'conv2' is one of the method 3d, .* by vh"),
])
def test_wishes_that_make_no_sense(wish, sentence):
    with pytest.raises(AccnnError, match=sentence):
        _bench().select_ranks(2.0, rank_selection="profit", **wish)


def test_wishes_that_are_ignored_are_named(capsys):
    bench = _bench()
    bench.select_ranks(2.0, rank_selection="dp", initial_ranks={"conv2": 3}, margin=0.5)
    said = capsys.readouterr().err
    assert "dp looks at no `initial_ranks`" in said and "dp looks at no `margin`" in said
    bench.select_ranks(2.0, rank_selection="profit", initial_ranks={"conv2": 3}, margin=0.5)
    assert capsys.readouterr().err == ""
    bench.select_ranks(1.3, rank_selection="profit", initial_ranks={"conv2": 3, "conv3": 4, "conv4": 5},
                       exclude=["conv2"], fixed={"conv4": 6}, margin=0.5)
    assert "are ignored: conv2 (excluded), conv4 (`fixed`)\n" in capsys.readouterr().err


def test_the_wishes_are_in_the_plan(tmp_path):
    initial = {"conv2": (np.int64(6), 4), "conv3": [9, 8]}
    plan = _bench().select_ranks(2.0, rank_selection="profit", method="3d", initial_ranks=initial,
                                 margin=np.float32(0.25))
    said = json.loads(plan.text())["made_by"]
    assert said["initial_ranks"] == {"conv2": [6, 4], "conv3": [9, 8]} and said["margin"] == 0.25
    plan.save(str(tmp_path / "plan.json"))
    again = _bench().select_ranks(2.0, rank_selection="profit", method="3d", margin=0.25,
                                  initial_ranks=tmp_path / "plan.json")
    assert {row.layer: row.rank for row in again.chosen()} == {row.layer: row.rank for row in plan.chosen()}


def test_the_steps_of_vgg16_take_no_time():
    widths = [(64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
              (256, 512, 28)] + [(512, 512, 28)] * 2 + [(512, 512, 14)] * 3
    candidates = []
    for i, (c, n, side) in enumerate(widths):
        spec = LayerSpec("conv%d" % i, SubConv("", c, n, (3, 3), pad=(1, 1)), (c, side, side), "w", "b", "Convolution")
        candidates.append(ranks.Candidate(spec, VH, None))
        candidates[-1]._decomposition = _Fixed(0.5 + i / 30)
    initial = {one.name: one.ranks()[-1] for one in candidates}
    started = time.process_time()
    chosen = _select(candidates, 20.0, margin=0.2, initial=initial)
    assert chosen.remark is None and time.process_time() - started <= 1

"""The search for a plan of a measured speed-up, on a fake clock."""
import json

import numpy as np
import pytest

from accnn.core.errors import AccnnError, TargetError
from accnn.latency import in_network
from accnn.latency.config import TimingConfig
from accnn.latency.noise import refuse_noise
from accnn.planning import plan_search
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.timing import machine
from clockwork import Clockwork, as_alone
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}


@pytest.fixture(autouse=True)
def nothing_is_known_inside(monkeypatch):
    """What chains take inside the network is found in the loop alone here: see tests/latency/test_in_network.py."""
    monkeypatch.setattr(in_network, "factors", as_alone)


MODEL = chain_model(widths=(32, 48, 64), side=16)


def fine(monkeypatch, **options):
    """Clockwork: a machine that leaves so many ranks to choose from that any ratio can be met."""
    return Clockwork(**dict({"multiple": 4, "launch": 0.005, "rest": 0.1}, **options)).patched(monkeypatch)


def coarse(monkeypatch, **options):
    """Clockwork: a machine that likes few ranks only."""
    return Clockwork(**dict({"multiple": 16, "launch": 0.005, "rest": 0.1}, **options)).patched(monkeypatch)


def planned(ratio, cache=None, best_effort=False, imported=None, exported=None, bench=None, **options):
    how = TimingConfig(threads=1, cache=cache and str(cache), best_effort=best_effort,
                       imported=imported and str(imported), exported=exported and str(exported))
    return select_ranks(bench or Accelerator(MODEL, SHAPES), Request(ratio, cost="latency", measuring=how, **options))


def said_by(plan):
    return plan.made_by["latency"]


def ratio_of(plan):
    """float: the measured speed-up; 1 for the network as it is."""
    measured = said_by(plan)["measured"]
    return measured["median"] if measured else plan.made_by["reached"]


def all_ratios(clock, monkeypatch, first, last, **options):
    """list of float: the measured speed-ups of all plans that budgets for speed-ups in a range lead to, ascending."""
    bench = Accelerator(MODEL, SHAPES)
    with monkeypatch.context() as patched:
        patched.setattr(plan_search, "_ATTEMPTS", 1)
        found = {round(ratio_of(planned(aim, best_effort=True, bench=bench, **options)), 6)
                 for aim in np.geomspace(first, last, 18)}
    clock.plans.clear()
    return sorted(found)


# ---- the ratio is met

@pytest.mark.parametrize("bias", [0.9, 1.0, 1.08, 1.3])
@pytest.mark.parametrize("ratio", [1.3, 2, 3])
def test_the_measured_speed_up_is_what_was_asked_for(monkeypatch, ratio, bias):
    clock = fine(monkeypatch, bias=bias)
    plan = planned(ratio)
    assert ratio <= ratio_of(plan) <= 1.03 * ratio and said_by(plan)["missed"] is None
    assert 2 <= len(clock.plans) <= 6  # the first is the network as it was


def test_the_prediction_of_a_plan_and_its_error_are_told(monkeypatch, capsys):
    clock = fine(monkeypatch, bias=1.15)
    plan = planned(2)
    found, (chains,) = said_by(plan), [one for one in clock.plans if one][-1:]
    before = found["before_ms"]
    layers = found["layers"]
    assert set(chains) == {row.layer for row in plan.chosen()}
    saved = sum(one["before_ms"] - one["after_ms"] for one in layers.values())
    assert found["predicted_ms"] == pytest.approx(before - saved)
    truth = before - saved + 0.15 * sum(layers[name]["after_ms"] for name in chains)
    assert found["measured_ms"] == pytest.approx(truth, rel=1e-4)
    assert found["prediction_error"] == pytest.approx((before - saved) / truth - 1, rel=1e-3) and truth > before - saved
    assert ratio_of(plan) == pytest.approx(before / truth, rel=1e-4)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("planned ")]
    assert len(told) == len(clock.plans) - 1
    assert told[-1] == "planned %.2fx, measured %.2fx" % (before / found["predicted_ms"], ratio_of(plan))
    assert json.loads(plan.text())["made_by"]["latency"] == json.loads(json.dumps(found))


def test_without_bias_one_measurement_is_enough(monkeypatch):
    clock = fine(monkeypatch, bias=1.0)
    planned(2)
    assert len(clock.plans) == 2 and clock.plans[0] == {}


def test_a_network_that_is_fast_enough_as_it_is_loses_nothing(monkeypatch):
    fine(monkeypatch)
    plan = planned(1)
    assert not plan.chosen() and plan.made_by["reached"] == 1 and said_by(plan)["measured"] is None


def test_of_two_plans_beside_a_ratio_the_better_one_is_taken(monkeypatch):
    """Few plans: the best of those that were tried, and none is tried twice."""
    clock = coarse(monkeypatch)
    for ratio in 1.25, 1.6, 2.1:
        clock.plans.clear()
        plan = planned(ratio)
        tried = [json.dumps(one, sort_keys=True) for one in clock.plans if one]
        assert len(tried) == len(set(tried)) <= 6 and ratio_of(plan) >= 0.97 * ratio


@pytest.mark.parametrize("layers, bias, ratio", [(["conv3"], 1.3, 1.2), (["conv2", "conv3"], 1.3, 1.7),
                                                 (["conv2", "conv3"], 1.15, 1.9), (["conv2", "conv3"], 1.3, 2.0),
                                                 (["conv2", "conv3"], 0.8, 1.9)])
def test_a_wide_gap_between_plans_ends_no_search(monkeypatch, layers, bias, ratio):
    """The first plan may be predicted far faster than asked for and be too slow all the same; or far too fast."""
    clock = coarse(monkeypatch, bias=bias)
    there = all_ratios(clock, monkeypatch, max(0.8 * ratio, 1), 1.4 * ratio, layers=layers, method="vh")
    enough = [one for one in there if one >= ratio]
    assert enough and 0.97 * ratio <= ratio_of(planned(ratio, layers=layers, method="vh")) <= 1.001 * max(
        min(enough), 1.03 * ratio)


def test_plans_between_are_tried_where_a_smaller_budget_was_slower(monkeypatch):
    """The second plan is so much faster than predicted that the next budget lies before the first, which was slow."""
    clock, factors = fine(monkeypatch, bias=1.0), iter([1.06, 0.95, 1.02, 1.0, 1.0, 1.0])
    planned_ms = clock._planned
    monkeypatch.setattr(clock, "_planned", lambda *given: next(factors) * planned_ms(*given))
    assert 3 * 0.97 <= ratio_of(planned(3)) <= 3 * 1.03 and len([one for one in clock.plans if one]) == 3


def test_ratio_one_leaves_the_network_as_it_is_whatever_else_there_is(monkeypatch):
    clock = Clockwork(multiple=1, launch=0, rest=1.0, bias=1.0).patched(monkeypatch)
    assert not planned(1).chosen() and [one for one in clock.plans if one] == []


def test_reports_have_no_standard_error_and_budgets_do(monkeypatch):
    """A machine that is noisy is no reason to tell other times than it measured."""
    fine(monkeypatch, bias=1.0, spread=0.2)
    plan = planned(2)
    found = said_by(plan)
    saved = sum(one["before_ms"] - one["after_ms"] for one in found["layers"].values())
    assert found["predicted_ms"] == pytest.approx(found["before_ms"] - saved)
    assert abs(found["prediction_error"]) < 1e-3 and 2 <= ratio_of(plan) <= 2.06


# ---- the ratio is out of reach

def test_an_unreachable_ratio_names_the_best_and_what_stays(monkeypatch):
    clock = fine(monkeypatch)
    with pytest.raises(TargetError) as error:
        planned(50)
    assert error.value.exit_code == 1
    best = ratio_of(planned(50, best_effort=True))
    assert str(error.value).startswith("50x (latency, over the whole network) cannot be reached: the best measured is "
                                       "%.2fx, with the cheapest choice everywhere (" % best)
    assert "ask for less, or say `best_effort`" in str(error.value) and 4 < best < 50
    before = clock.rest + sum(one["before_ms"] for one in said_by(planned(2))["layers"].values())
    assert " (%.0f%% of the time is in what stays)" % (100 * clock.rest / before) in str(error.value)
    assert [one for one in clock.plans if one]


def test_the_best_ratio_that_an_error_names_can_be_had(monkeypatch):
    fine(monkeypatch)
    best = ratio_of(planned(50, best_effort=True))
    assert ratio_of(planned(0.999 * best)) >= 0.97 * best


def test_best_effort_takes_the_fastest_and_says_so(monkeypatch):
    clock = fine(monkeypatch)
    there = all_ratios(clock, monkeypatch, 4, 8)
    plan = planned(50, best_effort=True)
    assert ratio_of(plan) == pytest.approx(there[-1], rel=1e-5) and plan.made_by["ratio"] == 50
    assert "cannot be reached: the best measured is %.2fx" % there[-1] in said_by(plan)["missed"]
    assert len(plan.chosen()) >= 3


def test_best_effort_makes_no_difference_where_the_ratio_is_met(monkeypatch):
    fine(monkeypatch)
    one, other = planned(2), planned(2, best_effort=True)
    assert one.rows == other.rows and said_by(one) == said_by(other)


def test_what_people_fix_may_put_a_ratio_out_of_reach(monkeypatch):
    fine(monkeypatch)
    with pytest.raises(TargetError, match="2.5x .* cannot be reached"):
        planned(2.5, fixed={"conv3": 60})


def test_a_plan_of_nothing_but_fixed_layers_may_be_too_slow(monkeypatch):
    fine(monkeypatch)
    with pytest.raises(TargetError, match="3x .* cannot be reached"):
        planned(3, layers=["conv1"], exclude=["conv1"], fixed={"conv3": 16})


def test_where_the_cheapest_chains_are_slow_a_plan_between_is_found(monkeypatch, capsys):
    """Retinaface at 96x96: the cheapest chains were slower than the network, while other plans were faster."""
    clock = fine(monkeypatch)
    kept = clock._planned
    monkeypatch.setattr(clock, "_planned", lambda alone, plan, batch: kept(alone, plan, batch) * (
        4 if 3 * kept(alone, plan, batch) < kept(alone, {}, batch) else 1))
    plan = planned(50, best_effort=True)
    measured = [float(line.split("measured ")[1][:-1]) for line in capsys.readouterr().err.splitlines()
                if line.startswith("planned ")]
    assert ratio_of(plan) == pytest.approx(max(measured), abs=0.006) and ratio_of(plan) > 1.5 * measured[0]
    assert len([one for one in clock.plans if one]) <= 6
    assert "the best measured is %.2fx, and cheaper choices are slower" % ratio_of(plan) in said_by(plan)["missed"]
    assert "best_effort" not in said_by(plan)["missed"]
    assert ratio_of(planned(0.97 * ratio_of(plan))) >= 0.97 * 0.97 * ratio_of(plan)


def test_the_only_plan_there_is_may_be_too_slow(monkeypatch):
    """It was found for another budget, and is known to be the cheapest only when none is left to be tried."""
    clock = fine(monkeypatch, bias=2.0)
    kept, calls = plan_search._solve, []
    monkeypatch.setattr(plan_search, "_solve", lambda allocator, ratio: calls.append(ratio) or kept(allocator, ratio))
    with pytest.raises(TargetError, match="1.5x .* cannot be reached: the best measured is"):
        planned(1.5, layers=["conv1"], exclude=["conv1"], fixed={"conv3": 24})
    assert len([one for one in clock.plans if one]) == 1 and len(calls) < 12


def test_no_plan_that_is_slower_than_the_network_as_it_is_is_the_best(monkeypatch):
    clock = fine(monkeypatch)
    kept = clock._planned
    monkeypatch.setattr(clock, "_planned", lambda alone, plan, batch: kept(alone, plan, batch) * (9 if plan else 1))
    with pytest.raises(TargetError, match="1.02x .* the best measured is 1.00x, with the network as it is"):
        planned(1.02)
    plan = planned(1.5, best_effort=True)
    assert not plan.chosen() and plan.made_by["reached"] == 1 and said_by(plan)["measured"] is None
    assert not planned(1).chosen()


# ---- noise

def test_a_noisy_machine_is_refused_with_what_it_spread_over(monkeypatch):
    fine(monkeypatch, uncertainty=0.07, spread=0.41)
    with pytest.raises(AccnnError, match="too noisy to measure the untouched network: after 10 rounds its time is "
                                         "known to 7.0% only, where 6% is needed, and half of them spread over 41% of "
                                         "the median; stop what else runs, or give more `repeats`") as error:
        planned(2)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("uncertainty, words", [
    (0.0301, "its time is known to 3.1% only, where 3% is needed"), (0.034, "known to 3.4% only, where 3% is needed"),
    (float("inf"), "after 4 rounds nothing says how well its time is known, where 3% is needed")])
def test_what_is_refused_is_never_said_to_be_known_as_well_as_is_needed(uncertainty, words):
    sample = {"uncertainty": uncertainty, "rounds": 4, "spread": 0.2}
    with pytest.raises(AccnnError, match=words):
        refuse_noise(sample, "the planned network", 0.03)


def test_noise_that_comes_later_is_refused_too(monkeypatch, tmp_path):
    clock = fine(monkeypatch)
    planned(1.5, cache=tmp_path)
    clock.uncertainty = 0.031
    with pytest.raises(AccnnError, match="too noisy to measure the planned network"):
        planned(2, cache=tmp_path)
    clock.uncertainty = 0.029
    assert ratio_of(planned(2, cache=tmp_path)) >= 1.94


def test_a_noisy_baseline_is_not_remembered(monkeypatch, tmp_path):
    clock = fine(monkeypatch, uncertainty=0.07)
    with pytest.raises(AccnnError):
        planned(2, cache=tmp_path)
    clock.uncertainty = 0.002
    planned(2, cache=tmp_path)
    assert clock.plans.count({}) == 2


# ---- for another machine

def test_for_another_machine_there_are_predictions_only(monkeypatch, tmp_path):
    clock = fine(monkeypatch)
    planned(2, exported=tmp_path / "there.json")
    clock.plans.clear()
    found = dict(machine.environment(), cpu="A Slide Rule")
    monkeypatch.setattr(machine, "environment", lambda: found)
    plan = planned(2, imported=tmp_path / "there.json")
    assert clock.plans == [] and said_by(plan)["measured"] is None and said_by(plan)["missed"] is None
    assert said_by(plan)["before_ms"] / said_by(plan)["predicted_ms"] >= 2
    assert plan.made_by["reached"] == pytest.approx(said_by(plan)["before_ms"] / said_by(plan)["predicted_ms"])
    with pytest.raises(TargetError, match="the best predicted is [0-9.]+x"):
        planned(50, imported=tmp_path / "there.json")
    missed = planned(50, imported=tmp_path / "there.json", best_effort=True)
    best = said_by(missed)["before_ms"] / said_by(missed)["predicted_ms"]
    assert "the best predicted is %.2fx" % best in said_by(missed)["missed"] and clock.plans == []


def test_what_was_measured_can_be_exported_whatever_became_of_the_plan(monkeypatch, tmp_path):
    fine(monkeypatch)
    with pytest.raises(TargetError):
        planned(50, exported=tmp_path / "here.json")
    (section,) = json.loads((tmp_path / "here.json").read_text())["measured"]
    assert len(section["times"]) > 20 and sum(key.startswith("network ") for key in section["times"]) == 1


def test_what_is_exported_holds_the_chains_that_were_chosen(monkeypatch, tmp_path):
    """Also those that were interpolated, or the other machine could not plan what this one did."""
    clock, model = fine(monkeypatch), chain_model(widths=(32, 96, 128), side=16)
    planned(3, exported=tmp_path / "here.json", bench=Accelerator(model, SHAPES))
    (section,) = json.loads((tmp_path / "here.json").read_text())["measured"]
    assert set(clock.plans[-1].values()) <= set(section["times"])

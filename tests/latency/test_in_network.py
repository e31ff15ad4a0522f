"""What chains take inside a network, over what they take alone; the machine is made of arithmetic."""
import json
from types import SimpleNamespace

import numpy as np
import pytest

from accnn.latency import in_network
from accnn.latency.config import TimingConfig
from accnn.planning import search
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.timing.keys import parse
from clockwork import Clockwork
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}
MODEL = chain_model(widths=(32, 48, 64), side=16)


def planned(ratio, cache=None, exported=None, best_effort=False, **options):
    how = TimingConfig(threads=1, cache=cache and str(cache), exported=exported and str(exported),
                       best_effort=best_effort)
    return select_ranks(Accelerator(MODEL, SHAPES), Request(ratio, cost="latency", measuring=how, **options))


def same(factors):
    """bool: whether all methods have one factor."""
    return list(factors.values()) == pytest.approx([factors["vh"]] * len(factors))


class Choosy(Clockwork):
    """On which chains of two convolutions of height and width take another time in a network than alone."""

    factor = 0.8

    def _planned(self, alone, plan, batch_size):
        total = self.rest
        for name, time in alone.items():
            if name not in plan:
                total += time
                continue
            kernels = [getattr(part, "kernel", ()) for part in parse(plan[name])[1]]
            total += self.ms_of(plan[name], batch_size) * (self.factor if kernels == [(3, 1), (1, 3)] else 1)
        return total


@pytest.fixture
def choosy(monkeypatch):
    monkeypatch.setattr(search, "_QUICK_MS", 0)  # one plan at a time
    return Choosy(multiple=4, launch=0.005, rest=0.1, uncertainty=1e-4).patched(monkeypatch)


def test_methods_have_their_factors_and_plans_measure_what_was_predicted(choosy, tmp_path):
    plan = planned(2, cache=tmp_path)
    found = plan.made_by["latency"]
    factors = found["inside"]
    assert set(factors) == {"vh", "channel", "3d", "fc-svd"} and factors["vh"] < 0.93 < factors["channel"] < 1.1
    # A trial of every method that has faster chains, as small fc layers have none, another of one of them, and plans.
    assert 3 + 1 + 1 <= len(choosy.plans) <= 3 + 1 + 2
    assert 2 <= plan.made_by["reached"] <= 2.06 and abs(found["prediction_error"]) < 0.06


def test_factors_change_the_choice(choosy):
    """What runs faster inside than alone is taken at larger ranks, or in more places."""
    energies = {}
    for factor in 0.6, 1.5:
        choosy.factor = factor
        energies[factor] = planned(2.5).made_by["objective"]
    assert energies[0.6] > energies[1.5]


def test_factors_are_cached_for_all_ratios(choosy, tmp_path):
    first = planned(2, cache=tmp_path)
    for ratio in 2, 3, 1.5:
        choosy.plans.clear()
        again = planned(ratio, cache=tmp_path)
        assert 1 <= len(choosy.plans) <= 2, ratio
        assert again.made_by["latency"]["inside"] == first.made_by["latency"]["inside"]
    choosy.plans.clear()
    planned(2, cache=tmp_path, exclude=["conv1"])  # other layers are in the rest
    assert len(choosy.plans) > 3


def test_factors_go_with_an_exported_table_to_another_machine(choosy, tmp_path, monkeypatch):
    from accnn.timing import machine

    there = planned(2, exported=tmp_path / "there.json")
    choosy.plans.clear()
    found = dict(machine.environment(), cpu="A Slide Rule")
    monkeypatch.setattr(machine, "environment", lambda: found)
    how = TimingConfig(threads=1, imported=str(tmp_path / "there.json"))
    for ratio in 2, 3:
        plan = select_ranks(Accelerator(MODEL, SHAPES), Request(ratio, cost="latency",
                                                                measuring=how)).made_by["latency"]
        assert choosy.plans == [] and plan["foreign"]
        assert (plan["inside"], plan["rest"]) == tuple(there.made_by["latency"][name] for name in ("inside", "rest"))
    # Another wish: nothing was tried for it, and what is usual counts.
    plan = select_ranks(Accelerator(MODEL, SHAPES), Request(2, cost="latency", measuring=how, exclude=["conv1"]))
    assert choosy.plans == [] and same(plan.made_by["latency"]["inside"])


@pytest.mark.parametrize("change", [
    lambda kept: 7, lambda kept: None, lambda kept: dict(kept, methods=7), lambda kept: dict(kept, rest=-0.2),
    lambda kept: dict(kept, methods={"vh": "fast"}), lambda kept: dict(kept, methods=dict(kept["methods"], vh=1e6)),
    lambda kept: dict(kept, rest=True), lambda kept: dict(kept, typical=None), lambda kept: dict(kept, methods={}),
    lambda kept: {name: kept[name] for name in ("rest", "methods")}])
def test_factors_that_people_edited_are_measured_anew(choosy, tmp_path, change):
    first = planned(2, cache=tmp_path).made_by["latency"]["inside"]
    path = tmp_path / "latencies.json"
    written = json.loads(path.read_text())
    (network,) = written["measured"][0]["networks"].values()
    network["inside"] = {wish: change(kept) for wish, kept in network["inside"].items()}
    path.write_text(json.dumps(written))
    choosy.plans.clear()
    assert planned(2, cache=tmp_path).made_by["latency"]["inside"] == first
    assert len(choosy.plans) > 4


@pytest.mark.parametrize("kind", ["inside", "corrections"])
def test_what_is_kept_in_another_form_is_nothing(choosy, tmp_path, kind):
    planned(2, cache=tmp_path)
    path = tmp_path / "latencies.json"
    written = json.loads(path.read_text())
    (network,) = written["measured"][0]["networks"].values()
    network[kind] = [1, 2]
    path.write_text(json.dumps(written))
    assert 2 <= planned(2, cache=tmp_path).made_by["reached"] <= 2.06


def test_where_trials_cannot_be_timed_factors_are_the_prior(choosy, monkeypatch, capsys, tmp_path):
    from accnn.core.errors import AccnnError

    kept, jobs = choosy.time_networks, []

    def times(job):
        jobs.append(job)
        if len(jobs) == 1:
            raise AccnnError("the measuring process was killed")
        return kept(job)

    monkeypatch.setattr("accnn.timing.client.time_networks", times)
    plan = planned(2, cache=tmp_path)
    assert '"inside"' not in (tmp_path / "latencies.json").read_text()  # another time they may be
    assert same(plan.made_by["latency"]["inside"]) and 2 <= plan.made_by["reached"] <= 2.06
    assert "what chains take inside the network is only estimated: the measuring process" in capsys.readouterr().err


# ---- what trials tell

REST, METHODS = 0.07, {"vh": 1.02, "cp": 0.85, "3d": 1.1}
SHARE = 0.89  # so that layers take 1.045 times as long inside


def trial(method, chains, left=0.05, off=0.005, rest=REST):
    whole = rest + (1 - rest) * left / SHARE + METHODS[method] * chains
    return in_network.Trial(left, {method: chains}, whole, off)


def test_rest_and_factors_are_told_apart_by_two_speed_ups_of_one_method():
    trials = [trial("vh", 0.4), trial("vh", 0.15), trial("cp", 0.3), trial("3d", 0.3)]
    found = in_network.fit(trials, SHARE, list(METHODS))
    assert found.rest == pytest.approx(REST, abs=0.02)
    assert found.methods["cp"] < 0.93 < found.methods["vh"] < 1.05 < found.methods["3d"]  # as far as four trials tell
    found = in_network.fit(trials * 25, SHARE, list(METHODS))
    assert found.rest == pytest.approx(REST, abs=0.002)
    assert found.methods == {name: pytest.approx(value, rel=0.01) for name, value in METHODS.items()}
    assert found.layers(SHARE) == pytest.approx((1 - REST) / SHARE, rel=0.003)
    assert found.of("vh") == found.methods["vh"] and found.of("another") == found.typical


def test_trials_weigh_by_their_uncertainty():
    def cp(off):
        return in_network.fit([trial("cp", 0.3, off=off), trial("cp", 0.1, off=off)] * 9, SHARE, ["cp"]).methods["cp"]

    usual = in_network.fit([], SHARE, ["cp"]).methods["cp"]
    assert cp(1.0) == pytest.approx(usual, abs=0.01)
    assert cp(0.001) == pytest.approx(METHODS["cp"], abs=0.03) and METHODS["cp"] + 0.1 < usual


def test_without_trials_layers_take_a_little_longer_and_chains_as_long():
    for share in 0.5, 0.9, 1.3:
        found = in_network.fit([], share, ["vh", "cp"])
        assert found.rest == pytest.approx(max(0, 1 - 1.05 * share), abs=1e-9)
        factor = min(1.0, 1 / share)
        assert found.typical == pytest.approx(factor) and dict(found.methods) == {
            "vh": pytest.approx(factor), "cp": pytest.approx(factor)}
    assert in_network.fit([], 0.0, ["vh"]).layers(0.0) == 1.0  # nothing is planned but what is pinned


def test_neither_the_rest_nor_a_factor_is_absurd():
    found = in_network.fit([trial("vh", 0.4, rest=-0.3), trial("vh", 0.15, rest=-0.3)] * 25, SHARE, ["vh"])
    assert found.rest == -0.1 and 0.4 <= found.methods["vh"] < 1.02
    assert found.layers(SHARE) == pytest.approx(1.1 / SHARE)
    slight = in_network.fit([trial("vh", 0.4, rest=-0.05), trial("vh", 0.15, rest=-0.05)] * 25, SHARE, ["vh"])
    assert slight.rest == pytest.approx(-0.05, abs=0.005) and slight.methods["vh"] == pytest.approx(1.02, abs=0.01)
    absurd = in_network.fit([in_network.Trial(0.0, {"vh": 0.01}, 3.0, 0.001)] * 2, SHARE, ["vh"])
    assert in_network.SOUND[0] <= absurd.methods["vh"] <= in_network.SOUND[1] and -0.1 <= absurd.rest <= 1


def test_least_squares_are_those_of_numpy():
    """Two unknowns and no prior that matters: the rows of two trials, solved by hand."""
    first, second = trial("vh", 0.4, off=1e-9), trial("vh", 0.1, off=1e-9)
    left = 1 - 0.05 / SHARE
    rest, factor = np.linalg.solve([[left, 0.4], [left, 0.1]], [one.whole - 0.05 / SHARE for one in (first, second)])
    assert (rest, factor) == (pytest.approx(REST), pytest.approx(1.02))
    found = in_network.fit([first, second] * 200, SHARE, ["vh"])
    assert found.rest == pytest.approx(rest, abs=1e-3) and found.methods["vh"] == pytest.approx(factor, abs=5e-3)


def candidates(*pairs):
    return [SimpleNamespace(name=name, method=SimpleNamespace(name=method)) for name, method in pairs]


def plans_of(ones, times, ratio, layers=None):
    found = in_network.trial_plans(ones, lambda one: times[one.name], lambda one, rank: times[one.name][rank],
                                lambda one: (layers or {}).get(one.name, 10.0), ratio)
    return [{name: (one.method.name, rank) for name, (one, rank) in plan.items()} for plan in found]


def test_trials_are_of_about_the_speed_up_and_of_chains_that_are_faster():
    ones = candidates(("a", "vh"), ("b", "cp"))
    times = {"a": {8: 2.0, 16: 4.5, 32: 9.0}, "b": {8: 11.0}}
    assert plans_of(ones, times, 2) == [{"a": ("vh", 16)}, {"a": ("vh", 8)}]  # and twice as fast
    assert plans_of(ones, times, 4) == [{"a": ("vh", 8)}, {"a": ("vh", 16)}]  # or half as fast
    assert plans_of(ones, {"a": {8: 2.0}, "b": {8: 11.0}}, 2) == [{"a": ("vh", 8)}]  # there is but one
    assert plans_of(ones, {"a": {8: 12.0}, "b": {8: 11.0}}, 2) == []


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("noise", [-0.03, 0.03])
def test_where_layers_are_a_small_share_or_more_than_the_network_noise_makes_nothing_of_them_absurd(share, noise):
    usual = min(1.05, 1 / share)
    rest = max(0, 1 - usual * share)
    trials = [in_network.Trial(0.0, {"vh": share / speed}, (rest + usual * share / speed) * (1 + noise), 0.015)
              for speed in (2, 4)]
    found = in_network.fit(trials, share, ["vh"])
    assert 0.4 * usual <= found.layers(share) <= 1.6 * usual
    assert found.methods["vh"] == pytest.approx(min(1, 1 / share), rel=0.15)


def test_no_plan_is_predicted_to_take_no_time(choosy, monkeypatch):
    monkeypatch.setattr(in_network, "fit", lambda _, share, methods: in_network.InNetworkFactors(-0.1, 0.4,
                                                                                           dict.fromkeys(methods, 0.4)))
    choosy.rate = 1e9  # starting is all there is
    plan = planned(50, best_effort=True)
    found = plan.made_by["latency"]
    assert found["predicted_ms"] > 0 and plan.made_by["reached"] > 0 and found["missed"]


def test_methods_of_small_layers_get_no_trial():
    ones = candidates(("a", "vh"), ("fc", "fc-svd"))
    times = {"a": {8: 2.0}, "fc": {8: 0.1}}
    assert plans_of(ones, times, 2, {"fc": 0.2}) == [{"a": ("vh", 8)}]
    assert plans_of(ones, times, 2, {"fc": 2.0}) == [{"a": ("vh", 8)}, {"fc": ("fc-svd", 8)}]


@pytest.mark.parametrize("held, sizes", [(0, [5]), (1 << 30, [3, 2]), (5 << 30, [1] * 5)])
def test_networks_that_are_timed_together_fit_the_memory(monkeypatch, held, sizes):
    monkeypatch.setattr(in_network, "machine_bytes", lambda: 10 << 30)
    assert [len(some) for some in in_network.fitting_memory(list("abcde"), held)] == sizes

"""Plans of several ratios from one survey: ``--sweep``, on a clock made of arithmetic."""
import json
import os

import pytest

from accnn import accnn
from accnn.cli import sweep
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.latency import in_network
from accnn.planning.plan import load_plan
from clockwork import Clockwork, as_alone
from networks import chain_model, saved
from pictures import items, packed

RATIOS = [1.5, 2.0, 3.0]


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(in_network, "factors", as_alone)
    return Clockwork(multiple=4, launch=0.005, rest=0.1).patched(monkeypatch)


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Prefix of a network that is worth a plan, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    return saved(chain_model(widths=(32, 48, 64), side=16), "net")


def swept(capsys, *words, code=0, ratios=RATIOS):
    """dict: what ``--sweep ... --json`` prints."""
    asked = ",".join("%g" % ratio for ratio in ratios)
    assert accnn.main(["-m", "net", "--sweep", asked, "--json", "--cache", "", *words]) == code
    return json.loads(capsys.readouterr().out)


def test_each_ratio_is_the_plan_that_it_is_alone(net, clock, capsys, tmp_path):
    """And one survey serves all: the same chains are asked for as for one ratio, but for those that were chosen."""
    assert accnn.main(["-m", "net", "--cost", "latency", "--ratio", "3", "--cache", "", "--save-model", "one"]) == 0
    alone, networks, three = len(clock.asked), len(clock.plans), load_plan("config-rksel-3.0.json").rows
    capsys.readouterr()
    clock.asked.clear(), clock.plans.clear()
    found = swept(capsys, "--cost", "latency", "--save-model", "new")
    assert len(clock.asked) <= 1.2 * alone and networks <= len(clock.plans)
    for ratio, row in zip(RATIOS, found["sweep"]):
        assert row["ratio"] == ratio and 0.97 <= row["measured"]["median"] / ratio <= 1.03 and row["missed"] is None
        assert row["prefix"] == "new-%gx" % ratio and row["ms"] == pytest.approx(
            found["original_ms"] / row["measured"]["median"])
        plan = load_plan(row["written"]["config"])
        model = load_model(row["prefix"])
        first = plan.chosen()[0]
        assert any(name.startswith(first.layer) and name != first.layer + "_weight" for name in model.arg_params)
    assert load_plan(found["sweep"][2]["written"]["config"]).rows == three


def test_networks_of_all_ratios_are_timed_together(net, clock, capsys, monkeypatch):
    together = []
    time_networks = clock.time_networks
    monkeypatch.setattr("accnn.timing.client.time_networks", lambda job: together.append(
        len(job.plans)) or time_networks(job))
    swept(capsys, "--cost", "latency", "--dry-run")
    assert together[0] == 0 and together[1] == len(RATIOS) and sum(together) - len(RATIOS) < len(together) * len(RATIOS)


def test_no_network_is_timed_twice(net, clock, capsys):
    """Ratios out of reach all lead to the fastest plans there are."""
    found = swept(capsys, "--cost", "latency", "--dry-run", "--best-effort", code=1, ratios=[2, 500, 1000])
    plans = [json.dumps(one, sort_keys=True) for one in clock.plans if one]
    assert len(plans) == len(set(plans))
    first, second = (row["measured"]["median"] for row in found["sweep"][1:])
    assert first == second and all(row["missed"] for row in found["sweep"][1:])


def test_ratios_learn_from_each_other(net, clock, capsys, monkeypatch):
    """On a machine where chains take 30% longer in a network than alone, which the first plans tell for all."""
    clock.bias, ratios, rounds = 1.3, [1.5, 2.0, 2.5, 3.0], []
    alone = 0
    for ratio in ratios:
        clock.plans.clear()
        swept(capsys, "--cost", "latency", "--dry-run", ratios=[ratio])
        alone += len([one for one in clock.plans if one])
    clock.plans.clear()
    time_networks = clock.time_networks
    monkeypatch.setattr("accnn.timing.client.time_networks", lambda job: rounds.append(
        len(job.plans)) or time_networks(job))
    found = swept(capsys, "--cost", "latency", "--dry-run", ratios=ratios)
    assert all(0.97 <= row["measured"]["median"] / row["ratio"] <= 1.03 for row in found["sweep"])
    assert len([one for one in clock.plans if one]) <= alone and len([one for one in rounds if one]) <= 3


def noisy_near(clock, ratio):
    """Let no plan near a ratio be known: a function in the place of ``time_networks``."""
    time_networks = clock.time_networks

    def timed(job):
        answer = time_networks(job)
        for plan in answer["plans"]:
            if 0.8 * ratio < plan["measured"]["median"] < 1.2 * ratio:
                plan["measured"].update(uncertainty=0.05, spread=0.4)
        return answer

    return timed


def test_a_plan_that_is_too_noisy_is_a_row_and_loses_no_other(net, clock, capsys, monkeypatch):
    monkeypatch.setattr("accnn.timing.client.time_networks", noisy_near(clock, 2))
    found = swept(capsys, "--cost", "latency", "--save-model", "new", code=1)
    (first, noisy, last) = found["sweep"]
    assert noisy == {"ratio": 2.0, "missed": noisy["missed"]} and "known to 5.0% only" in noisy["missed"]
    assert "--repeats" in noisy["missed"] and not os.path.exists("new-2x-symbol.json")
    assert all(os.path.exists(row["written"]["params"]) and row["missed"] is None for row in (first, last))
    assert accnn.main(["-m", "net", "--ratio", "2", "--cost", "latency", "--cache", "", "--save-model", "alone"]) == 2
    assert "too noisy to measure the planned network" in capsys.readouterr().err


def test_networks_that_cannot_be_timed_together_are_timed_one_by_one(net, clock, capsys, monkeypatch):
    time_networks, refused = clock.time_networks, []

    def timed(job):
        if len(job.plans) > 1 or job.asked and job.asked[0][0] < 1.5 < job.asked[0][1]:
            refused.append(len(job.plans))
            raise AccnnError("the measuring process was killed")
        return time_networks(job)

    monkeypatch.setattr("accnn.timing.client.time_networks", timed)
    first, *others = swept(capsys, "--cost", "latency", "--dry-run", code=1)["sweep"]
    assert first["missed"] == "the measuring process was killed" and refused[:2] == [3, 1]
    assert all(0.97 <= row["measured"]["median"] / row["ratio"] <= 1.03 for row in others)


def test_plans_by_macs_are_timed_beside_one_original(net, clock, capsys):
    found = swept(capsys, "--dry-run", "--threads", "1")
    assert len(clock.plans) == len(RATIOS) + bool({} in clock.plans) and not os.path.exists("new-model-2x-0001.params")
    for ratio, row in zip(RATIOS, found["sweep"]):
        before, after = (row["summary"]["convolutions"][name] for name in ("before", "after"))
        assert ratio <= before / after and "written" not in row
        assert row["theoretical"] == pytest.approx(row["summary"]["network"]["ratio"])
        energy = 1
        for layer in row["summary"]["layers"]:
            energy *= layer["energy"] or 1
        assert row["energy"] == pytest.approx(energy) and row["divergence"] is None
        assert row["measured"]["median"] == pytest.approx(found["original_ms"] / row["ms"])


def test_a_ratio_that_changes_nothing_has_a_row(net, clock, capsys):
    assert accnn.main(["-m", "net", "--sweep", "1,2", "--cost", "latency", "--cache", "", "--dry-run"]) == 0
    first, second = (line.split() for line in capsys.readouterr().out.splitlines()[1:3])
    assert first[:2] == ["1x", "1.00x"] and first[-1] == "100.00%" and float(second[2][:-1]) > 1.9


def test_a_ratio_out_of_reach_loses_no_other(net, capsys):
    found = swept(capsys, "--no-timing", code=1, ratios=[2, 1000])
    assert "cannot be reached" in found["sweep"][1]["missed"] and os.path.exists(found["sweep"][0]["written"]["params"])


def test_images_tell_divergence_and_points(net, capsys):
    packed("train", items(60))
    packed("val", items(23))
    words = ["--no-timing", "--data-calib", "train.rec", "--calib-images", "40", "--data-val", "val.rec",
             "--rank-selection", "sensitivity", "--input-shape", "3,16,16"]
    found = swept(capsys, *words, ratios=[1.5, 3])
    first, last = found["sweep"]
    assert 0 < first["divergence"] < last["divergence"]
    for row in (first, last):
        right = [row["scores"][name]["top"]["1"]["right"] for name in ("baseline", "model")]
        assert row["scores"]["model"]["images"] == 23
        assert row["scores"]["paired"]["drop"]["1"] == pytest.approx((right[0] - right[1]) / 23)
    assert accnn.main(["-m", "net", "--sweep", "1.5,3", "--cache", "", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["asked", "theoretical", "divergence,", "nats"] and "points lost" in lines[0]


def test_the_front_is_on_one_page(net, clock, capsys):
    pytest.importorskip("matplotlib")
    found = swept(capsys, "--dry-run", "--report", "front.html")
    text = open("front.html", encoding="utf-8").read()
    assert found["written"] == {"report": "front.html"}
    for place, row in enumerate(found["sweep"], 1):
        assert "%.2fx" % row["measured"]["median"] in text
        own = text[text.index('<section id="plan-%d"' % place):].split('<section id="plan-%d"' % (place + 1))[0]
        assert "Every layer" in own and "conv_params" in own and '<ul class="chains">' in own
        assert len(text) < 1e6


@pytest.mark.parametrize("words, sentence", [
    (["--sweep", "2,0.5"], "--sweep: the ratio 0.5 makes no sense"),
    (["--sweep", "2,nan"], "--sweep: the ratio nan makes no sense"),
    (["--sweep", "2,2.0"], "--sweep names the ratio 2 twice"),
    (["--sweep", "2,x"], "invalid list of ratios value"),
    (["--sweep", "2", "--ratio", "3"], "--ratio names one plan"),
    (["--sweep", "2", "--config", "c.json"], "--config names one plan"),
    (["--sweep", "2", "--data-val", "no.rec"], "no.rec"),
    (["--data-val", "no.rec", "--dry-run"], "leave one of them out"),
    (["--sweep", "2,3", "--save-model", "no/where"], "there is no folder")])
def test_bad_values_are_one_sentence(net, capsys, words, sentence):
    assert accnn.main(["-m", "net"] + words) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(os.listdir()) == ["net-0001.params", "net-symbol.json"]


def test_what_is_there_of_one_ratio_is_refused_before_any_work(net, capsys):
    with open("new-3x-0001.params", "w") as handle:
        handle.write("mine")
    assert accnn.main(["-m", "net", "--sweep", "2,3", "--save-model", "new", "--no-timing"]) == 2
    assert "new-3x-0001.params is there already" in capsys.readouterr().err and not os.path.exists("new-2x-symbol.json")


def test_names_of_ratios_are_plain():
    assert sweep.prefix_of("a/new", 2.0) == "a/new-2x" and sweep.prefix_of("new", 2.5) == "new-2.5x"

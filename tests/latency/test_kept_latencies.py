"""What planning by milliseconds leaves for the next time, and takes from files of this machine or another."""
import json
import os

import pytest
from planned_for_tests import MODEL, SHAPES, layer_ms, planned, surveyed

from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.graph.fingerprint import mark_of_shapes
from accnn.latency.table import network_key
from accnn.planning.accelerator import Accelerator
from accnn.timing import client, machine
from accnn.timing.keys import layer_key, places_of
from clockwork import Clockwork
from networks import chain_model, saved

# ---- what is remembered

def test_a_second_planning_asks_the_clock_for_plans_only(clock, tmp_path):
    first = planned(cache=tmp_path / "cache")
    assert len(clock.asked) == len(set(clock.asked)) > 20 and clock.plans.count({}) == 1
    clock.asked.clear()
    clock.plans.clear()
    second = planned(cache=tmp_path / "cache")
    assert clock.asked == [] and {} not in clock.plans and 1 <= len(clock.plans)
    assert [row.rank for row in second.rows] == [row.rank for row in first.rows]
    assert sorted(os.listdir(tmp_path / "cache")) == ["energies.json", "latencies.json"]


def test_a_search_begins_with_what_earlier_ones_measured(monkeypatch, tmp_path):
    """Chains take half as long again in this network: the first planning has to find that out, and no later one."""
    clock = Clockwork(multiple=4, rest=0.1, bias=1.5).patched(monkeypatch)
    first = planned(cache=tmp_path)
    assert len(clock.plans) > 2
    clock.plans.clear()
    second = planned(cache=tmp_path)
    assert len(clock.plans) == 1 and [row.rank for row in second.rows] == [row.rank for row in first.rows]
    clock.plans.clear()
    found = planned(cache=tmp_path, ratio=1.9)
    assert len(clock.plans) == 1 and found.made_by["latency"]["measured"]["median"] == pytest.approx(1.9, rel=0.03)
    clock.plans.clear()
    planned(cache=tmp_path, layers=["conv3"], ratio=1.1)  # of chains that all runs time
    assert clock.plans


def test_another_model_of_the_same_shapes_shares_all_but_energies(clock, tmp_path):
    planned(cache=tmp_path)
    clock.asked.clear()
    planned(model=chain_model(seed=5, widths=(32, 48, 64), side=16), cache=tmp_path)
    assert clock.asked == [] and clock.plans.count({}) == 1


def test_another_ratio_and_fewer_layers_ask_for_nothing_new(clock, tmp_path):
    planned(cache=tmp_path)
    clock.asked.clear()
    planned(cache=tmp_path, ratio=1.5)
    planned(cache=tmp_path, ratio=1.3, layers=["conv3"])
    assert clock.asked == []


def test_without_a_cache_nothing_is_written(clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        planned()
    assert os.listdir(tmp_path) == [] and clock.plans.count({}) == 2
    assert not os.path.exists(os.environ["XDG_CACHE_HOME"])


@pytest.mark.parametrize("batch_size, threads", [(4, 1), (1, 2)])
def test_threads_and_batches_are_measured_apart(clock, tmp_path, batch_size, threads):
    planned(cache=tmp_path)
    before = list(clock.asked)
    clock.said.clear()
    clock.asked.clear()
    plan = planned(cache=tmp_path, batch_size=batch_size, threads=threads)
    assert set(clock.said) == {(threads, batch_size)} and set(before) & set(clock.asked)
    found = plan.made_by["latency"]
    assert (found["threads"], found["batch_size"]) == (threads, batch_size)
    bench = Accelerator(MODEL, SHAPES)
    assert found["layers"]["conv3"]["before_ms"] == pytest.approx(layer_ms(clock, bench, "conv3", batch_size), rel=1e-5)
    clock.asked.clear()
    planned(cache=tmp_path, batch_size=batch_size, threads=threads)
    planned(cache=tmp_path)
    assert clock.asked == []


def test_an_interrupted_survey_keeps_what_was_measured(clock, tmp_path):
    clock.stop = 40
    with pytest.raises(KeyboardInterrupt):
        planned(cache=tmp_path)
    kept = list(clock.asked)
    (section,) = json.loads((tmp_path / "latencies.json").read_text())["measured"]
    assert set(section["times"]) == set(kept) and 20 < len(kept) <= 40
    clock.stop = None
    planned(cache=tmp_path)
    assert len(clock.asked) == len(set(clock.asked)) > len(kept)  # nothing was asked twice


def test_neighbours_in_a_survey_stand_at_different_places(clock):
    """As the layers of a network do: chains of one place would find each other's input in the cache."""
    planned()
    last = clock.asked[-60:]
    same = sum(a.split("|")[0] == b.split("|")[0] for a, b in zip(last, last[1:]))
    assert len({key.split("|")[0] for key in last}) > 1 and same < len(last) / 2


# ---- models that lie in files, and other machines

def test_models_of_files_are_measured_as_they_lie_there(clock, tmp_path, monkeypatch):
    prefix = saved(MODEL, tmp_path / "net", 3)
    seen, real = [], clock.time_networks
    monkeypatch.setattr(client, "time_networks", lambda job: seen.append(job) or real(job))
    planned(model=load_model(prefix, 3), repeats=7, batch_size=2)
    assert {(job.prefix, job.epoch, job.rounds, job.threads, job.batch_size) for job in seen} == {(prefix, 3, 7, 1, 2)}
    assert dict(seen[0].input_shapes) == SHAPES


def elsewhere(monkeypatch, cpu="A Slide Rule"):
    found = dict(machine.environment(), cpu=cpu)
    monkeypatch.setattr(machine, "environment", lambda: found)


def test_another_machine_is_planned_for_and_nothing_measured(clock, tmp_path, monkeypatch, capsys):
    planned(exported=tmp_path / "there.json")
    clock.asked.clear()
    clock.plans.clear()
    elsewhere(monkeypatch)
    plan = planned(imported=tmp_path / "there.json", ratio=2.2, cache=tmp_path / "cache")
    assert clock.asked == clock.plans == [] and "nothing is measured here" in capsys.readouterr().err
    found = plan.made_by["latency"]
    assert found["measured"] is None and "measured_ms" not in found and "A Slide Rule" not in found["machine"]
    assert found["before_ms"] / found["predicted_ms"] == pytest.approx(plan.made_by["reached"])
    assert 2.2 <= plan.made_by["reached"] < 2.6 and plan.chosen()
    assert not os.path.exists(tmp_path / "cache" / "latencies.json")


def networks_of(section):
    """list of str: keys of the networks that a section of a table knows."""
    return [key for key in section["times"] if key.startswith("network ")]


def test_an_export_holds_the_network_that_was_planned_and_no_other(clock, tmp_path):
    """A cache holds those of all models that were ever planned here, and whoever gets the file is to see none."""
    planned(model=chain_model(widths=(16, 32), side=16), cache=tmp_path / "cache", ratio=1.2)
    planned(cache=tmp_path / "cache", exported=tmp_path / "there.json")
    (kept,) = json.loads((tmp_path / "cache" / "latencies.json").read_text())["measured"]
    (given,) = json.loads((tmp_path / "there.json").read_text())["measured"]
    assert len(networks_of(kept)) == 2 and networks_of(given) == [network_key(mark_of_shapes(MODEL, SHAPES))]


def test_a_table_of_this_machine_is_only_a_beginning(clock, tmp_path):
    planned(exported=tmp_path / "here.json", layers=["conv3"], ratio=1.2)
    before = (tmp_path / "here.json").read_bytes()
    clock.asked.clear()
    plan = planned(imported=tmp_path / "here.json")
    assert clock.asked and plan.made_by["latency"]["measured"] is not None
    assert not any(key == layer_key(places_of(MODEL.graph, Accelerator(MODEL, SHAPES).layers)["conv3"],
                                    Accelerator(MODEL, SHAPES).specs["conv3"]) for key in clock.asked)
    assert (tmp_path / "here.json").read_bytes() == before


def test_a_table_that_lacks_the_network_or_a_layer_is_refused(clock, tmp_path, monkeypatch):
    planned(exported=tmp_path / "there.json", exclude=["conv1"])
    elsewhere(monkeypatch)
    with pytest.raises(AccnnError, match="no time for 3,16,16 plain.*there.json does not know it"):
        planned(imported=tmp_path / "there.json")
    document = json.loads((tmp_path / "there.json").read_text())
    for key in networks_of(document["measured"][0]):
        del document["measured"][0]["times"][key]
    (tmp_path / "there.json").write_text(json.dumps(document))
    with pytest.raises(AccnnError, match="there.json knows nothing of the network .*`exported`"):
        planned(imported=tmp_path / "there.json", exclude=["conv1"])


def test_multiples_are_respected_on_another_machine_too(clock, tmp_path, monkeypatch):
    planned(exported=tmp_path / "there.json", method="vh,fc-svd")
    elsewhere(monkeypatch)
    cost, candidates, _, _ = surveyed(imported=tmp_path / "there.json", align=32, method="vh,fc-svd")
    offers = [cost.ranks(one, 32) for one in candidates]
    assert any(offers) and all(rank % 32 == 0 for some in offers for rank in some)

"""The milliseconds of one network, on a machine made of arithmetic: what is measured, kept and accounted for."""
import itertools
import json
import os
from dataclasses import replace

import pytest
from mxnet.contrib import amp

from accnn import methods, ranks
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model, load_model
from accnn.graph.fingerprint import mark_of_shapes
from accnn.graph.ir import Graph
from accnn.latency import in_network
from accnn.latency.config import TimingConfig
from accnn.latency.profiler import LatencyProfiler
from accnn.latency.survey import survey
from accnn.latency.table import LatencyTable, network_key
from accnn.planning import planner
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.timing import client, machine
from accnn.timing.keys import chain_key, layer_key, parse, places_of
from clockwork import Clockwork, as_alone
from networks import chain_model, random_model, saved

S = mx.sym
SHAPES = {"data": (3, 16, 16)}
MODEL = chain_model(widths=(32, 48, 64), side=16)
CONVS, FCS = ["conv1", "conv2", "conv3"], ["fc1", "fc2"]


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(in_network, "factors", as_alone)  # see test_in_network.py
    return Clockwork().patched(monkeypatch)


def request_of(ratio=2.0, cache=None, batch_size=1, threads=1, repeats=10, imported=None, exported=None, **options):
    how = TimingConfig(batch_size, threads, repeats, cache and str(cache), imported and str(imported),
                       exported and str(exported))
    return Request(ratio, measuring=how, **dict({"cost": "latency"}, **options))


def planned(model=MODEL, **options):
    return select_ranks(Accelerator(model, SHAPES), request_of(**options))


def surveyed(request=None, model=MODEL, initial=lambda candidates: (), **options):
    """(LatencyModel, candidates, pinned, Accelerator): of all there is to plan."""
    bench, request = Accelerator(model, SHAPES), request or request_of(**options)
    profiler, rule = LatencyProfiler(bench, request.measuring), ranks.get(request.rank_selection)
    pinned = planner.pinned_layers(bench, request)
    candidates, _ = planner.choose_layers(bench, request, rule)
    cost = survey(profiler, candidates, pinned, request.align, initial(candidates))
    return cost, candidates, pinned, bench


def widths(candidate, rank):
    return [part.outputs for part in candidate.chain(rank)[:-1]]


def layer_ms(clock, bench, name, batch_size=1):
    spec = bench.specs[name]
    return clock.ms((spec.part,), spec.in_shape, batch_size=batch_size)


# ---- what all this adds up to

@pytest.mark.parametrize("rest", [0.3, 0.0, -0.02])
def test_the_whole_network_is_its_layers_and_the_rest(clock, rest):
    clock.rest = rest
    cost, _, _, bench = surveyed()
    alone = {name: layer_ms(clock, bench, name) for name in CONVS + FCS}
    whole = rest + sum(alone.values())
    for name, ms in alone.items():  # layers on their own may take longer than the network: these take what it takes
        assert cost.layer(bench.specs[name]) == pytest.approx(ms * min(1, whole / (whole - rest)), rel=1e-5)
    assert cost.rest == pytest.approx(max(rest, 0), abs=2e-5)
    assert cost.whole_ms == pytest.approx(whole, rel=1e-5)


def test_where_layers_take_longer_alone_than_the_network_their_chains_are_not_believed_either(clock):
    clock.rest, clock.launch = -0.1, 0.03
    cost, candidates, _, bench = surveyed()
    factor = cost.whole_ms / sum(layer_ms(clock, bench, name) for name in CONVS + FCS)
    assert factor < 0.95 and cost.rest == pytest.approx(0, abs=1e-6)
    for one in candidates:
        for rank in cost.ranks(one, 1):
            spec, chain = one.spec, one.chain(rank)
            assert cost.chain(spec, chain) == pytest.approx(factor * clock.ms(chain, spec.in_shape), rel=0.06)


def test_a_batch_that_no_memory_holds_is_refused_before_anything_is_timed(clock):
    with pytest.raises(AccnnError, match="`batch_size=20000000` is too large to time the layer 'conv1': .* GB are "
                                         "needed"):
        planned(batch_size=20000000)
    assert clock.asked == []


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_another_precision_is_refused_before_anything_is_timed(clock, kind):
    model = chain_model(widths=(32, 48, 64), side=16)
    arrays = {name: array.astype(kind) for name, array in model.arg_params.items()}
    with pytest.raises(AccnnError, match="times chains in float32, but the weight of the layer 'conv1' is " + kind):
        planned(replace(model, arg_params=arrays))
    assert clock.asked == []


def test_layers_that_are_not_planned_are_part_of_the_rest_and_not_measured(clock):
    cost, candidates, _, bench = surveyed(exclude=["conv1", "fc2"])
    assert {one.name for one in candidates} == {"conv2", "conv3", "fc1"}
    assert [cost.layer(bench.specs[name]) for name in ("conv1", "fc2")] == [0.0, 0.0]
    missing = layer_ms(clock, bench, "conv1") + layer_ms(clock, bench, "fc2")
    assert cost.rest == pytest.approx(clock.rest + missing, rel=1e-4)
    assert not any(key.startswith(("3,16,16", "16|")) for key in clock.asked)


def test_chains_take_what_the_clock_says(clock):
    cost, candidates, _, bench = surveyed()
    checked = 0
    for one in candidates:
        candidate_ranks = cost.ranks(one, 1)
        for rank in candidate_ranks:
            assert cost.chain(one.spec, one.chain(rank)) == pytest.approx(
                clock.ms(one.chain(rank), one.spec.in_shape), rel=1e-5)
        checked += len(candidate_ranks)
    assert checked > 30
    asked, last = len(clock.asked), candidates[-1]
    with pytest.raises(AccnnError, match="no time for .* which was not surveyed: choose a rank that was"):
        cost.chain(last.spec, last.chain(5))
    assert len(clock.asked) == asked  # a model answers, and measures nothing


def test_chains_that_a_rank_rule_starts_at_are_timed_besides(clock):
    cost, candidates, _, _ = surveyed(initial=lambda candidates: [(candidates[-1], 5)])
    last = candidates[-1]
    assert 5 not in cost.ranks(last, 1)
    assert cost.chain(last.spec, last.chain(5)) == pytest.approx(clock.ms(last.chain(5), last.spec.in_shape), rel=1e-5)


def test_profit_starts_by_the_clock_where_people_say(clock):
    plan = planned(ratio=1.6, rank_selection="profit", initial_ranks={"conv3": 5, "conv2": 16})
    assert plan.chosen() and plan.made_by["latency"]["measured"]["median"] >= 1.6 * 0.97
    assert any(key.endswith("conv 5-64 1x3 p0x1 b") for key in clock.asked)


def test_ranks_are_multiples_that_the_machine_prefers(monkeypatch):
    for multiple in 16, 8:
        Clockwork(multiple=multiple).patched(monkeypatch)
        cost, candidates, _, _ = surveyed()
        wide = [one for one in candidates if one.name == "conv3"]
        assert {one.method.name for one in wide} == {"vh", "channel", "3d"}
        for one in wide:
            candidate_ranks = cost.ranks(one, 1)
            assert len(candidate_ranks) >= 4
            if one.method.name == "vh":
                assert all(rank % multiple == 0 for rank in candidate_ranks)
                assert any(rank % (2 * multiple) for rank in candidate_ranks)


def test_times_whose_errors_hide_the_line_they_lie_on_are_counted_all_the_same(clock, monkeypatch):
    """Interpolated by what was measured, but not by that with its standard error."""
    clock.multiple = 1
    monkeypatch.setattr("accnn.latency.candidates._ALL", 6)
    kept, calls = LatencyTable.ms_plus_stderr, itertools.count()

    def ms_plus_stderr(table, key):
        found = kept(table, key)
        return None if found is None else found * (1 + 0.1 * (next(calls) % 2))

    monkeypatch.setattr(LatencyTable, "ms_plus_stderr", ms_plus_stderr)
    cost, candidates, _, _ = surveyed()
    for one in candidates:
        for rank in cost.ranks(one, 1):
            assert 0.94 <= cost.chain(one.spec, one.chain(rank)) / clock.ms(one.chain(rank), one.spec.in_shape) <= 1.2


def test_a_plan_tells_every_layers_milliseconds(clock):
    plan = planned()
    found, bench = plan.made_by["latency"], Accelerator(MODEL, SHAPES)
    assert set(found["layers"]) == set(CONVS + FCS)
    chosen = {row.layer: row for row in plan.chosen()}
    assert len(chosen) >= 2
    for name, one in found["layers"].items():
        spec = bench.specs[name]
        assert one["before_ms"] == pytest.approx(layer_ms(clock, bench, name), rel=1e-5)
        after = clock.ms(methods.get(chosen[name].method).chain(spec, chosen[name].rank), spec.in_shape) \
            if name in chosen else one["before_ms"]
        assert one["after_ms"] == pytest.approx(after, rel=1e-5)
    saved_ms = sum(one["before_ms"] - one["after_ms"] for one in found["layers"].values())
    assert found["predicted_ms"] == pytest.approx(found["before_ms"] - saved_ms)
    assert plan.made_by["fc"] is True and "measuring" not in plan.made_by and json.loads(plan.text())


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


# ---- what people wish

def test_pinned_layers_are_measured_and_counted(clock):
    plan = planned(ratio=1.8, fixed={"conv3": 16, "fc1": 3})
    rows = {row.layer: row for row in plan.rows}
    assert (rows["conv3"].method, rows["conv3"].rank) == ("vh", 16)
    assert (rows["fc1"].method, rows["fc1"].rank) == ("fc-svd", 3)
    assert all({"conv3", "fc1"} <= set(one) for one in clock.plans if one)
    found, bench = plan.made_by["latency"], Accelerator(MODEL, SHAPES)
    spec = bench.specs["fc1"]
    wanted = clock.ms(methods.get("fc-svd").chain(spec, 3), spec.in_shape)
    assert found["layers"]["fc1"]["after_ms"] == pytest.approx(wanted, rel=1e-5)
    assert 1.8 * 0.97 <= found["measured"]["median"]


def test_only_pinned_layers(clock):
    """There is nothing to choose, so that the ratio is what it is."""
    plan = planned(ratio=1.2, layers=["conv1"], exclude=["conv1"], fixed={"conv3": 16})
    assert [row.layer for row in plan.chosen()] == ["conv3"]
    (one,) = [one for one in clock.plans if one]
    assert set(one) == {"conv3"} and plan.made_by["latency"]["measured"]["median"] > 1.2


@pytest.mark.parametrize("align", [8, 12, 32])
def test_align_beats_the_preferred_multiple(clock, align):
    """Also where there are few of them."""
    cost, candidates, _, _ = surveyed(align=align)
    for one in candidates:
        assert all(width % align == 0 for rank in cost.ranks(one, align) for width in widths(one, rank))
    assert sum(bool(cost.ranks(one, align)) for one in candidates) >= 3 and planned(ratio=1.3, align=align).chosen()


def test_excluded_layers_stay(clock):
    plan = planned(ratio=1.15, exclude=["conv3", "fc*"])
    reasons = {row.layer: row.reason for row in plan.rows}
    assert reasons["conv3"] == reasons["fc1"] == "excluded" and set(plan.made_by["latency"]["layers"]) == {
        "conv1", "conv2"}
    assert all(set(one) <= {"conv1", "conv2"} for one in clock.plans)


def test_several_methods_are_weighed_for_a_layer(clock):
    plan = planned(method="vh,channel,fc-svd", ratio=2.0)
    assert {row.method for row in plan.chosen()} == {"vh", "channel"}
    kinds = {len(parse(key)[1]) for key in clock.asked}
    assert kinds == {1, 2}  # none with three parts, as 3d has
    clock.asked.clear()
    assert {row.method for row in planned(method="channel", ratio=1.5).chosen()} == {"channel"}
    assert not any("3x1" in key for key in clock.asked)


@pytest.mark.parametrize("rule", ["dp-energy", "uniform", "profit"])
def test_other_rules_count_in_milliseconds_too(clock, rule):
    plan = planned(ratio=1.6, rank_selection=rule)
    assert plan.chosen() and plan.made_by["rank_selection"] == rule and plan.made_by["cost"] == "latency"
    assert plan.made_by["latency"]["measured"]["median"] >= 1.6 * 0.97


@pytest.mark.parametrize("rule, method", [("dp", "vh"), ("vbmf", "tucker")])
def test_rules_that_want_any_rank_are_refused(clock, rule, method):
    with pytest.raises(AccnnError, match="the rank rule %s chooses among ranks of which the cost latency does not know "
                                         "all: choose another `rank_selection`" % rule):
        planned(rank_selection=rule, method=method)
    assert clock.asked == clock.plans == []


# ---- what MXNet refuses

def test_chains_that_are_refused_are_not_offered_and_asked_again_another_time_only(clock, tmp_path):
    """Then there may be more memory."""
    clock.refused = lambda chain: len(chain) == 3
    plan = planned(cache=tmp_path, ratio=1.8)
    assert plan.chosen() and "3d" not in {row.method for row in plan.chosen()}
    assert len(clock.asked) == len(set(clock.asked))
    clock.asked.clear()
    planned(cache=tmp_path, ratio=1.8)
    assert clock.asked and all(len(parse(key)[1]) == 3 for key in clock.asked)
    clock.refused = lambda chain: False
    planned(cache=tmp_path, ratio=1.8)
    clock.asked.clear()
    planned(cache=tmp_path, ratio=1.8)
    assert clock.asked == []


def test_a_layer_that_is_refused_is_named_with_the_reason(clock):
    clock.refused = lambda chain: len(chain) == 1 and chain[0].outputs == 64
    with pytest.raises(AccnnError, match=r"no time for 48,16,16\|conv 48-64 3x3 p1x1 b: no such kernel; leave "
                                         "the layer out with `exclude`"):
        planned()


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


def test_noise_is_told_of_chains_that_matter(clock, capsys):
    planned()
    assert "noisy" not in capsys.readouterr().err
    clock.spread = 0.5
    planned()
    assert "noisy: " in capsys.readouterr().err


def test_keys_of_a_plan_are_its_chains(clock):
    cost, candidates, _, bench = surveyed()
    one = candidates[0]
    keys = cost.plan_keys({one.name: (one, 4), "conv3": None})
    assert keys == {one.name: chain_key(places_of(bench.model.graph, bench.layers)[one.name], one, 4)}


def test_transposed_and_old_convolutions_are_planned_and_loops_stay_in_the_rest(clock):
    def step(frame, states):
        now = S.Convolution(frame, kernel=(3, 3), pad=(1, 1), num_filter=8, name="in") + states[0]
        return now, [now]

    x = S.Convolution_v1(S.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=48, name="old")
    x = S.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=48, name="up")
    offset = S.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=18, name="offset")
    x = S.contrib.DeformableConvolution(x, offset, kernel=(3, 3), pad=(1, 1), num_filter=2, name="deform")
    frames = S.expand_dims(S.swapaxes(x, dim1=0, dim2=1), axis=2)
    _, last = S.contrib.foreach(step, frames, [S.zeros((1, 8, 32, 32))])
    plan = planned(random_model(last[0], data=SHAPES["data"]), ratio=1.2, layers=("old", "up", "deform", "*/in"))
    assert {row.layer for row in plan.chosen()} & {"old", "up"} and plan.made_by["reached"] >= 1.2
    assert {row.layer: row.reason for row in plan.rows}["deform"].startswith("deformable")
    words = {part.split()[0] for key in clock.asked for part in key.split("|")[1:]}
    assert words == {"conv", "deconv", "conv_v1"}


def test_half_precision_by_casts_is_refused_before_anything_is_timed(clock):
    symbol, args, aux = amp.convert_model(MODEL.symbol, dict(MODEL.arg_params), {}, target_dtype="bfloat16")
    with pytest.raises(AccnnError, match="times chains in float32.*'conv1' is bfloat16"):
        planned(Model(Graph.from_symbol(symbol), args, aux))
    assert not clock.asked

"""The milliseconds of one network, on a machine made of arithmetic: what is measured and accounted for."""
import itertools
import json
from dataclasses import replace

import pytest
from mxnet.contrib import amp
from planned_for_tests import CONVS, FCS, MODEL, SHAPES, layer_ms, planned, surveyed

from accnn import methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.latency.table import LatencyTable
from accnn.planning.accelerator import Accelerator
from accnn.timing.keys import chain_key, parse, places_of
from clockwork import Clockwork
from networks import chain_model, random_model

S = mx.sym


def widths(candidate, rank):
    return [part.outputs for part in candidate.chain(rank)[:-1]]


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

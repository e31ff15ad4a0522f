"""Plans in another precision than float32, on a fake clock."""
import json

import pytest

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.latency.config import TimingConfig
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import load_plan
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.ranks.curve import Curve, measured_ranks
from accnn.report.plan import summary, table
from accnn.timing import client
from clockwork import Clockwork
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}
MODEL = chain_model(widths=(32, 48, 64), side=16)


@pytest.fixture
def clock(monkeypatch):
    """Clockwork: INT8 takes a quarter of the time, but for what is no layer."""
    return Clockwork(multiple=4, launch=0.001, rest=0.02, bias=1.0).patched(monkeypatch)


def planned(ratio, cache=None, **options):
    how = TimingConfig(threads=1, cache=cache and str(cache))
    return select_ranks(Accelerator(MODEL, SHAPES), Request(ratio, cost="latency", measuring=how, **options))


def test_the_ratio_is_that_of_int8_over_float32(clock):
    plan = planned(6.0, precision="int8")
    found = plan.made_by["latency"]
    assert found["measured"]["median"] == pytest.approx(6.0, rel=0.03)
    assert {row.precision for row in plan.rows} == {"int8"} and plan.chosen()
    assert any(" u8|" in key for key in clock.asked) and any(" s8|" in key for key in clock.asked)


def test_bfloat16_is_planned_the_same_way(clock):
    plan = planned(2.5, precision="bf16")
    assert plan.made_by["latency"]["measured"]["median"] == pytest.approx(2.5, rel=0.03)
    assert {row.precision for row in plan.rows} == {"bf16"} and any(" bf16|" in key for key in clock.asked)


def test_a_precision_that_the_engine_does_not_have_here(clock, monkeypatch):
    monkeypatch.setattr(engines.get("mxnet"), "refuse", lambda precision, stored: "no %s here" % precision)
    with pytest.raises(AccnnError, match="no bf16 here"):
        planned(2.0, precision="bf16")


def test_chains_of_layers_that_stay_in_float32_are_timed_in_it(clock):
    plan = planned(3.0, precision="int8", keep_fp32=["conv2"])
    assert {row.layer: row.precision for row in plan.rows}["conv2"] == "fp32"
    assert not [key for key in clock.asked if key.startswith("32,") and "8|" in key]


def test_what_a_precision_gives_alone_is_taken_where_it_is_enough(clock):
    plan = planned(1.5, precision="int8")
    assert not plan.chosen() and plan.made_by["latency"]["measured"]["median"] > 2


def test_milliseconds_of_both_precisions_are_kept_apart(clock, tmp_path):
    planned(2.0, tmp_path)
    asked = len(clock.asked)
    planned(5.0, tmp_path, precision="int8")
    table = json.loads((tmp_path / "latencies.json").read_text())["measured"][0]["times"]
    networks = sorted(key for key in table if key.startswith("network"))
    assert len(networks) == 2 and networks[1] == networks[0] + " int8"
    assert len(clock.asked) > asked
    asked = len(clock.asked)
    assert planned(5.5, tmp_path, precision="int8").made_by["latency"]["measured"] and len(clock.asked) - asked < 5


def test_a_row_says_why_a_layer_is_in_float32(clock, tmp_path):
    accelerator, path = Accelerator(MODEL, SHAPES), str(tmp_path / "plan.json")
    how = TimingConfig(threads=1)
    plan = select_ranks(accelerator, Request(5.0, cost="latency", precision="int8", keep_fp32=["conv2"], measuring=how))
    assert {row.layer: row.why_fp32 for row in plan.rows if row.precision == "fp32"} == {"conv2": "it is excluded"}
    lines = table(summary(accelerator, plan))
    assert [line.split()[0] for line in lines if "in float32: it is excluded" in line] == ["conv2"]
    plan.save(path)
    assert [row.why_fp32 for row in accelerator.check(load_plan(path)).rows] == [row.why_fp32 for row in plan.rows]


class Responses:
    """INT8 costs conv2 much, and all else next to nothing; so does every chain."""

    images, outcomes = None, {}

    def curves(self, candidates):
        """dict of Curve."""
        return {(one.name, one.method.name): Curve(one, [(rank, 1e-2) for rank in some])
                for one in candidates for some in [measured_ranks(one)] if some}

    def points(self, layer, method):
        """None: there are no plots here."""

    def int8_noise(self, candidates):
        """dict of str to float."""
        return {one.name: 0.5 if one.name == "conv2" else 1e-3 for one in candidates}


@pytest.mark.parametrize("ratio, is_float", [(2.2, True), (3.9, False)])
def test_precision_is_a_part_of_the_choice(clock, monkeypatch, ratio, is_float):
    """A layer that INT8 costs much stays in float32 where there is time for it, and is timed there."""
    jobs, real = [], clock.time_networks
    monkeypatch.setattr(client, "time_networks", lambda job: jobs.append(job) or real(job))
    accelerator = Accelerator(MODEL, SHAPES)
    accelerator.responses = Responses()
    plan = select_ranks(accelerator, Request(ratio, cost="latency", precision="int8",
                                             measuring=TimingConfig(threads=1)))
    in_fp32 = {row.layer: row.why_fp32 for row in plan.rows if row.precision == "fp32"}
    assert ("conv2" in in_fp32) == is_float and any(
        set(job.exclude).union(*job.in_fp32) == set(in_fp32) for job in jobs)
    assert all("in INT8 it alone costs the outputs" in why for why in in_fp32.values())
    assert any(key.startswith("32,16,16 u8 fp32|conv 32-48") for key in clock.asked)
    assert plan.made_by["latency"]["measured"]["median"] >= 0.97 * ratio


def test_a_plan_says_precisions_and_is_read_again(clock, tmp_path):
    plan = planned(5.0, precision="int8", keep_fp32=["fc1"])
    plan.save(str(tmp_path / "plan.json"))
    again = load_plan(str(tmp_path / "plan.json"))
    before = {row.layer: row.precision for row in plan.rows}
    assert {row.layer: row.precision for row in again.rows} == before and set(before.values()) == {"int8", "fp32"}
    assert {row.layer: row.precision for row in Accelerator(MODEL, SHAPES).check(again).rows} == before


@pytest.mark.parametrize("options, said", [
    ({"precision": "int4"}, "precision=int4"), ({"keep_fp32": ["conv1"]}, "keep_fp32"),
    ({"precision": "int8", "keep_fp32": ["conv9"]}, "conv9"), ({"precision": "int8", "keep_fp32": ["*"]}, "excluded")])
def test_refused(clock, options, said):
    with pytest.raises(AccnnError, match=said):
        planned(2.0, **options)


@pytest.mark.parametrize("written, said", [({"conv1": "int3"}, "int3"), ({"conv1": "int8", "conv2": "bf16"}, "one")])
def test_precisions_of_a_file_that_make_no_sense(tmp_path, written, said):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"conv_params": {"conv1": 4}, "precision": written}))
    with pytest.raises(AccnnError, match=said):
        load_plan(str(path))

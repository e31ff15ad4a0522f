"""Slow layers' chains are timed with a part of the batch; the machine is made of arithmetic."""
import pytest

from accnn.latency.config import TimingConfig
from accnn.latency.partial_batch import PartialBatch, partial_batch_size
from accnn.latency.profiler import LatencyProfiler
from accnn.latency.table import LatencyTable, Setting
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.timing.job import Timed
from accnn.timing.keys import parse
from clockwork import Clockwork
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}
LAYER = "32,16,16 x2|conv 32-48 3x3 p1x1 b"


@pytest.mark.parametrize("ms, batch_size, images", [(29, 8, 8), (41, 8, 2), (160, 8, 1), (4000, 32, 1), (400, 1, 1),
                                                    (80, 32, 6)])
def test_a_part_is_what_takes_long_enough_to_be_timed(ms, batch_size, images):
    assert partial_batch_size(ms, batch_size) == images


def test_what_a_part_says_of_the_whole():
    one = PartialBatch(LAYER, 30.0, 2, 8)
    asked = one.partial_key("32,16,16 x2|conv 32-8 3x1 p1x0|conv 8-48 1x3 p0x1 b")
    assert asked == "32,16,16 x4|conv 32-8 3x1 p1x0|conv 8-48 1x3 p0x1 b"
    one.calibrate(Timed(one.partial_key(LAYER), 6.0, 0.01, 5, 1.0))
    assert one.scaled(Timed(asked, 1.5, 0.02, 5, 1.0), "key") == Timed("key", 7.5, 0.02, 5, 1.0)
    refused = one.scaled(Timed(asked, None, None, 0, None, "why"), "key")
    assert (refused.key, refused.relative, refused.refused) == ("key", None, "why")
    one.calibrate(Timed(one.partial_key(LAYER), None, None, 0, None, "why"))
    assert one.factor == 4


@pytest.fixture
def slow(monkeypatch):
    """Clockwork: on which conv2 and conv3 take 60 ms and more with a batch of 8, and conv1 does not."""
    return Clockwork(rate=3e5, launch=0.5).patched(monkeypatch)


def test_slow_layers_are_timed_whole_and_their_chains_in_part(slow, tmp_path):
    model = chain_model(widths=(16, 48, 64), side=16)
    plan = select_ranks(Accelerator(model, SHAPES), Request(2, cost="latency", measuring=TimingConfig(
        8, 1, cache=str(tmp_path))))
    repeats = {}
    for key in slow.asked:
        place, chain = parse(key)
        repeats.setdefault((place.in_shape, len(chain) > 1), set()).add(place.repeats)
    assert repeats[(16, 16, 16), True] == {2} and repeats[(16, 16, 16), False] == {1, 2}
    assert repeats[(3, 16, 16), True] == {1}
    assert {batch for _, batch in slow.said} == {1, 8}
    layers = plan.made_by["latency"]["layers"]
    for row in plan.chosen():
        spec = Accelerator(model, SHAPES).specs[row.layer]
        alone = slow.ms((spec.part,), spec.in_shape, batch_size=8)
        assert layers[row.layer]["before_ms"] == pytest.approx(alone, rel=1e-4)
    # Starting a kernel takes as long for a part: a small error, which the layer's own factor carries over.
    assert 1.94 <= plan.made_by["reached"] <= 2.2 and abs(plan.made_by["latency"]["prediction_error"]) < 0.15
    slow.asked.clear()
    select_ranks(Accelerator(model, SHAPES), Request(2, cost="latency", measuring=TimingConfig(8, 1,
                                                                                               cache=str(tmp_path))))
    assert slow.asked == []


def test_of_layers_that_read_the_same_the_fastest_tells_the_part(slow):
    fast, slow_one = "8,9,9|conv 8-4 1x1", "8,9,9|conv 8-400 3x3 p1x1"
    table = LatencyTable(Setting.here(1, 8))
    for key, relative in ((slow_one, 100.0), (fast, 30.0), ("4,9,9|conv 4-4 1x1", 1.0)):
        table.add(Timed(key, relative, 0.0, 5, 2.0))
    profiler = LatencyProfiler(None, TimingConfig(8, 1), table)
    profiler.use_partial_batch([slow_one, fast, "4,9,9|conv 4-4 1x1"])
    assert {place: (one.layer, one.images) for place, one in profiler._partial_batches.items()} == {"8,9,9": (fast, 2)}


def test_a_part_that_is_answered_later_waits_for_its_layer(slow, monkeypatch):
    """Whatever groups the questions come in, all are told in the end, and none before its place is known."""
    monkeypatch.setattr("clockwork._GROUP", 1)
    model = chain_model(widths=(16, 48, 64), side=16)
    plan = select_ranks(Accelerator(model, SHAPES), Request(2, cost="latency", measuring=TimingConfig(8, 1)))
    assert 1.94 <= plan.made_by["reached"] <= 2.2

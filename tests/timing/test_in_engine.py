"""Chains and networks timed in engines other than MXNet."""
import time
import types

import numpy as np
import pytest

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.libraries import missing
from accnn.timing import chains, client, in_engine
from accnn.timing.clock import time_interleaved
from accnn.timing.engines import over_originals
from accnn.timing.job import NetworksJob, SurveyJob
from accnn.timing.keys import parse
from networks import chain_model, saved

CONV, SPLIT = "16,9,9|conv 16-24 3x3 p1x1 b", "16,9,9|conv 16-8 3x1 p1x0|conv 8-24 1x3 p0x1 b"
KINDS = ["3,9,9 plain|conv 3-8 3x3 s2x2", "8,9|conv 8-12 3 p1", "8,5,5|deconv 8-4 2x2 s2x2 b", "20 x3|fc 20-3|fc 3-7 b",
         "8,4,4|fc 128-6", "5,20|fc 20-3 last", "20 x3|conv 5-3 1x1 m5,2,2|conv 3-16 2x2|fc 16-7 b"]


def there(name, precision="fp32"):
    """Engine: skipped where it cannot be used."""
    if engines.get(name).refuse(precision):
        pytest.skip(engines.get(name).refuse(precision))
    return engines.get(name)


def of(text, precision):
    """str: the key of a chain in a precision."""
    numbers = {"fp32": "", "bf16": " bf16", "int8": " u8"}[precision]
    return text.replace("|", numbers + "|", 1)


@pytest.mark.parametrize("name, precision", [("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")])
def test_every_kind_of_chain_runs(name, precision):
    there(name, precision)
    texts = [of(text, precision) for text in [CONV, SPLIT] + KINDS]
    found = [timed for group in chains.survey(SurveyJob(tuple(texts), 1, 2, 3, engine=name)) for timed in group]
    assert [timed.key for timed in found] == texts and [timed.refused for timed in found] == [None] * len(texts)
    assert all(0 < timed.relative < 10 for timed in found)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_chains_in_int8(name):
    there(name, "int8")
    texts = tuple(text.replace("|", numbers + "|", 1) for text in (CONV, KINDS[3]) for numbers in (" u8", " s8"))
    found = [timed for group in chains.survey(SurveyJob(texts, 1, 1, 3, engine=name)) for timed in group]
    assert all(timed.relative > 0 for timed in found), found


def test_what_stands_beside_a_chain():
    place, chain = parse(CONV)
    front, = in_engine._front(place, chain)
    behind, = in_engine._behind(place, chain)
    assert front.out_shape(place.in_shape) == place.in_shape and front.kernel == (1, 1)
    assert behind.in_channels == 24 and behind.out_shape((24, 9, 9))[1:] == (9, 9)
    for text in KINDS[:1] + KINDS[3:]:
        assert in_engine._front(*parse(text)) == ()
    assert in_engine._front(*parse(KINDS[1]))[0].out_shape((8, 9)) == (8, 9)


def test_seconds_that_a_callable_tells_count(monkeypatch):
    (told, measured), reference = time_interleaved([lambda: 5.0, lambda: None], lambda: None, 3, 3, lambda _: ()), None
    assert told.seconds.values == (5.0,) * 3 and max(measured.seconds.values) < 1 and reference is None
    slow = in_engine._difference(lambda: time.sleep(0.01), lambda: time.sleep(0.03))
    assert 0.015 < slow() < 0.1 and in_engine._difference(lambda: time.sleep(0.01), lambda: None)() == 1e-7


@pytest.mark.parametrize("name, precision", [("onnxruntime", "fp32"), ("openvino", "bf16")])
@pytest.mark.parametrize("own", [False, True])
def test_planned_networks_beside_the_original(name, precision, own, tmp_path):
    there(name, precision)
    prefix = saved(chain_model(), tmp_path / "net")
    plan = {"conv2": of("8,12,12|conv 8-4 3x1 p1x0|conv 4-12 1x3 p0x1 b", precision)}
    answer = client.time_networks(NetworksJob(
        prefix, 1, (("data", (3, 12, 12)),), (plan,), rounds=3, engine=name, precision=precision,
        baseline=(name, precision) if own else ("mxnet", "fp32")))
    assert answer["baseline"]["median_ms"] > 0 and answer["plans"][0]["measured"]["median"] > 0


def test_the_engine_that_is_asked_loads_the_original_too(monkeypatch):
    loaded = []
    network = types.SimpleNamespace(inputs=["data"], once=lambda *_: lambda: None)
    for name in engines.names():
        monkeypatch.setattr(engines.get(name), "load", lambda model, shapes, batch, threads, precision, calibration,
                            name=name: loaded.append((name, precision, batch, threads)) or network)
    examples = {"data": np.zeros((2, 3, 12, 12))}
    in_engine.network_call("openvino", chain_model(), {"data": (3, 12, 12)}, examples, 3, "bf16")
    assert loaded == [("openvino", "bf16", 2, 3)]


def test_ratios_over_every_original():
    rows = [dict(engine=name, version="1", precision="fp32", ran="fp32", median_ms=ms, ms=[ms] * 3)
            for name, ms in (("mxnet", 8.0), ("openvino", 6.0), ("openvino", 2.0))]
    found = [(one["engine"], one["measured"]["median"]) for one in over_originals(rows)]
    assert found == [("mxnet", 4), ("openvino", 3)]
    with pytest.raises(AccnnError, match="no such layer"):
        over_originals(rows[:1] + [{"refused": "no such layer"}])


def test_nothing_of_an_engine_is_needed_for_the_others():
    assert missing("onnx") or engines.get("openvino").profiles and not engines.get("onnxruntime").profiles

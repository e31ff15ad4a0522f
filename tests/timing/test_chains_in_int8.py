"""Chains in other precisions than float32: as parts of a network, without conversions at their ends."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.graph.cut import DATA
from accnn.graph.specs import layer_specs
from accnn.quantization.conversion import converted
from accnn.timing import chains, low_precision, passes
from accnn.timing.keys import key, parse, places_of
from accnn.timing.planned import left_out
from networks import chain_model

V_H = "16,12,12 %s|conv 16-8 3x1 p1x0|conv 8-16 1x3 p0x1 b"
DENSE = "64 %s|fc 64-16|fc 16-32 b"


def opened(text):
    """(Model, Model): the chain of a key in float32, and what is timed of it."""
    place, chain = parse(text)
    part, form = chains.random_chain(chain, np.random.RandomState(0)), low_precision.FORMS[place.numbers]
    return part.model, low_precision.opened(converted(part.model, form.precision), form)


@pytest.mark.parametrize("numbers", ["u8", "s8"])
@pytest.mark.parametrize("text", [V_H, "8,6,6 %s|conv 8-8 3x3 p1x1 g8|conv 8-8 1x1 b"])
def test_chains_of_int8_read_and_give_int8(text, numbers):
    _, model = opened(text % numbers)
    operators = [node.op for node in model.graph.nodes if not node.is_variable]
    assert operators == ["_sg_mkldnn_conv"] * 2 and len(model.graph.heads) == 3
    assert [name for name in model.symbol.list_arguments() if DATA in name] == [DATA, DATA + "_min", DATA + "_max"]


@pytest.mark.parametrize("text", [V_H, DENSE, "8,6,6 %s|fc 288-16|fc 16-4 b"])
def test_chains_of_bf16_convert_nothing(text):
    _, model = opened(text % "bf16")
    assert not [node for node in model.graph.nodes if "cast" in node.op]


def test_numbers_are_those_of_the_chain():
    model, int8 = opened(V_H % "u8")
    data = np.random.RandomState(1).randint(0, 128, (2, 16, 12, 12))
    true, = passes.executor(model, {DATA: mx.nd.array(4 / 255 * data)}).forward()
    feeds = {DATA: mx.nd.array(data, dtype="uint8"), DATA + "_min": mx.nd.array([0]), DATA + "_max": mx.nd.array([4])}
    found, low, high = passes.executor(int8, feeds).forward()
    assert found.dtype == np.int8 and float(high.asscalar()) == pytest.approx(4) and float(low.asscalar()) < 0
    error = 4 / 127 * found.asnumpy().astype(np.float32) - np.clip(true.asnumpy(), -4, 4)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(true.asnumpy())


def test_a_layer_that_int8_does_not_compute_converts_what_it_reads():
    _, model = opened("8,6,6 u8|deconv 8-8 4x4 s2x2 p1x1")
    assert [node.op for node in model.graph.nodes if not node.is_variable] == ["_contrib_dequantize", "Deconvolution"]


@pytest.mark.parametrize("text", [V_H, DENSE, "3,12,12 plain %s|conv 3-8 3x3 p1x1 b"])
def test_a_chain_in_float32_among_others_converts_and_is_computed_as_it_is(text):
    text = text % "u8 fp32"
    assert key(*parse(text)) == text and parse(text)[0].as_float
    place, chain = parse(text)
    part, form = chains.random_chain(chain, np.random.RandomState(0)), low_precision.FORMS["u8"]
    model = low_precision.closed(low_precision.opened(part.model, form), form)
    operators = [node.op for node in model.graph.nodes if not node.is_variable]
    assert operators[0] == "_contrib_dequantize" and operators[-1] == "_contrib_quantize_v2"
    data = np.random.RandomState(1).randint(0, 255, (2,) + place.in_shape if len(place.in_shape) > 1 else (2, 64))
    true, = passes.executor(part.model, {DATA: mx.nd.array(4 / 255 * data)}).forward()
    feeds = {DATA: mx.nd.array(data, dtype="uint8"), DATA + "_min": mx.nd.array([0]), DATA + "_max": mx.nd.array([4])}
    found, low, high = [one.asnumpy() for one in passes.executor(model, feeds).forward()]
    scale = high.item() / (255 if found.dtype == np.uint8 else 127)
    np.testing.assert_allclose(scale * found, np.clip(true.asnumpy(), low.item(), high.item()), atol=0.55 * scale)
    before, once = chains.chain_call(text, 2, 0)
    before()
    once()


@pytest.mark.parametrize("text", [V_H, DENSE, "3,12,12 plain %s|conv 3-8 3x3 p1x1 b", "8,6,6 %s|fc 288-16|fc 16-4 b"])
@pytest.mark.parametrize("numbers", ["u8", "s8", "bf16"])
def test_a_pass_runs(text, numbers):
    before, once = chains.chain_call(text % numbers, 2, 0)
    before()
    once()


def test_keys_say_what_chains_read():
    model = chain_model(widths=(8, 12, 16))
    specs = layer_specs(model, {"data": (3, 12, 12)})
    places = places_of(model.graph, specs, {"conv1": "int8", "conv2": "int8", "fc1": "bf16"})
    assert {name: place.numbers for name, place in places.items()} == {
        "conv1": "s8", "conv2": "u8", "conv3": None, "fc1": "bf16", "fc2": None}
    text = key(places["conv2"], (specs[1].part,))
    assert text.startswith("8,12,12 u8|conv 8-12") and parse(text)[0] == places["conv2"]


def test_parts_of_chains_stay_in_float32_with_their_layer():
    assert left_out(["a", "b"], {"a": V_H % "u8"}) == ["a_0", "a_1", "b"]

"""INT8 networks computed as plain MXNet does: to the last bit, whatever binds them, and whatever was bound before."""
import os

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model, save_model
from accnn.runtime.bound import BoundNetwork
from accnn.runtime.fusion import fuses_rightly, unfused
from accnn.runtime.predictor import Predictor
from accnn.timing.stored import StoredModel, released
from mxnet_int8 import by_accnn, module_outputs, quantized
from networks import chain_model, random_input, random_model, residual_net, saved

SHAPES, IMAGES = {"data": (3, 12, 12)}, random_input(22, 3, 12, 12)
MODELS = {"chain": chain_model, "residual": lambda: random_model(residual_net(), data=(3, 12, 12))}
CASES = [(kind, make, how) for kind in MODELS for make, how in (
    (quantized, {}), (quantized, {"excluded_sym_names": ["sg_mkldnn_conv_act_0", "sg_mkldnn_conv_0"]}),
    (quantized, {"quantize_granularity": "channel-wise"}), (by_accnn, {}))]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(
    [case[0], case[1].__name__] + list(case[2])))
def prefix(request, tmp_path_factory):
    kind, make, how = request.param
    return saved(make(MODELS[kind](), IMAGES[:8], **how), tmp_path_factory.mktemp(kind) / "q")


def wanted(prefix, batch_size=8):
    return module_outputs(*mx.model.load_checkpoint(prefix, 1), images=IMAGES, batch_size=batch_size)


def answers(network, size=8):
    found = [[output.asnumpy() for output in network.forward(mx.nd.array(IMAGES[first:first + size]))]
             for first in range(0, len(IMAGES), size)]
    return [np.concatenate(some) for some in zip(*found)]


def same(found, others):
    assert len(found) == len(others) > 0
    for some, other in zip(found, others):
        np.testing.assert_array_equal(some, other)


@pytest.mark.parametrize("kind", [Predictor, BoundNetwork])
def test_the_numbers_of_a_plain_module(prefix, kind):
    """With a last batch of another size, and full ones again behind it."""
    network = kind(load_model(prefix), SHAPES, 8)
    same(answers(network), wanted(prefix))
    same(answers(network), wanted(prefix))


def test_fused_again_or_not_the_numbers_are_the_same(prefix):
    model = load_model(prefix)
    assert fuses_rightly(model.graph)
    with unfused():
        same(answers(Predictor(model, SHAPES, 8)), wanted(prefix))


def test_the_parameters_are_left_as_they_were(prefix):
    model, before = load_model(prefix), load_model(prefix)
    for kind in (Predictor, BoundNetwork):
        answers(kind(model, SHAPES, 8))
    for name, array in before.arg_params.items():
        np.testing.assert_array_equal(model.arg_params[name].asnumpy(), array.asnumpy(), err_msg=name)


def test_weights_that_stay_in_the_file(prefix):
    stored = StoredModel(load_model(prefix))
    network = BoundNetwork(stored.model, SHAPES, 8)
    with released([stored]):
        same(answers(network), wanted(prefix))
    stored.release()
    same(answers(network), wanted(prefix))


def test_other_parameters_in_another_network_of_the_same_layers(prefix, tmp_path):
    """Each network keeps its own, although a Module that has run keeps those of its first pass."""
    model = load_model(prefix)
    name = next(name for name in model.arg_params if "_weight" in name)
    halved = load_model(prefix)
    halved.arg_params[name] = mx.nd.array(model.arg_params[name].asnumpy() // 2, dtype=model.arg_params[name].dtype)
    save_model(halved, str(tmp_path / "other"))
    first, second = Predictor(model, SHAPES, 8), Predictor(load_model(str(tmp_path / "other")), SHAPES, 8)
    for _ in range(2):
        same(answers(first), wanted(prefix))
        same(answers(second), wanted(str(tmp_path / "other")))
    assert os.path.getsize(prefix + "-0001.params") == os.path.getsize(str(tmp_path / "other-0001.params"))
    assert not np.array_equal(answers(first)[0], answers(second)[0])


def test_internal_outputs(prefix):
    """One that is followed by INT8 operators, alone."""
    model = load_model(prefix)
    inside = model.symbol.get_internals()
    symbol = inside[next(name for name in inside.list_outputs() if "quantize" in name and name.endswith("output"))]
    _, args, aux = mx.model.load_checkpoint(prefix, 1)
    same(answers(Predictor(model, SHAPES, 8, symbol=symbol)), module_outputs(symbol, args, aux, IMAGES, 8))

"""Random parameters: their distribution, their repeatability, their memory."""
import tracemalloc

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from model_zoo import initialise
from model_zoo.initialise import random_parameters
from model_zoo.symbols import resnet50, squeezenet

IMAGE_SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def residual():
    return random_parameters(resnet50.get_symbol(), IMAGE_SHAPE, seed=5)


def one_layer(units=64, inputs=5000):
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=units, name="fc")
    return symbol, (inputs,)


def as_bytes(params):
    return {name: value.asnumpy().tobytes() for name, value in params.items()}


def test_every_parameter_has_its_shape(residual):
    symbol = resnet50.get_symbol()
    arg_shapes, _, aux_shapes = symbol.infer_shape(data=(1,) + IMAGE_SHAPE)
    expected = dict(zip(symbol.list_arguments(), arg_shapes))
    del expected["data"], expected["softmax_label"]
    assert {name: value.shape for name, value in residual[0].items()} == expected
    assert {name: value.shape for name, value in residual[1].items()} == dict(
        zip(symbol.list_auxiliary_states(), aux_shapes))


def test_batchnorm_is_the_identity_and_biases_vanish(residual):
    constants = {"_bias": 0, "_gamma": 1, "_beta": 0, "_moving_mean": 0, "_moving_var": 1}
    for name, value in list(residual[0].items()) + list(residual[1].items()):
        for ending, constant in constants.items():
            if name.endswith(ending):
                assert (value.asnumpy() == constant).all(), name


@pytest.mark.parametrize("layer, fan_in", [("stage3_unit2_conv2", 256 * 9), ("stage4_unit1_conv1sc", 1024),
                                           ("fc1", 2048), ("conv0", 147)])
def test_weights_are_he_normal(residual, layer, fan_in):
    values = residual[0][layer + "_weight"].asnumpy().ravel().astype(np.float64)
    deviation = np.sqrt(2.0 / fan_in)
    spread = 5 / np.sqrt(values.size)  # five standard errors
    assert abs(values.mean()) < spread * deviation
    assert values.std() == pytest.approx(deviation, rel=spread)
    assert (np.abs(values) < deviation).mean() == pytest.approx(0.6827, abs=spread)


def test_fan_in_of_a_grouped_convolution_is_that_of_one_group():
    conv = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=256, num_group=4, name="conv")
    values = random_parameters(conv, (64, 8, 8))[0]["conv_weight"].asnumpy()
    assert values.std() == pytest.approx(np.sqrt(2.0 / (16 * 9)), rel=0.03)


def test_same_seed_same_bytes_and_another_seed_other_weights():
    symbol, shape = one_layer()
    first, again, other = (as_bytes(random_parameters(symbol, shape, seed)[0]) for seed in (1, 1, 2))
    assert first == again
    assert first["fc_weight"] != other["fc_weight"]


def test_values_are_pinned():
    """NumPy promises the bits of RandomState: these change only with the way it is seeded here."""
    weights = random_parameters(squeezenet.get_symbol(), squeezenet.IMAGE_SHAPE)[0]["conv1_weight"].asnumpy()
    np.testing.assert_allclose(weights.ravel()[:3], [-0.026222756, 0.12558724, -0.06277041], rtol=1e-6)


def test_a_layer_does_not_depend_on_the_others():
    few, many = (random_parameters(squeezenet.get_symbol(classes), squeezenet.IMAGE_SHAPE)[0] for classes in (10, 1000))
    assert few["fire9_conv3x3_2_weight"].asnumpy().tobytes() == many["fire9_conv3x3_2_weight"].asnumpy().tobytes()
    weights = [few["fire%d_conv3x3_2_weight" % number].asnumpy() for number in (2, 3)]
    assert weights[0].shape == weights[1].shape and not np.array_equal(*weights)


def test_blocks_do_not_show(monkeypatch):
    symbol, shape = one_layer()
    whole = as_bytes(random_parameters(symbol, shape)[0])
    monkeypatch.setattr(initialise, "BLOCK", 999)
    assert as_bytes(random_parameters(symbol, shape)[0]) == whole


def test_memory_stays_near_that_of_the_parameters():
    symbol, shape = one_layer(units=1000, inputs=16000)
    size = 4 * 1000 * 16000
    tracemalloc.start()
    try:
        random_parameters(symbol, shape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < peak < 1.5 * size


def test_parameter_of_an_unknown_kind_is_refused():
    symbol = mx.sym.Embedding(mx.sym.var("data"), weight=mx.sym.var("table"), input_dim=4, output_dim=3, name="e")
    with pytest.raises(AccnnError, match="table has none of the endings"):
        random_parameters(symbol, (2,))

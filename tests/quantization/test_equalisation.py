"""Scales across nonlinearities: invariant in float32, better in INT8, and refused where something else reads."""
import numpy as np
import pytest
from linked import conv, norm, relu, uneven

from accnn.core.compat import mx
from accnn.quantization.equalisation import Crossing, best_scales, equalise
from accnn.reconstruction.images import ArrayImages
from networks import outputs, random_input, random_model

SHAPES = {"data": (8, 6, 6)}
ACTIVATIONS = {
    "relu": relu, "leaky": lambda x: mx.sym.LeakyReLU(x, act_type="leaky", slope=0.1),
    "prelu": lambda x: mx.sym.LeakyReLU(x, act_type="prelu")}


def network(activation, groups=1, normalised=False, pool="max", fix_gamma=False):
    x = conv(mx.sym.Variable("data"), "first", 16, 3, no_bias=normalised)
    x = norm(x, "norm", fix_gamma=fix_gamma) if normalised else x
    x = mx.sym.Pooling(activation(x), kernel=(2, 2), stride=(2, 2), pool_type=pool)
    x = activation(conv(x, "second", 16, 3, num_group=groups))
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, name="fc")
    model = random_model(mx.sym.SoftmaxOutput(x, name="softmax"), 0, data=(8, 6, 6))
    return uneven(model, ("norm_gamma" if normalised and not fix_gamma else "first_weight", "second_weight"))


def branches():
    squeeze = relu(conv(mx.sym.Variable("data"), "squeeze", 8))
    left, right = relu(conv(squeeze, "left", 8)), relu(conv(squeeze, "right", 12, 3))
    joined = mx.sym.Pooling(mx.sym.concat(left, right, dim=1), kernel=(2, 2), stride=(2, 2), pool_type="avg")
    model = random_model(conv(joined, "last", 5), 0, data=(8, 6, 6))
    return uneven(model, ("squeeze_weight", "left_weight", "right_weight"))


def check(model):
    made, scalings = equalise(model, ArrayImages({"data": random_input(40, 8, 6, 6)}, 20), SHAPES)
    x = random_input(8, 8, 6, 6, seed=5)
    expected = outputs(model, data=x)[0]
    np.testing.assert_allclose(outputs(made, data=x)[0], expected, atol=1e-5 * max(np.abs(expected).max(), 1))
    return made, scalings


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"groups": 16, "pool": "avg"}, {"normalised": True},
                                     {"normalised": True, "fix_gamma": True}], ids=str)
def test_float32_stays_and_the_noise_falls(activation, options):
    _, scalings = check(network(ACTIVATIONS[activation], **options))
    assert set(scalings) == {"first", "second"}
    assert all(one.after <= 1.0001 * one.before for one in scalings.values())
    # One step for all weights of a grouped convolution: scales may gain nothing.
    assert options.get("groups") == 4 or any(one.after < 0.95 * one.before for one in scalings.values())


def test_branches_and_several_readers():
    _, scalings = check(branches())
    assert set(scalings) == {"squeeze", "left", "right"}
    assert scalings["squeeze"].after < 0.9 * scalings["squeeze"].before


def test_branches_that_share_a_nonlinearity():
    data = mx.sym.Variable("data")
    joined = relu(mx.sym.concat(conv(data, "left", 8), conv(data, "right", 12, 3), dim=1))
    net = mx.sym.concat(conv(joined, "up", 5), conv(joined, "down", 4, 3), dim=1)
    _, scalings = check(uneven(random_model(net, 0, data=(8, 6, 6)), ("left_weight", "right_weight")))
    assert {name: len(one.scales) for name, one in scalings.items()} == {"left": 8, "right": 12}
    assert all(one.after <= one.before for one in scalings.values())


def refused():
    data = mx.sym.Variable("data")
    first = conv(data, "first", 8, 3)
    yield "a smooth nonlinearity", conv(mx.sym.Activation(first, act_type="sigmoid"), "second", 8)
    yield "one that is bounded", conv(mx.sym.clip(first, 0, 6), "second", 8)
    yield "a sum", conv(relu(first) + data, "second", 8)
    yield "an output", mx.sym.Group([relu(first), conv(relu(first), "second", 8)])
    yield "another axis", conv(mx.sym.concat(relu(first), relu(first), dim=2), "second", 8)
    yield "a softmax", conv(mx.sym.softmax(relu(first), axis=1), "second", 8)


@pytest.mark.parametrize("symbol", [symbol for _, symbol in refused()], ids=[name for name, _ in refused()])
def test_what_must_stay(symbol):
    assert "first" not in check(uneven(random_model(symbol, 0, data=(8, 6, 6))))[1]


def test_dead_channels_and_zero_weights():
    values = np.abs(np.random.RandomState(0).randn(200, 6)) * np.geomspace(1, 0.01, 6)
    values[:, 2] = 0
    weights = np.random.RandomState(1).randn(6, 5, 9)
    weights[4] = 0
    scales = best_scales(Crossing(values, (weights,), (1,), (False,)))
    assert np.isfinite(scales).all() and (scales > 0).all() and (scales != 1).any()

"""Gradients held to a length, all parameters together."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.training.clipping import Clipper
from accnn.training.trainer import Steps
from networks import random_model
from trainers import CLASSES, SHAPE, arrays, small_model, train, trainer


def norm(values):
    return np.sqrt(sum(float((array.astype(float) ** 2).sum()) for array in values))


@pytest.mark.parametrize("count, longest", [(3, 0.5), (150, 2.0), (3, 1e4), (1, 1.0)])
def test_the_direction_stays(count, longest):
    random = np.random.RandomState(0)
    before = [random.normal(size=(number % 4 + 1, 3, 2)[:number % 3 + 1]).astype(np.float32) for number in range(count)]
    given = [mx.nd.zeros(array.shape) for array in before]
    made = Clipper(given, longest)
    for factor in (1.0, 3.0):  # other gradients in the same arrays
        for array, values in zip(given, before):
            array[:] = factor * values
        made.clip()
        scale = min(factor, longest / norm(before))
        for one, other, array in zip(before, made.clipped, given):
            np.testing.assert_allclose(other.asnumpy(), one * scale, rtol=1e-5)
            np.testing.assert_array_equal(array.asnumpy(), np.float32(factor) * one)


def test_arrays_of_two_types_have_one_length():
    given = [mx.nd.array([3.0, 0.0]), mx.nd.array([[4.0]], dtype="float16"), mx.nd.array([12.0], dtype="float16")]
    made = Clipper(given, 1.3)
    made.clip()
    assert [array.dtype for array in made.clipped] == [np.float32, np.float16, np.float16]
    for array, right in zip(made.clipped, ([0.3, 0.0], [[0.4]], [1.2])):
        np.testing.assert_allclose(array.asnumpy(), right, rtol=1e-3)


def test_zeros_stay_zeros_and_nan_is_not_hidden():
    found = []
    for given in (mx.nd.zeros((2, 3)), mx.nd.array([1.0, float("nan")])):
        made = Clipper([given], 1.0)
        made.clip()
        found.append(made.clipped[0].asnumpy())
    assert not found[0].any() and np.isnan(found[1]).all()


@pytest.mark.parametrize("contexts", [1, 2])
def test_a_step_is_no_longer_than_it_may_be(contexts, monkeypatch):
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")
    devices, model = [mx.cpu(number) for number in range(contexts)], small_model()
    found = {}
    for longest in (0.0, 1e-3, 1e6):
        made = trainer(model, lr=1.0, mom=0.0, wd=0.0, contexts=devices, steps=Steps(longest=longest))
        train(made)
        found[longest] = {name: array - arrays(model)[name] for name, array in arrays(made.model()).items()}
    assert norm(found[1e-3].values()) <= 1.01e-3
    if contexts == 1:
        assert norm(found[1e-3].values()) > 0.99e-3
    for name, update in found[0.0].items():
        np.testing.assert_allclose(found[1e6][name], update, atol=1e-6)


def factored_model(scale=3.0):
    """Five convolutions behind one another without anything between, as a chain of CP has: gradients are products."""
    x = mx.sym.Variable("data")
    for number, kernel in enumerate(((1, 1), (3, 1), (1, 3), (1, 1), (3, 3))):
        x = mx.sym.Convolution(x, kernel=kernel, num_filter=8, no_bias=True, name="conv%d" % number)
    x = mx.sym.FullyConnected(x, num_hidden=CLASSES, name="fc")
    model = random_model(mx.sym.SoftmaxOutput(x, name="softmax"), data=SHAPE)
    for name, array in model.arg_params.items():
        if name.startswith("conv"):
            array *= scale
    return model


def test_a_chain_of_factors_does_not_blow_up():
    last = {}
    for longest in (0.0, 1.0):
        made = trainer(factored_model(), lr=0.3, mom=0.0, wd=0.0, steps=Steps(longest=longest))
        train(made, 20)
        last[longest] = norm(arrays(made.model()).values())
    assert not last[0.0] < 1e6 and last[1.0] <= norm(arrays(factored_model()).values()) + 20 * 0.3


def test_frozen_parameters_have_no_gradient_and_a_network_without_trained_ones_none():
    model = small_model()
    names = sorted(model.arg_params)
    for frozen in (names[:1], names):
        made = trainer(model, frozen=frozen, steps=Steps(longest=1e-3))
        train(made)
        moved = {name for name, array in arrays(made.model()).items() if not np.array_equal(array, arrays(model)[name])}
        assert moved & set(names) == set(names) - set(frozen)

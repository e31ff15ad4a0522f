"""The whole way to an INT8 network: steps kept where they help, layers left out where they hurt, nothing else lost."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.reconstruction.images import ArrayImages, ImagesApart
from accnn.reconstruction.int8 import make_int8
from accnn.reconstruction.int8_config import Int8Config
from accnn.runtime.predictor import Predictor
from networks import chain_model, outputs, random_input, random_model

SHAPES = {"data": (3, 12, 12)}
QUICK = Int8Config(kinds=("naive", "mse"))


def images(count=120, name="data", side=12):
    return ArrayImages({name: random_input(count, 3, side, side)}, 40)


def answers(model, x):
    return [output.asnumpy() for output in Predictor(model, {"data": x.shape[1:]}, len(x)).forward(mx.nd.array(x))]


@pytest.fixture(scope="module")
def made():
    model = chain_model(widths=(8, 12, 12))
    return model, make_int8(model, images(), SHAPES, config=QUICK)


def test_the_network_answers_as_before(made):
    model, found = made
    x = random_input(50, 3, 12, 12, seed=7)
    true, int8 = outputs(model, data=x)[0], answers(found.model, x)[0]
    assert 0 < np.abs(int8 - true).max() < 0.02
    np.testing.assert_allclose(outputs(found.source, data=x)[0], true, atol=0.02)
    assert found.model.symbol.list_outputs() == model.symbol.list_outputs()
    assert [one.precision for one in found.precisions] == ["int8"] * 5 and not found.excluded


def test_steps_are_kept_where_they_help(made):
    _, found = made
    assert found.steps and all(one.is_kept == (one.after < one.before) for one in found.steps)
    assert {one.name for one in found.steps} >= {"scales across layers", "weights rounded anew, biases corrected"}
    assert set(found.thresholds) == set(found.kinds) and set(found.kinds.values()) <= {"naive", "mse", "searched"}


def test_the_same_seed_makes_the_same_network(made):
    model, found = made
    again = make_int8(model, images(), SHAPES, config=QUICK)
    for name, array in found.model.arg_params.items():
        np.testing.assert_array_equal(array.asnumpy(), again.model.arg_params[name].asnumpy())


def fragile():
    """Two heads; outputs of the layer 'wild' have sizes that no common step fits, and all of them count."""
    data, gain = mx.sym.Variable("data"), mx.sym.Variable("gain", shape=(1, 8, 1, 1))
    first = mx.sym.Activation(mx.sym.Convolution(data, kernel=(3, 3), num_filter=8, name="first"), act_type="relu")
    wild = mx.sym.broadcast_mul(mx.sym.Convolution(first, kernel=(3, 3), num_filter=8, name="wild"), gain)
    model = random_model(mx.sym.Group([wild, mx.sym.Convolution(first, kernel=(1, 1), num_filter=4, name="calm")]), 0,
                         data=(3, 12, 12))
    scales = np.geomspace(1, 1e-3, 8).reshape(-1, 1, 1, 1)
    arrays = dict(model.arg_params, wild_weight=mx.nd.array(model.weight("wild_weight") * scales), gain=mx.nd.array(
        1 / scales.reshape(1, 8, 1, 1)), wild_bias=mx.nd.zeros(8))
    return type(model)(model.graph, arrays, model.aux_params)


def test_layers_that_cost_too_much_stay_in_float32():
    configs = (Int8Config(kinds=("naive",), limit=limit, resolve=False) for limit in (10.0, None))
    free, found = (make_int8(fragile(), images(), SHAPES, config=config) for config in configs)
    assert not free.excluded and max(free.errors.values()) > 0.1
    assert [one.layer for one in found.excluded] == ["wild"] and max(found.errors.values()) <= 0.02
    assert "wild" in [one.layer for one in found.precisions if one.precision == "fp32"]
    assert found.excluded[0].reason.startswith("alone in INT8 it costs the output 'broadcast_mul")


def test_layers_named_stay_in_float32(made):
    model, _ = made
    found = make_int8(model, images(), SHAPES, config=Int8Config(kinds=("mse",), exclude=("conv2",)))
    assert {one.layer for one in found.precisions if one.precision == "fp32"} == {"conv2"}


def test_images_apart_are_all_images_once():
    pictures = np.arange(50, dtype=np.float32).reshape(50, 1)
    apart = ImagesApart(ArrayImages({"data": pictures}, 7), 10)
    rest = np.concatenate([arrays["data"].asnumpy() for _, arrays in apart.batches()]).ravel()
    held = np.concatenate([arrays["data"].asnumpy() for _, arrays in apart.held().batches()]).ravel()
    assert sorted(np.concatenate([rest, held])) == list(range(50)) and len(held) == 10 and apart.count == 40
    sizes = [len(arrays["data"]) for _, arrays in apart.batches()]
    assert sizes == [7] * 5 + [5] and [first for first, _ in apart.batches()] == list(range(0, 40, 7))
    assert [len(arrays["data"]) for _, arrays in apart.batches(16)] == [16, 16, 8]
    few = ImagesApart(ArrayImages({"data": pictures}, 7), 10, 5)
    assert few.count == 5 == sum(len(arrays["data"]) for _, arrays in few.batches())
    only = ImagesApart(ArrayImages({"data": pictures[:1]}, 7), 10)
    assert only.count == only.held().count == 1

"""Forward passes equal those of a plain executor, whatever the size of the batch."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.runtime.predictor import Predictor
from networks import chain_model, chain_net, outputs, random_input, random_model, residual_net

SHAPES = {"data": (3, 12, 12)}


def made(kind):
    if kind == "softmax":
        return chain_model()
    if kind == "no loss":
        return random_model(residual_net(), data=(3, 12, 12))
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c")
    return random_model(mx.sym.Group([mx.sym.Activation(x, act_type="relu", name="a"),
                                      mx.sym.FullyConnected(x, num_hidden=5, name="f")]), data=(3, 12, 12))


@pytest.mark.parametrize("kind", ["softmax", "no loss", "heads"])
def test_batches_and_their_tails(kind):
    model, x = made(kind), random_input(10, 3, 12, 12)
    predictor, wanted = Predictor(model, SHAPES, 4), outputs(made(kind), data=x)
    assert predictor.inputs == ["data"] and len(predictor.output_shapes) == len(wanted)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10), slice(0, 1), slice(2, 6)):
        found = [some.asnumpy() for some in predictor.forward(mx.nd.array(x[rows]))]
        assert [len(some) for some in found] == [len(x[rows])] * len(wanted)
        for some, whole in zip(found, wanted):
            np.testing.assert_allclose(some, whole[rows], rtol=1e-4, atol=1e-5)


def test_an_internal_output():
    model, x = chain_model(), random_input(4, 3, 12, 12)
    inside = model.symbol.get_internals()["fc2_output"]
    scores = Predictor(model, SHAPES, 4, symbol=inside).forward(mx.nd.array(x))[0]
    np.testing.assert_allclose(mx.nd.softmax(scores).asnumpy(), outputs(model, data=x)[0], rtol=1e-4)


def test_double_precision_with_a_loss():
    model = random_model(chain_net(), dtype="float64", data=(3, 12, 12))
    found = Predictor(model, SHAPES, 2).forward(mx.nd.array(random_input(2, 3, 12, 12)))[0]
    assert found.dtype == np.float64 and np.allclose(found.asnumpy().sum(axis=1), 1)


@pytest.mark.parametrize("size", [2 ** 31, 10 ** 20, 10 ** 8])
def test_batches_beyond_memory(size):
    with pytest.raises(AccnnError, match="batches of %d .*`batch_size`" % size):
        Predictor(chain_model(), SHAPES, size)


def test_a_network_with_a_batch_of_its_own():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c")
    x = mx.sym.FullyConnected(mx.sym.Reshape(x, shape=(1, -1)), num_hidden=5, name="f")
    model = random_model(x, data=(3, 12, 12))
    assert Predictor(model, SHAPES, 1).output_shapes == {"f_output": (1, 5)}
    with pytest.raises(AccnnError, match="batches of 4"):
        Predictor(model, SHAPES, 4)


@pytest.mark.parametrize("names", [("conv1", "conv2", "relu2", "softmax"), ("softmax", "conv1"), ("fc1", "fc2"),
                                   ("fc2", "fc1"), ("conv3", "relu_fc1", "fc1"), ("relu1", "pool", "softmax")])
def test_outputs_that_go_on_into_the_network_are_right(names):
    """Against each of them alone, whatever their order."""
    model, names = chain_model(), [name + "_output" for name in names]
    inside, images = model.symbol.get_internals(), random_input(7, 3, 12, 12)
    symbol = mx.sym.Group([inside[name] for name in names])
    tapped = Model(Graph.from_symbol(symbol), model.arg_params)
    alone = [outputs(Model(Graph.from_symbol(inside[name]), model.arg_params), data=images)[0] for name in names]
    for made in (Predictor(tapped, SHAPES, 4), Predictor(model, SHAPES, 4, symbol=symbol)):
        assert list(made.output_shapes) == names
        for rows in (slice(0, 4), slice(3, 7), slice(4, 7), slice(0, 7), slice(0, 4)):
            for name, output, wanted in zip(names, made.forward(mx.nd.array(images[rows])), alone):
                assert output.shape == wanted[rows].shape
                np.testing.assert_allclose(output.asnumpy(), wanted[rows], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_label_of_which_the_batch_is_no_axis():
    maps = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=4, name="c")
    turned = mx.sym.transpose(maps, axes=(2, 0, 3, 1))
    model = random_model(mx.sym.SoftmaxOutput(turned, preserve_shape=True, name="softmax"), data=(3, 6, 6))
    with pytest.raises(AccnnError, match="batches of 4 .*same batch size"):
        Predictor(model, {"data": (3, 6, 6)}, 4)

"""What is said to be behind a layer is held against what MXNet itself computes there."""
import os
from unittest import mock

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.graph.following import following
from accnn.graph.inputs import resolve_input_shapes
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import activations
from networks import chain_model, random_input, random_model, residual_net
from reference import relative_error


def conv(data, name="c", filters=6, **options):
    return mx.sym.Convolution(data, kernel=(3, 3), num_filter=filters, name=name, **options)


def relu(data, **options):
    return mx.sym.Activation(data, act_type="relu", **options)


def behind(build, layer=conv, shape=(3, 8, 8)):
    """(model, following) of the network that `build` puts behind one layer."""
    net = build(layer(mx.sym.Variable("data")))
    model = random_model(mx.sym.Group(net) if isinstance(net, list) else net, data=shape)
    return model, following(model, "c")


def taps(model, names, **inputs):
    """list of ndarray: what MXNet computes at the named nodes, with nothing fused."""
    inside = model.symbol.get_internals()
    outputs = inside.list_outputs()
    symbol = mx.sym.Group([inside[outputs.index(name + "_output")] for name in names])
    with mock.patch.dict(os.environ, MXNET_SUBGRAPH_BACKEND="NONE"):
        executor = symbol.simple_bind(mx.cpu(), grad_req="null", **{name: x.shape for name, x in inputs.items()})
    executor.copy_params_from(model.arg_params, model.aux_params, allow_extra_params=True)
    for name, array in inputs.items():
        executor.arg_dict[name][:] = array
    return [out.asnumpy() for out in executor.forward(is_train=False)]


def check(model, layer, found, **inputs):
    """activation(scale * y + shift) of MXNet's y is what MXNet has behind the activation."""
    y, wanted = taps(model, [layer, found.node], **inputs)
    made, wanted = (np.moveaxis(array, 1, -1).reshape(-1, array.shape[1]) for array in (y, wanted))
    if found.scale is not None:
        assert found.scale.shape == found.shift.shape == made.shape[1:]
        made = found.scale * made + found.shift
    made = activations.get(found.activation)(made)
    assert made.shape == wanted.shape and relative_error(made, wanted) <= 1e-5


KINDS = {
    "relu": relu, "plain relu": mx.sym.relu, "plain sigmoid": mx.sym.sigmoid, "plain tanh": mx.sym.tanh,
    "plain softsign": mx.sym.softsign, "relu6": lambda x: mx.sym.clip(x, 0, 6),
    "half open clip": lambda x: mx.sym.clip(x, -0.1, float("inf")), "hard sigmoid": mx.sym.hard_sigmoid,
    "steep hard sigmoid": lambda x: mx.sym.hard_sigmoid(x, alpha=3, beta=0.1),
    **{kind: lambda x, kind=kind: mx.sym.Activation(x, act_type=kind)
       for kind in ("sigmoid", "tanh", "softrelu", "softsign")},
    **{kind: lambda x, kind=kind: mx.sym.LeakyReLU(x, act_type=kind)
       for kind in ("leaky", "prelu", "elu", "selu", "gelu", "rrelu")},
    "slope": lambda x: mx.sym.LeakyReLU(x, slope=0.01), "steep elu": lambda x: mx.sym.LeakyReLU(x, act_type="elu",
                                                                                                slope=2),
    "single prelu": lambda x: mx.sym.LeakyReLU(x, mx.sym.Variable("gamma", shape=(1,)), act_type="prelu"),
}


@pytest.mark.parametrize("build", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("layer", ["Convolution", "FullyConnected"])
def test_every_activation(build, layer):
    options = {"layer": conv} if layer == "Convolution" else {
        "layer": lambda x: mx.sym.FullyConnected(x, num_hidden=6, name="c")}
    model, found = behind(lambda x: build(4 * mx.sym.BatchNorm(x, name="bn")), **options)
    assert found.activation is None and found.node is None and found.scale is not None  # the product is between
    model, found = behind(build, **options)
    assert found.scale is None and found.shift is None
    check(model, "c", found, data=20 * random_input(2, 3, 8, 8))


@pytest.mark.parametrize("options", [{}, {"fix_gamma": True}, {"fix_gamma": False}, {"eps": 2e-5, "fix_gamma": False},
                                     {"eps": 0.5}, {"use_global_stats": True}, {"axis": 1}], ids=str)
def test_batch_norm_as_mxnet_computes_it(options):
    model, found = behind(lambda x: relu(mx.sym.BatchNorm(x, name="bn", **options), name="r"))
    assert found.activation == ("relu", {}) and found.node == "r"
    fixed = options.get("fix_gamma", True)
    assert fixed == np.allclose(found.scale, (model.aux_params["bn_moving_var"].asnumpy()
                                              + options.get("eps", 1e-3)) ** -0.5)
    check(model, "c", found, data=random_input(2, 3, 8, 8))


@pytest.mark.parametrize("build", [
    lambda x: relu(mx.sym.identity(x), name="r"), lambda x: relu(mx.sym.Dropout(x), name="r"),
    lambda x: relu(mx.sym.BlockGrad(mx.sym.identity(x)), name="r"),
    lambda x: mx.sym.Group([relu(x, name="r"), relu(mx.sym.identity(x))]),
])
def test_what_only_passes_on_is_looked_through(build):
    assert (behind(build)[1].activation, behind(build)[1].node) == (("relu", {}), "r")


def test_pass_ons_around_a_batch_norm():
    model, found = behind(lambda x: relu(mx.sym.Dropout(mx.sym.BatchNorm(mx.sym.identity(x), name="bn")), name="r"))
    check(model, "c", found, data=random_input(2, 3, 8, 8))
    assert found.scale is not None


NOTHING = {
    "an output": lambda x: x,
    "an output through identity": lambda x: mx.sym.identity(x),
    "an output too": lambda x: [relu(x), x],
    "an addition too": lambda x: relu(x) + x,
    "an addition": lambda x: relu(x + mx.sym.ones_like(x)),
    "two kinds": lambda x: [relu(x), mx.sym.tanh(x)],
    "two slopes": lambda x: [mx.sym.LeakyReLU(x, slope=0.1), mx.sym.LeakyReLU(x, slope=0.2)],
    "two with parameters": lambda x: [mx.sym.LeakyReLU(x, act_type="prelu", name=n) for n in "ab"],
    "pooling": lambda x: relu(mx.sym.Pooling(x, kernel=(2, 2), pool_type="max")),
    "a layer": lambda x: conv(x, "d"),
    "as a weight": lambda x: mx.sym.FullyConnected(mx.sym.Variable("other", shape=(1, 216)), mx.sym.Flatten(x),
                                                   num_hidden=1, no_bias=True),
    "softmax": lambda x: mx.sym.SoftmaxActivation(x, mode="channel"),
    "dropout that stays": lambda x: relu(mx.sym.Dropout(x, mode="always")),
    "batch norm of another axis": lambda x: relu(mx.sym.BatchNorm(x, axis=2)),
    "batch norm and relu": lambda x: [relu(mx.sym.BatchNorm(x)), relu(x)],
    "batch norm and an output": lambda x: [relu(mx.sym.BatchNorm(x)), x],
    "two batch norms": lambda x: [relu(mx.sym.BatchNorm(x, name=n)) for n in "ab"],
    "computed gamma": lambda x: relu(mx.sym.BatchNorm(x, gamma=mx.sym.Variable("g", shape=(6,)) * 2)),
    "falling hard sigmoid": lambda x: mx.sym.hard_sigmoid(x, alpha=-1),
}


@pytest.mark.parametrize("build", NOTHING.values(), ids=list(NOTHING))
def test_only_what_holds_for_every_reader_is_said(build):
    found = behind(build)[1]
    assert (found.scale, found.shift, found.activation, found.node) == (None,) * 4


@pytest.mark.parametrize("build", [
    lambda x: x, lambda x: [x, relu(x)], lambda x: relu(x) + x, lambda x: relu(mx.sym.BatchNorm(x)),
    lambda x: relu(mx.sym.Pooling(x, kernel=(2, 2), pool_type="avg")), lambda x: mx.sym.softmax(x),
])
def test_batch_norm_alone(build):
    model, found = behind(lambda x: build(mx.sym.BatchNorm(x, name="bn", fix_gamma=False)))
    assert found.activation is None and found.node is None
    y, wanted = taps(model, ["c", "bn"], data=random_input(2, 3, 8, 8))
    made = found.scale.reshape(-1, 1, 1) * y + found.shift.reshape(-1, 1, 1)
    assert relative_error(made, wanted) <= 1e-5


def test_readers_that_agree():
    for build in (lambda x: [relu(x, name="r"), mx.sym.relu(x)], lambda x: [mx.sym.clip(x, 0, 6, name="r"),
                                                                           mx.sym.clip(x, 0.0, 6.0)]):
        found = behind(build)[1]
        assert found.node == "r" and found.activation is not None
    found = behind(lambda x: [relu(y, name=n) for y in [mx.sym.BatchNorm(x)] for n in "rs"])[1]
    assert found.node == "r" and found.scale is not None


@pytest.mark.parametrize("flatten, axis, claimed", [(True, 1, True), (True, -1, True), (False, 1, False),
                                                    (False, -1, True)])
def test_the_outputs_of_a_fully_connected_layer(flatten, axis, claimed):
    def layer(x):
        return mx.sym.FullyConnected(x, num_hidden=6, flatten=flatten, name="c")

    found = behind(lambda x: relu(mx.sym.BatchNorm(x, axis=axis)), layer, (4, 5))[1]
    assert (found.scale is not None) == (found.activation is not None) == claimed
    assert not claimed or found.scale.shape == (6,)
    found = behind(lambda x: mx.sym.LeakyReLU(x, act_type="prelu"), layer, (4, 5))[1]
    assert (found.activation is not None) == flatten


def test_a_replaced_layer_has_what_the_layer_had():
    model = random_model(residual_net(), data=(3, 8, 8))
    faster = Accelerator(model, {"data": (3, 8, 8)}).accelerate(Plan((Row("unit0a", "Convolution", "vh", 4),)))
    before, after = following(model, "unit0a"), following(faster, "unit0a")
    assert after.activation == before.activation == ("relu", {}) and after.node == before.node == "unit0a_relu"
    assert (after.scale == before.scale).all() and (after.shift == before.shift).all()
    assert following(model, "fc").activation is None


def test_missing_layers_and_unreadable_numbers():
    with pytest.raises(AccnnError, match="no layer called 'conv9'"):
        following(chain_model(), "conv9")
    model = behind(lambda x: mx.sym.LeakyReLU(x, slope=0.1))[0]
    node = next(node for node in model.graph.nodes if node.op == "LeakyReLU")
    node.attrs["slope"] = "steep"
    with pytest.raises(AccnnError, match="slope=steep"):
        following(model, "c")


@pytest.mark.parametrize("name, side, with_batch_norm, with_activation", [
    ("mtcnn_det1", 24, 0, 3), ("mtcnn_det2", 24, 0, 4), ("mtcnn_det3", 48, 0, 5), ("cifar_resnet20", 32, 19, 10),
    ("squeezenet_v1.0", 64, 0, 26), ("vgg16_cifar10", 32, 0, 15), ("retinaface_mnet_16", 64, 35, 32),
])
def test_real_networks(shared, name, side, with_batch_norm, with_activation):
    model = load_model(os.path.join(shared, "models", name))
    shapes = resolve_input_shapes(model, {"data": (3, side, side)})[0]
    layers = [node.name for node in model.graph.nodes if node.op in ("Convolution", "FullyConnected")]
    found = {layer: following(model, layer) for layer in layers}
    assert sum(item.scale is not None for item in found.values()) == with_batch_norm
    active = {layer: item for layer, item in found.items() if item.activation is not None}
    assert len(active) == with_activation
    for layer, item in active.items():
        check(model, layer, item, data=random_input(2, *shapes["data"]))

"""Small networks with random parameters, and running them through MXNet."""
import numpy as np

from accnn.core.compat import mx
from accnn.graph.checkpoint import Model, save_model
from accnn.graph.ir import Graph


def random_model(symbol, seed=0, dtype="float32", **input_shapes):
    """Model of `symbol` with normal parameters scaled by fan-in; `input_shapes` without the batch."""
    rng = np.random.RandomState(seed)
    shapes = {name: (1,) + tuple(shape) for name, shape in input_shapes.items()}
    arg_shapes, _, aux_shapes = symbol.infer_shape(**shapes)

    def draw(name, shape):
        if name.endswith(("gamma", "var")):
            return rng.uniform(0.5, 1.5, shape)
        return rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))

    args = {name: mx.nd.array(draw(name, shape), dtype=dtype)
            for name, shape in zip(symbol.list_arguments(), arg_shapes)
            if name not in input_shapes and not name.endswith("label")}
    aux = {name: mx.nd.array(draw(name, shape), dtype=dtype)
           for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes)}
    return Model(Graph.from_symbol(symbol), args, aux)


def outputs(model, **inputs):
    """list of ndarray: outputs of the network; label variables are zeros."""
    symbol = model.symbol
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", **{name: x.shape for name, x in inputs.items()})
    executor.copy_params_from({name: array for name, array in model.arg_params.items()}, model.aux_params,
                              allow_extra_params=True)
    for name, array in inputs.items():
        executor.arg_dict[name][:] = array
    return [out.asnumpy() for out in executor.forward(is_train=False)]


def random_input(*shape, seed=1):
    """ndarray of float32 in -1..1."""
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def chain_net(widths=(8, 12, 16), kernel=(3, 3), classes=5):
    """VGG-like: convolutions with ReLU and pooling, then two fully connected layers and a loss."""
    x = mx.sym.Variable("data")
    for i, width in enumerate(widths, 1):
        x = mx.sym.Convolution(x, kernel=kernel, pad=tuple(k // 2 for k in kernel), num_filter=width, name="conv%d" % i)
        x = mx.sym.Activation(x, act_type="relu", name="relu%d" % i)
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x, name="flatten"), num_hidden=16, name="fc1")
    x = mx.sym.FullyConnected(mx.sym.Activation(x, act_type="relu", name="relu_fc1"), num_hidden=classes, name="fc2")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def chain_model(seed=0, side=12, **options):
    """:func:`chain_net` with random parameters for pictures of `side`."""
    return random_model(chain_net(**options), seed, data=(3, side, side))


def residual_net(blocks=2, width=8):
    """Residual blocks with BatchNorm and no_bias convolutions, global pooling, a head without loss."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=width, no_bias=True,
                           name="stem")
    for i in range(blocks):
        y = x
        for half in "ab":
            name = "unit%d%s" % (i, half)
            y = mx.sym.Convolution(y, kernel=(3, 3), pad=(1, 1), num_filter=width, no_bias=True, name=name)
            y = mx.sym.Activation(mx.sym.BatchNorm(y, fix_gamma=False, name=name + "_bn"), act_type="relu",
                                  name=name + "_relu")
        x = x + y
    return mx.sym.FullyConnected(mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name="pool"),
                                 num_hidden=4, name="fc")


def saved(model, prefix, epoch=1):
    """Save `model` and return the prefix as str."""
    save_model(model, str(prefix), epoch)
    return str(prefix)

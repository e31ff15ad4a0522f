"""Nonlinearities of one number, and softmax."""
import numpy as np

from accnn.exporting.registry import converts

SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


@converts("Activation")
def activation(layer):
    """The ONNX operator of `act_type`."""
    kind = layer.text("act_type")
    if kind not in _ACTIVATIONS:
        raise layer.refused("act_type=%s" % kind)
    return layer.add(_ACTIVATIONS[kind], layer.x)


@converts("relu", "sigmoid", "tanh", "softsign")
def by_name(layer):
    """The same as operators of their own."""
    return layer.add(_ACTIVATIONS[layer.node.op], layer.x)


@converts("hard_sigmoid")
def hard_sigmoid(layer):
    """``HardSigmoid``."""
    return layer.add("HardSigmoid", layer.x, alpha=layer.number("alpha", 0.2), beta=layer.number("beta", 0.5))


@converts("LeakyReLU")
def leaky_relu(layer):
    """Its six kinds; the random slope of `rrelu` is the middle of its bounds at inference."""
    kind, slope = layer.text("act_type", "leaky"), layer.number("slope", 0.25)
    if kind == "prelu":
        return layer.add("PRelu", layer.x, _slopes(layer))
    if kind == "rrelu":
        middle = (layer.number("lower_bound", 0.125) + layer.number("upper_bound", 0.334)) / 2
        return [layer.add("LeakyRelu", layer.x, alpha=middle), None]
    if kind == "gelu":
        return _gelu(layer)
    operator, said = {"leaky": ("LeakyRelu", {"alpha": slope}), "elu": ("Elu", {"alpha": slope}),
                      "selu": ("Selu", SELU)}[kind]
    return layer.add(operator, layer.x, **said)


def _slopes(layer):
    """The slopes of PReLU where they belong: a vector counts the second axis, where ONNX would take it for the last."""
    x, gamma = layer.inputs
    if gamma.ndim != 1 or x.ndim < 3 or gamma.shape[0] == 1:
        return gamma
    return layer.add("Reshape", gamma, np.array((-1,) + (1,) * (x.ndim - 2), np.int64))


def _gelu(layer):
    """x/2 (1 + erf(x / sqrt(2)))."""
    erf = layer.add("Erf", layer.add("Mul", layer.x, layer.scalar(np.sqrt(0.5))))
    return layer.add("Mul", layer.add("Mul", layer.x, layer.scalar(0.5)), layer.add("Add", erf, layer.scalar(1)))


@converts("softmax", "softmin", "log_softmax")
def softmax(layer):
    """Softmax over an axis, cooled by `temperature`, of the first `length` places where there is a length."""
    x, axis, kind = layer.x, layer.axis(default=-1), layer.node.op
    cool, dtype = layer.number("temperature", 1.0), layer.text("dtype")
    found = layer.cast(x, dtype) if dtype not in (None, x.dtype.name) else x
    factor = (-1 if kind == "softmin" else 1) / cool
    if factor != 1:
        found = layer.add("Mul", found, layer.scalar(factor, layer.dtype))
    operator = "LogSoftmax" if kind == "log_softmax" else "Softmax"
    if layer.boolean("use_length"):
        return _masked(layer, operator, found, axis)
    return layer.add(operator, found, axis=axis)


def _masked(layer, operator, x, axis):
    """Softmax of the first places of an axis, and 0 behind them."""
    size = layer.x.shape[axis]
    places = np.arange(size).reshape((-1,) + (1,) * (layer.x.ndim - axis - 1))
    length = layer.unsqueeze(layer.cast(layer.inputs[1], "int64"), [axis])
    counts = layer.add("Less", places.astype(np.int64), length)
    low = layer.add("Where", counts, x, layer.scalar(np.finfo(np.float32).min, layer.dtype))
    return layer.add("Where", counts, layer.add(operator, low, axis=axis), layer.scalar(0, layer.dtype))


@converts("SoftmaxActivation")
def softmax_activation(layer):
    """Softmax of the channels, or, as `instance`, of the last axis, whatever the documentation says of the example."""
    return layer.add("Softmax", layer.x, axis=1 if layer.text("mode", "instance") == "channel" else layer.x.ndim - 1)

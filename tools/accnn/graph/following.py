"""What becomes of a layer's output right behind it: the BatchNorm and the nonlinearity that it runs into."""
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

import numpy as np

from accnn.graph import attrs
from accnn.graph.passing import NETWORK, all_readers, readers_through

Nonlinearity = Tuple[str, Dict[str, object]]  # its kind, and its numbers by name

_EPS = 1e-3  # the operator's default
_BOUNDS = 0.125, 0.333999991  # of a random slope; the operator's defaults
_LEAKY, _ELU = "leaky", "elu"
_LEAST = 1e-6  # importance of an output that counts for nothing: the others must not depend on it


@dataclass(frozen=True, eq=False)
class PostOps:
    """What all readers of a layer's output make of it: ``activation(scale * y + shift)``, at inference.

    Attributes
    ----------
    scale, shift : ndarray of float64, shape (N,), or None
        The BatchNorm directly behind the layer, for its N outputs; None without one.
    activation : (str, dict) or None
        Kind and numbers, such as ``('leaky', {'slope': 0.25})``; a number is a float or an ndarray of shape (N,).
        ``accnn.reconstruction.activations.get`` makes the function of it. None when the readers have none, or
        none that is known, in common.
    node : str or None
        Name of the activation's operator; of the first of several equal ones.
    """

    scale: Optional[np.ndarray] = None
    shift: Optional[np.ndarray] = None
    activation: Optional[Nonlinearity] = None
    node: Optional[str] = None

    def filled(self, outputs):
        """Return the same for a layer of so many outputs with arrays in any case: ones and zeros without a BatchNorm.
        """
        scale = np.ones(outputs) if self.scale is None else self.scale
        shift = np.zeros(outputs) if self.shift is None else self.shift
        return replace(self, scale=scale, shift=shift)

    @property
    def importance(self):
        """ndarray of shape (N,): what a squared error of every output weighs behind the BatchNorm, the largest 1."""
        squares = np.square(self.scale)
        return np.maximum(squares / (squares.max() or 1.0), _LEAST)

    def part(self, rows):
        """Return the same for some of the outputs, a slice."""
        activation = self.activation and (self.activation[0], {
            name: value[rows] if np.ndim(value) else value for name, value in self.activation[1].items()})
        return replace(self, scale=self.scale[rows], shift=self.shift[rows], activation=activation)


def following(model, name):
    """Describe what `model` does with the output of a layer before anything else.

    Only what holds for everyone who reads the output is said: a BatchNorm beside an addition that reads the output
    too is none, and so is a ReLU behind an output of the network.

    Parameters
    ----------
    model : Model
    name : str
        A convolution or a fully connected layer.

    Returns
    -------
    PostOps

    Raises
    ------
    AccnnError
        There is no such layer; an attribute behind it cannot be read.
    """
    position = model.graph.position(name, model.prefix)
    axes, readers = _channel_axes(model.graph, position), all_readers(model.graph)
    first = readers_through(model.graph, readers, (position, 0))
    scale_shift = _batch_norm(model, first, axes)
    if scale_shift is None:
        return PostOps(None, None, *_common_activation(model, first, axes))
    second = readers_through(model.graph, readers, (first[0][0], 0))
    return PostOps(*scale_shift, *_common_activation(model, second, axes))


def _channel_axes(graph, position):
    """Axes of a layer's output, as an operator may call them, that are its N outputs."""
    node = graph.nodes[position]
    while node.op == "_copy":  # carries the name of a layer that was replaced
        node = graph.nodes[node.inputs[0][0]]
    if node.op == "FullyConnected":
        return {1, -1} if attrs.boolean(node, "flatten", True) else {-1}
    return {1} if attrs.layout(node)[:2] in ("", "NC") else {-1}


# ---- BatchNorm

def _batch_norm(model, readers, axes):
    """(scale, shift) when the only reader is a BatchNorm over the layer's outputs, else None.

    .. math:: scale = gamma / sqrt(var + eps), \\quad shift = beta - mean * scale
    """
    if len(readers) != 1 or readers[0] == (NETWORK, 0) or readers[0][1] != 0:
        return None
    node = model.graph.nodes[readers[0][0]]
    if node.op != "BatchNorm" or attrs.integer(node, "axis", 1) not in axes:
        return None
    arrays = [_parameter(model, entry) for entry in node.inputs[1:]]
    if any(array is None for array in arrays):
        return None
    gamma, beta, mean, var = arrays
    if attrs.boolean(node, "fix_gamma", True):
        gamma = np.ones_like(gamma)  # MXNet does not look at what is stored
    scale = gamma / np.sqrt(var + attrs.number(node, "eps", _EPS))
    return scale, beta - mean * scale


def _parameter(model, entry):
    """ndarray of float64, or None for what the network computes or is given."""
    node = model.graph.nodes[entry[0]]
    array = model.arg_params.get(node.name, model.aux_params.get(node.name)) if node.is_variable else None
    return None if array is None else array.asnumpy().astype(np.float64)


# ---- activations

def _common_activation(model, readers, axes):
    """(activation, name of its operator) that all readers are, else (None, None)."""
    found = [_activation(model, reader, axes) for reader in readers]
    if not found or None in found:
        return None, None
    if len(found) > 1 and any(_has_arrays(item) or item != found[0] for item in found):
        return None, None
    return found[0], model.graph.nodes[readers[0][0]].name


def _has_arrays(activation):
    return any(isinstance(number, np.ndarray) for number in activation[1].values())


def _activation(model, reader, axes):
    position, slot = reader
    if position is NETWORK or slot != 0:
        return None
    node = model.graph.nodes[position]
    if node.op == "LeakyReLU" and node.attrs.get("act_type") == "prelu":
        return _prelu(model, node, axes)
    return _OPERATORS[node.op](node) if node.op in _OPERATORS else None


def _prelu(model, node, axes):
    slope = _parameter(model, node.inputs[1])
    if slope is None or (slope.size > 1 and 1 not in axes):  # the operator takes axis 1, whatever the layer
        return None
    return _LEAKY, {"slope": slope if slope.size > 1 else slope.item()}


def _leaky_relu(node):
    kind = node.attrs.get("act_type", "leaky")
    if kind in ("leaky", "elu"):
        return {"leaky": _LEAKY, "elu": _ELU}[kind], {"slope": attrs.number(node, "slope", 0.25)}
    if kind == "rrelu":  # at inference the slope is no longer drawn
        return _LEAKY, {"slope": sum(attrs.number(node, key, default) for key, default in
                                     zip(("lower_bound", "upper_bound"), _BOUNDS)) / 2}
    return (kind, {}) if kind in ("selu", "gelu") else None


def _act_type(node):
    kind = node.attrs.get("act_type")
    return (kind, {}) if kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign") else None


def _clip(node):
    return "clip", {"low": attrs.number(node, "a_min", -np.inf), "high": attrs.number(node, "a_max", np.inf)}


def _hard_sigmoid(node):
    alpha, beta = attrs.number(node, "alpha", 0.2), attrs.number(node, "beta", 0.5)
    return ("hard_sigmoid", {"alpha": alpha, "beta": beta}) if alpha > 0 else None


def _itself(node):
    return node.op, {}


_OPERATORS = {"Activation": _act_type, "LeakyReLU": _leaky_relu, "clip": _clip, "hard_sigmoid": _hard_sigmoid,
              "relu": _itself, "sigmoid": _itself, "tanh": _itself, "softsign": _itself}

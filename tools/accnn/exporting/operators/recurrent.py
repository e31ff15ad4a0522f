"""Recurrent layers: MXNet's one vector of parameters taken apart, one ONNX node for each layer."""
from dataclasses import dataclass

import numpy as np

from accnn.exporting.registry import converts
from accnn.exporting.sizes import Shape

# ONNX's gates by their places among MXNet's: LSTM i, f, c, o becomes i, o, f, c; GRU r, z, n becomes z, r, n.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn_relu": (0,), "rnn_tanh": (0,)}
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn_relu": "RNN", "rnn_tanh": "RNN"}


@dataclass(frozen=True)
class _Form:
    """What an RNN node says of itself."""

    mode: str
    hidden: int
    layers: int
    directions: int


@converts("RNN")
def recurrent(layer):
    """Layers in one or two directions, of which each reads the outputs of the one before."""
    form = _form(layer)
    weights = _taken_apart(form, layer.x.shape[2], layer.inputs[1].known())
    states = [_states(layer, form, value) for value in layer.inputs[2:4 if form.mode == "lstm" else 3]]
    x, last = layer.x, []
    for number, arrays in enumerate(weights):
        x, *ends = _one(layer, form, x, arrays, [state[number] for state in states])
        last.append(ends)
    return [x] + [_joined(layer, parts) for parts in zip(*last)]


def _form(layer):
    for key in ("projection_size", "lstm_state_clip_min", "lstm_state_clip_max"):
        if layer.text(key) is not None:
            raise layer.refused("%s=%s" % (key, layer.text(key)))
    if layer.boolean("use_sequence_length"):
        raise layer.refused("use_sequence_length=True")
    if layer.inputs[1].array is None:
        raise layer.refused("parameters that are computed from its input")
    return _Form(layer.text("mode"), layer.integer("state_size"), layer.integer("num_layers"),
                 2 if layer.boolean("bidirectional") else 1)


def _taken_apart(form, width, vector):
    """For every layer W, R and B of ONNX: all matrices come first in the vector, then all biases."""
    gates, hidden, place = len(_GATES[form.mode]), form.hidden, 0

    def next_part(*shape):
        nonlocal place
        part = vector[place:place + int(np.prod(shape))].reshape(shape)
        place += part.size
        return np.concatenate([part[gate * hidden:(gate + 1) * hidden] for gate in _GATES[form.mode]])

    widths = [width] + [hidden * form.directions] * (form.layers - 1)
    matrices = [[(next_part(gates * hidden, wide), next_part(gates * hidden, hidden))
                 for _ in range(form.directions)] for wide in widths]
    biases = [[np.concatenate([next_part(gates * hidden), next_part(gates * hidden)])
               for _ in range(form.directions)] for _ in widths]
    return [[np.stack([w for w, _ in pairs]), np.stack([r for _, r in pairs]), np.stack(both)]
            for pairs, both in zip(matrices, biases)]


def _states(layer, form, value):
    """The initial states of every layer, of shape (directions, batch, hidden); None where they are 0."""
    known = value.known()
    if known is not None and not known.any():
        return [None] * form.layers
    whole = value
    if value.shape[1] == 1 and not value.shape.factors[1] and layer.x.shape.factors[1]:
        wanted = Shape((form.layers * form.directions,)).joined(layer.x.shape.take([1])).joined(Shape((form.hidden,)))
        whole = layer.add("Expand", value, layer.sizes_of(wanted))
    if form.layers == 1:
        return [whole]
    return layer.add("Split", whole, np.array([form.directions] * form.layers, np.int64), outputs=form.layers, axis=0)


def _one(layer, form, x, arrays, states):
    """One layer: its outputs as (time, batch, directions * hidden), and its last states."""
    said = {"hidden_size": form.hidden, "direction": "bidirectional" if form.directions == 2 else "forward"}
    if form.mode == "gru":
        said["linear_before_reset"] = 1
    if form.mode == "rnn_relu":
        said["activations"] = ["Relu"] * form.directions
    parts = [array.astype(np.float32) for array in arrays]
    y, *ends = layer.add(_OPERATORS[form.mode], x, *parts, None, *states,
                         outputs=3 if form.mode == "lstm" else 2, **said)
    y = layer.transpose(y, [0, 2, 1, 3])
    shape = layer.x.shape.take([0, 1]).joined(Shape((form.directions * form.hidden,)))
    return [layer.reshape(y, shape)] + ends


def _joined(layer, parts):
    return parts[0] if len(parts) == 1 else layer.add("Concat", *parts, axis=0)

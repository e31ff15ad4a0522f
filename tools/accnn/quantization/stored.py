"""The stored form of INT8 convolutions: arrays of int8 that plain MXNet loads, with a scale for every output channel.

MXNet 1.9.1 keeps the weights of a quantized convolution as float32, and quantizes them at the first pass. Here they are
whole numbers from -128 to 127 already, stored as int8: whatever fills a bound network with them makes floats of them.
Their scales stand in a BatchNorm that is fused behind the convolution: MXNet multiplies the weights by ``gamma`` before
it quantizes them, and finds the same whole numbers again. That takes a moment at the first pass, and nothing later.
"""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.graph import attrs
from accnn.graph.ir import Graph, GraphWriter, Node, moved, prune
from accnn.graph.quantized import in_int8
from accnn.quantization.fusing import free_name, fused_node, operators
from accnn.quantization.grid import SIGNED
from accnn.quantization.normalization import scale_and_shift
from accnn.quantization.supported import CONVOLUTION, SUMS

RANGE = np.float32(SIGNED)  # what MXNet takes the largest weight of a channel to; what is stored is -128 or 127
_NEAR = (-1, 1, -2, 2, -3, 3, -4, 4)  # units in the last place of a scale
_NORMALIZATION = {"eps": "0", "fix_gamma": "False", "use_global_stats": "True"}


def store(model, lifts=None, everything=True):
    """Return a quantized model whose convolutions have INT8 arrays as weights.

    Parameters
    ----------
    model : Model
        As MXNet's pass makes it: convolutions with float32 weights.
    lifts : dict of str to (str, float), optional
        Fused operators whose output only one other reads, which adds it to its own and ends in a ReLU -> that one, and
        the least value of the output, negated. The first gets it added to its bias and a ReLU, so that its output is
        unsigned, as that of the second is; the second gets it subtracted. The sum stays what it was.
    everything : bool
        False: store the operators of `lifts` only.

    Returns
    -------
    Model
    """
    lifts = {} if lifts is None else lifts
    offsets = {"quantized_" + name: offset for name, (_, offset) in lifts.items()}
    offsets.update(("quantized_" + into, -offset) for into, offset in lifts.values())
    graph, arrays, states = model.graph, dict(model.arg_params), dict(model.aux_params)
    written, names = GraphWriter(), {node.name for node in graph.nodes}
    for position, node in enumerate(graph.nodes):
        made = moved(node, written.where)
        if is_stored(node) and (everything or node.name in offsets):
            weight, bias = folded(operators(node), [_array(model, graph.nodes[entry[0]].name)
                                                    for entry in node.inputs[1:]])
            bias = bias + np.float32(offsets.get(node.name, 0))
            made = _lifted(made, offsets[node.name]) if node.name[len("quantized_"):] in lifts else made
            made = _stored(made, weight, bias, written, names, (arrays, states))
        written.put(position, made)
    graph = Graph.from_symbol(prune(written.graph(graph.heads)).to_symbol())
    there = set(graph.variables())
    return replace(model, graph=graph, arg_params={name: arrays[name] for name in arrays if name in there},
                   aux_params={name: states[name] for name in states if name in there})


def is_stored(node):
    """bool: a convolution that is computed in INT8."""
    return node.op == CONVOLUTION and in_int8(node)


def quantized_weights(weights, per_tensor=False):
    """Quantize weights as MXNet does: symmetrically, with a scale for every output channel.

    MXNet takes the largest weight of a channel to 127.5 steps, and so to -128 or 127. With the scale such that this one
    keeps its value, all others move by less than half a step: MXNet makes the same whole numbers of ``whole * scales``
    again, with the same range. Where the largest became 127 and another one -127, that takes a scale with which the
    largest comes to a little less than 127.5; where there is none, the other one becomes -128.

    Parameters
    ----------
    weights : ndarray, shape (N, ...)
    per_tensor : bool
        The same scale for all channels.

    Returns
    -------
    whole : ndarray of int8, of that shape
    scales : ndarray of float32, shape (N,)
        ``whole * scales`` is what takes the place of `weights`.
    """
    rows = weights.astype(np.float32).reshape((1, -1) if per_tensor else (len(weights), -1))
    largest = _largest(rows)
    whole = _whole(rows, largest)
    whole = _again(whole, _lasting_scales(whole, largest))
    scales = _lasting_scales(whole, largest)
    return whole.astype(np.int8).reshape(weights.shape), scales.ravel().repeat(len(weights) // len(scales))


def _lasting_scales(whole, largest):
    """Scales with which MXNet makes the same whole numbers again, where there are such.

    Only -127 beside 127 can become another one.
    """
    ends = np.stack((whole.min(axis=1), whole.max(axis=1)), axis=1)
    first = scales = largest / _largest(ends)
    for ulps in _NEAR:
        wrong = np.any(_again(ends, scales) != ends, axis=1, keepdims=True)
        scales = np.where(wrong, first + ulps * np.spacing(first), scales)
    return scales


def _again(whole, scales):
    """What MXNet makes of the weights that are stored."""
    return _whole(whole * scales, _largest(whole * scales))


def _largest(rows):
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, np.float32(1))


def _whole(rows, largest):
    return np.clip(np.rint(rows * (RANGE / largest)), -128, 127)


def folded(parts, arrays):
    """Weight and bias of a fused convolution, with a BatchNorm behind it folded in as MXNet does.

    Parameters
    ----------
    parts : list of Node
        See :func:`accnn.quantization.fusing.operators`.
    arrays : list of ndarray
        What the node reads behind its first input; None for what is no parameter.

    Returns
    -------
    weight, bias : ndarray
    """
    with_bias = not attrs.boolean(parts[0], "no_bias")
    weight, bias = arrays[0], arrays[1] if with_bias else np.zeros(len(arrays[0]), np.float32)
    if len(parts) > 1 and parts[1].op == "BatchNorm":
        gamma, beta, mean, variance = arrays[1 + with_bias:5 + with_bias]
        alpha = scale_and_shift(parts[1], gamma, beta, mean, variance)[0].astype(np.float32)
        weight, bias = weight * alpha.reshape((-1,) + (1,) * (weight.ndim - 1)), beta + alpha * (bias - mean)
    return weight, bias


def _lifted(node, offset):
    """A convolution that ends in a ReLU, for what is `offset` more: as large as it may be, from 0."""
    inner = node.extra["subgraphs"][0]["nodes"]
    relu = {"op": "Activation", "name": operators(node)[0].name + "_lifted", "attrs": {"act_type": "relu"},
            "inputs": [[len(inner) - 1, 0, 0]]}
    high = float(node.attrs["max_calib_range"]) + offset
    return replace(node, attrs=dict(node.attrs, with_act="true", min_calib_range="0", max_calib_range="%.9g" % high),
                   extra={"subgraphs": [dict(node.extra["subgraphs"][0], nodes=inner + [relu])]})


def _array(model, name):
    found = model.arg_params.get(name, model.aux_params.get(name))
    return None if found is None else found.asnumpy()


def _stored(node, weight, bias, written, names, into):
    """The fused operator with an INT8 weight and a BatchNorm with its scales, whose variables go into `written`."""
    parts = operators(node)
    # Where a convolution does not requantize by itself, MXNet takes one scale for all its channels.
    whole, scales = quantized_weights(weight, per_tensor="min_calib_range" not in node.attrs)
    layer, kinds = parts[0].name, {"_weight_quantize": (whole, 0), "_scale": (scales, 0), "_shift": (bias, 0),
                                   "_zero": (np.zeros_like(bias), 1), "_one": (np.ones_like(bias), 1)}
    variables = [_variable(layer + end, values, written, names, into[place]) for end, (values, place) in kinds.items()]
    layer_node = replace(parts[0], attrs=dict(parts[0].attrs, no_bias="True"))
    behind = [part for part in parts[1:] if part.op != "BatchNorm"]
    ranges = 4 if any(part.op in SUMS for part in behind) else 2
    read = [(node.inputs[0], variables[0]), tuple(variables[1:])] + \
        [(node.inputs[-ranges - 1],) if part.op in SUMS else () for part in behind]
    made = fused_node([layer_node, Node("BatchNorm", layer + "_scaled", _NORMALIZATION)] + behind, read)
    return replace(made, name=node.name, attrs=dict(node.attrs, **made.attrs),
                   inputs=made.inputs + node.inputs[-ranges:])


def _variable(name, values, written, names, into):
    """Add a variable of a new name to `written` and its array to `into`; the entry of it."""
    name = free_name(name, names)
    into[name] = mx.nd.array(values, dtype=values.dtype)
    return written.add(Node("null", name, {}))

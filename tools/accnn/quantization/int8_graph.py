"""INT8 networks: a partitioned network quantized by MXNet's own pass, calibrated with thresholds of one's own."""
from collections import Counter, namedtuple
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8
from accnn.graph import attrs
from accnn.graph.ir import Graph, prune
from accnn.graph.passing import nonnegative
from accnn.graph.quantized import in_int8, names_inside
from accnn.quantization import fusing, supported
from accnn.quantization.folding import fold, with_activations, with_guards, without_activations, without_guards
from accnn.quantization.fusing import Partition, partition
from accnn.quantization.grid import SIGNED
from accnn.quantization.stored import store

__all__ = ["LayerPrecision", "Partition", "calibrated_tensors", "graph_only", "layer_precisions", "partition",
           "quantize", "random_thresholds"]

LayerPrecision = namedtuple("LayerPrecision", "layer precision reason")
LayerPrecision.__doc__ = """One layer of the original: its `precision`, and the `reason` where it stays in float32."""

_RANDOM = (-4.0, 4.0)
_EPS, _NO_EPS = 1e-3, "1e-12"  # of a BatchNorm that says none; too small to change 1 or a variance in float32
_BLOCK = 1 << 18  # numbers that are converted at a time: they stay in the caches
_LEAST = 1e-10  # a tensor that is always zero has no range, and no scale


def calibrated_tensors(partitioned):
    """list of str: the tensors of a :class:`Partition` that need thresholds, as in ``relu1_1_output``, ``data``."""
    return _passed(partitioned)[1]


def random_thresholds(partitioned, spread=_RANDOM):
    """dict: one fixed range for every tensor of a :class:`Partition`: right for timing, and for nothing else.

    It begins at 0 where a tensor cannot be below: oneDNN takes an unsigned tensor with such a range only.
    """
    graph = partitioned.model.graph
    positive = {node.name + "_output" for node, is_positive in zip(graph.nodes, nonnegative(graph)) if is_positive}
    return {name: (0.0, spread[1]) if name in positive else spread for name in calibrated_tensors(partitioned)}


def quantize(model, thresholds, exclude=(), stored=True, dense_channels=False):
    """Return the INT8 network of a model.

    Parameters
    ----------
    model : Model
        Not changed.
    thresholds : dict of str to (float, float)
        Minimum and maximum of every one of :func:`calibrated_tensors`; others are ignored. What lies outside is
        clipped. oneDNN quantizes symmetrically: with the larger of the two magnitudes, to 0..255 where the tensor
        comes from a ReLU or its minimum is not negative, else to -128..127.
    exclude : iterable of str
        Layers of `model` that are to stay in float32.
    stored : bool
        With weights as int8 arrays, see :mod:`accnn.quantization.stored`. False: most convolutions keep float32, as
        MXNet has them, which is made sooner: enough for timing.
    dense_channels : bool
        Weights of fully connected layers have a step for every output and their biases 32 bits, instead of one step
        for all weights and 8 bits. They are stored as float32.

    Returns
    -------
    Model
        Of the same outputs.

    Raises
    ------
    AccnnError
        What :func:`partition` refuses; a tensor without thresholds, or with ones that are no numbers.
    """
    partitioned = partition(model, exclude)
    graph, ranges = _quantized(model, partitioned, thresholds, dense_channels)
    made = replace(model, graph=graph, arg_params=_parameters(graph, model.arg_params), aux_params={
        name: model.aux_params[name] for name in graph.variables() if name in model.aux_params})
    made = _with_eps_once(made)
    lifts = {name: (into, max(-ranges[name + "_output"][0], 0.0)) for name, into in partitioned.lifted.items()}
    return store(made, lifts, everything=stored)


def graph_only(model, exclude=()):
    """Model: what :func:`quantize` makes without its parameters, which :func:`layer_precisions` does not read."""
    partitioned = partition(model, exclude)
    graph, _ = _quantized(model, partitioned, random_thresholds(partitioned))
    return replace(model, graph=graph, arg_params={}, aux_params={})


def layer_precisions(model, quantized, exclude=()):
    """Say of every convolution and fully connected layer in which precision it is computed.

    Parameters
    ----------
    model : Model
        The original.
    quantized : Model
        What :func:`quantize` made of it.
    exclude : iterable of str
        As it was given there.

    Returns
    -------
    list of LayerPrecision
    """
    there = {name for node in quantized.graph.nodes if in_int8(node) for name in names_inside(node)}
    kept = partition(model, exclude).kept
    layers = [node.name for node in model.graph.nodes if node.op in supported.LAYERS or node.op == "Deconvolution"]
    return [LayerPrecision(name, INT8, "") if name in there else
            LayerPrecision(name, FP32, kept.get(name, "it is fused with what is excluded")) for name in layers]


def _quantized(model, partitioned, thresholds, dense_channels=False):
    """The quantized graph of a Partition of `model`, and the ranges of the tensors that need some."""
    symbol, needed = _passed(partitioned, dense_channels)
    unsigned = fusing.unsigned_tensors(partitioned)
    ranges = {name: _range(model, name, thresholds, name in unsigned) for name in needed}
    symbol = mx.contrib.quantization._calibrate_quantized_sym(symbol, ranges) if ranges else symbol
    graph = with_activations(without_guards(Graph.from_symbol(symbol)), partitioned.model.graph)
    return _with_output_names(fold(graph, ranges), model), ranges


def _passed(partitioned, dense_channels=False):
    """The symbol that MXNet's pass makes of a Partition, without thresholds, and the tensors that need some."""
    model = partitioned.model
    symbol, names = mx.contrib.quantization._quantize_symbol(
        with_guards(without_activations(model.graph)).to_symbol(), mx.cpu(), sorted(partitioned.excluded),
        offline_params=list(model.arg_params), quantized_dtype="auto",
        quantize_granularity="channel-wise" if dense_channels else "tensor-wise")
    return symbol, list(dict.fromkeys(names))


def _range(model, name, thresholds, is_unsigned):
    if name not in thresholds:
        raise AccnnError("%s: the tensor %r has no thresholds: calibrate the network with images"
                         % (model.prefix, name))
    low, high = map(float, thresholds[name])
    if not np.isfinite(low) or not np.isfinite(high) or low > high:
        raise AccnnError("%s: the tensor %r has the thresholds %g and %g, which are no range: are there NaN or "
                         "infinite values in the network or in the images?" % (model.prefix, name, low, high))
    low = max(low, 0.0) if is_unsigned else low
    return (low, high) if max(-low, high) >= _LEAST else (low, _LEAST)


def _with_output_names(graph, model):
    """Let outputs be called as in the original: a node behind it may have a name of the pass."""
    wanted, found = model.symbol.list_outputs(), graph.to_symbol().list_outputs()
    names, nodes = {node.name for node in graph.nodes}, list(graph.nodes)
    for old, new, (position, _, _) in zip(wanted, found, graph.heads):
        name = old[:-len("_output")] if old.endswith("_output") else old
        if old != new and name not in names:
            names.add(name)
            nodes[position] = replace(nodes[position], name=name)
    return Graph.from_symbol(prune(Graph(tuple(nodes), graph.heads)).to_symbol())


def _parameters(graph, arrays):
    """dict: the parameters that a quantized graph reads: those of fully connected layers become INT8."""
    found, names = {}, set(graph.variables())
    for name in sorted(names):
        if name in arrays:
            found[name] = arrays[name]
        elif name.endswith("_quantize") and name[:-len("_quantize")] in arrays:
            found.update(zip((name, name + "_min", name + "_max"), _whole(arrays[name[:-len("_quantize")]])))
    found.update((name, mx.nd.ones_like(found[name])) for name in _fixed_gammas(graph) if name in found)
    return found


def _fixed_gammas(graph):
    """list of str: parameters that count as 1, which MXNet's INT8 BatchNorm does not know."""
    return [graph.nodes[node.inputs[1][0]].name for node in graph.nodes
            if node.op == "_contrib_quantized_batch_norm" and attrs.boolean(node, "fix_gamma", True)]


def _with_eps_once(model):
    """Model: with `eps` as a part of the variances of INT8 BatchNorms, because MXNet's operator adds it again to 1."""
    nodes, variances, readers = list(model.graph.nodes), {}, Counter()
    for node in nodes:
        readers.update({model.graph.nodes[entry[0]].name for entry in node.inputs})
    for place, node in enumerate(nodes):
        name = node.op == "_contrib_quantized_batch_norm" and nodes[node.inputs[4][0]].name
        if name and readers[name] == 1 and name in model.aux_params:
            variances[name] = model.aux_params[name] + attrs.number(node, "eps", _EPS)
            nodes[place] = replace(node, attrs=dict(node.attrs, eps=_NO_EPS))
    return replace(model, graph=Graph(tuple(nodes), model.graph.heads), aux_params={**model.aux_params, **variances})


def _whole(array):
    """(INT8, minimum, maximum): a parameter in steps of one size.

    The operators of fully connected layers take the maximum for 127.5 steps; ``contrib.quantize`` makes 127 of it, with
    which the outputs of every such layer would be 0.4% too small.
    """
    values = array.asnumpy()
    largest = max(float(np.maximum(values.max(initial=0), -values.min(initial=0))), _LEAST)
    numbers = np.empty(values.shape, np.int8)
    for rows, into in zip(_blocks(values), _blocks(numbers)):
        np.clip(np.rint(rows * (SIGNED / largest)), -128, 127, out=into, casting="unsafe")
    return tuple(mx.nd.array(one, dtype=one.dtype) for one in (
        numbers, np.array([-largest], np.float32), np.array([largest], np.float32)))


def _blocks(array):
    """list of ndarray: views of some numbers of an array each."""
    flat = array.reshape(-1)
    return [flat[first:first + _BLOCK] for first in range(0, flat.size, _BLOCK)]

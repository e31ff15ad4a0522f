"""Quantized graphs in their last form: every layer requantizes, or gives float32, by itself.

What MXNet does by a second ``get_backend_symbol('MKLDNN_QUANTIZE')``, which would also fuse what was left alone on
purpose, and writes thresholds with six decimals only.
"""
from dataclasses import replace

from accnn.graph.ir import Graph, moved, prune
from accnn.quantization.fusing import CONVOLUTION, DENSE

_REQUANTIZING = {CONVOLUTION, DENSE, "_contrib_quantized_elemwise_add", "_contrib_quantized_elemwise_mul"}
_RANGE = ("min_calib_range", "max_calib_range")


def fold(graph, ranges):
    """Return a calibrated graph of MXNet's pass in which layers requantize by themselves.

    Parameters
    ----------
    graph : Graph
    ranges : dict of str to (float, float)
        Thresholds by tensor: written in full.
    """
    graph = _float_outputs(_requantized(_exact(graph, ranges)))
    return prune(graph)


def _exact(graph, ranges):
    """Write thresholds with all their digits."""
    nodes = list(graph.nodes)
    for position, node in enumerate(nodes):
        if _RANGE[0] in node.attrs:
            found = ranges.get(_tensor(graph, node))
            if found:
                nodes[position] = _with_attrs(node, zip(_RANGE, map("%.9g".__mod__, found)))
    return replace(graph, nodes=tuple(nodes))


def _tensor(graph, node):
    """The name of the tensor whose range a node has: what it reads, or what it is the quantized form of."""
    if node.op == "_contrib_quantize_v2":
        return node.name[:-len("_quantize")]
    return node.name[len("requantize_" if node.op == "_contrib_requantize" else "quantized_"):] + "_output"


def _requantized(graph):
    """Take out requantize nodes behind operators that can do it."""
    nodes, place = list(graph.nodes), {}
    for position, node in enumerate(graph.nodes):
        if node.op == "_contrib_requantize" and _RANGE[0] in node.attrs:
            producer = node.inputs[0][0]
            if nodes[producer].op in _REQUANTIZING:
                nodes[producer] = _with_attrs(nodes[producer], ((key, node.attrs[key]) for key in _RANGE))
                place[position] = producer
    return _redirected(Graph(tuple(nodes), graph.heads), lambda entry: (place.get(entry[0], entry[0]),) + entry[1:])


def _float_outputs(graph):
    """Let fully connected layers that are only dequantized give float32: no rounding of their outputs to INT8."""
    nodes, readers, place = list(graph.nodes), graph.consumers(), {}
    for position, node in enumerate(graph.nodes):
        behind = set(readers[position])
        if node.op == DENSE and _RANGE[0] in node.attrs and behind and \
                all(graph.nodes[reader].op == "_contrib_dequantize" for reader in behind):
            attributes = {key: value for key, value in node.attrs.items() if key not in _RANGE}
            nodes[position] = replace(node, attrs=dict(attributes, enable_float_output="True"))
            place.update((reader, position) for reader in behind)
    return _redirected(Graph(tuple(nodes), graph.heads),
                       lambda entry: (place[entry[0]], 0, 0) if entry[0] in place else entry)


def _redirected(graph, where):
    return Graph(tuple(moved(node, where) for node in graph.nodes), tuple(where(head) for head in graph.heads))


def _with_attrs(node, pairs):
    return replace(node, attrs=dict(node.attrs, **dict(pairs)))

"""Quantized graphs in their last form: every layer requantizes, or gives float32, by itself.

What MXNet does by a second ``get_backend_symbol('MKLDNN_QUANTIZE')``, which would also fuse what was left alone on
purpose, and writes thresholds with six decimals only.
"""
from collections import Counter
from dataclasses import replace

from accnn.graph.ir import Graph, Node, moved, prune
from accnn.quantization.fusing import operators
from accnn.quantization.supported import CONVOLUTION, DENSE, SIGNED, UNSIGNED, is_grouped, is_unsigned, is_wrong

_REQUANTIZING = {CONVOLUTION, DENSE, "_contrib_quantized_elemwise_add", "_contrib_quantized_elemwise_mul"}
_KEEPING_TYPE = {"_contrib_quantized_pooling", "_contrib_quantized_flatten"}
_GUARD = "accnn_output_"
_UNKNOWN = "sigmoid"  # to MXNet's pass: an operator that reads and gives one tensor
_RANGE = ("min_calib_range", "max_calib_range")


def without_activations(graph):
    """Return `graph` with other operators in the place of activations that MXNet's pass cannot quantize.

    It would write two lines about each on stderr, excluded or not.
    """
    return replace(graph, nodes=tuple(replace(node, op=_UNKNOWN, attrs={}) if _is_told(node) else node
                                      for node in graph.nodes))


def with_activations(graph, before):
    """Return what the pass made of :func:`without_activations` with those of `before` again."""
    told = {node.name: node for node in before.nodes if _is_told(node)}
    return replace(graph, nodes=tuple(replace(node, op=told[node.name].op, attrs=told[node.name].attrs)
                                      if node.op == _UNKNOWN and node.name in told else node for node in graph.nodes))


def _is_told(node):
    return node.op == "Activation" and is_wrong(node)


def with_guards(graph):
    """Return `graph` with an identity in front of every output that is read inside too, or is an output twice.

    MXNet's pass dequantizes what such an output is for its reader, and then what came of that again.
    """
    nodes, heads, used = list(graph.nodes), [], Counter(entry[0] for node in graph.nodes for entry in node.inputs)
    used.update(entry[0] for entry in graph.heads)
    for head in graph.heads:
        if used[head[0]] > 1 and not nodes[head[0]].is_variable:
            nodes.append(Node("_copy", "%s%d" % (_GUARD, len(nodes)), {}, (head,)))
            head = (len(nodes) - 1, 0, 0)
        heads.append(head)
    return Graph(tuple(nodes), tuple(heads))


def without_guards(graph):
    """Return what the pass made of :func:`with_guards` without the identities."""
    def where(entry):
        node = graph.nodes[entry[0]]
        return node.inputs[0] if node.name.startswith(_GUARD) and node.op == "_copy" else entry
    return prune(_redirected(graph, where))


def fold(graph, ranges):
    """Return a calibrated graph of MXNet's pass in which layers requantize by themselves.

    Parameters
    ----------
    graph : Graph
    ranges : dict of str to (float, float)
        Thresholds by tensor: written in full.
    """
    return prune(_float_outputs(prune(_requantized(_typed_sums(_exact(graph, ranges))))))


def _exact(graph, ranges):
    """Write thresholds with all their digits."""
    nodes, names = list(graph.nodes), dict(zip(graph.internals.entries, graph.internals.symbol.list_outputs()))
    for position, node in enumerate(nodes):
        if _RANGE[0] in node.attrs:
            found = ranges.get(_tensor(node, names))
            if found:
                nodes[position] = _with_attrs(node, zip(_RANGE, map("%.9g".__mod__, found)))
    return replace(graph, nodes=tuple(nodes))


def _tensor(node, names):
    """The name of the tensor whose range a node has: what it reads, or what it is the quantized form of."""
    if node.op == "_contrib_quantize_v2":
        return names[node.inputs[0][:2]]
    return node.name[len("requantize_" if node.op == "_contrib_requantize" else "quantized_"):] + "_output"


def _requantized(graph):
    """Take out requantize nodes behind operators that can do it."""
    nodes, place = list(graph.nodes), {}
    for position, node in enumerate(graph.nodes):
        if node.op == "_contrib_requantize" and _RANGE[0] in node.attrs:
            producer = node.inputs[0][0]
            # With a range of its own, and so a scale for every output channel, MXNet 1.9.1 quantizes all weights of
            # group g of a grouped convolution with the scale of channel g.
            grouped = nodes[producer].op == CONVOLUTION and is_grouped(operators(nodes[producer])[0])
            if nodes[producer].op in _REQUANTIZING and not grouped:
                nodes[producer] = _with_attrs(nodes[producer], ((key, node.attrs[key]) for key in _RANGE))
                place[position] = producer
    return _redirected(Graph(tuple(nodes), graph.heads), lambda entry: (place.get(entry[0], entry[0]),) + entry[1:])


def _typed_sums(graph):
    """Let what is quantized for a fused sum have the type of the sum, whatever its range is."""
    nodes = list(graph.nodes)
    for node in graph.nodes:
        if node.op == CONVOLUTION and "quantized" in node.attrs and "with_sum" in node.attrs:
            source = node.inputs[-5][0]  # behind it are the ranges of the data and of the sum
            while nodes[source].op in _KEEPING_TYPE:
                source = nodes[source].inputs[0][0]
            if nodes[source].op == "_contrib_quantize_v2":
                unsigned = is_unsigned(operators(node)[-1])
                said = {"out_type": UNSIGNED, _RANGE[0]: "0"} if unsigned else {"out_type": SIGNED}
                nodes[source] = _with_attrs(nodes[source], said)
    return Graph(tuple(nodes), graph.heads)


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

"""Replace layers of a network by chains: one pass over the graph, whatever the number of layers."""
from dataclasses import dataclass, replace
from typing import Sequence, Tuple

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec
from accnn.graph.ir import Graph, Node, moved, prune
from accnn.graph.passing import origin, repeated

_KERNEL_HINTS = ("workspace", "cudnn_tune", "cudnn_off", "layout")
_STALE = ("__shape__", "__init__")
_MAPS = "_maps"  # suffix of the node that makes maps of a vector
_FLAT = "_flat"  # and of the one that makes a vector of maps


@dataclass(frozen=True)
class Replacement:
    """What takes the place of one layer.

    Attributes
    ----------
    spec : LayerSpec
    chain : sequence of SubConv or SubFC
    arrays : sequence of (ndarray, ndarray or None)
        Weight and bias of every part of the chain.
    """

    spec: LayerSpec
    chain: Sequence[object]
    arrays: Sequence[Tuple[object, object]]

    def with_arrays(self, found):
        """Return the Replacement with other arrays, by the names that they have in the network."""
        def chosen(part, arrays):
            name = self.spec.name + part.suffix
            return tuple(found.get(name + end, array) for end, array in zip(("_weight", "_bias"), arrays))

        return replace(self, arrays=[chosen(*one) for one in zip(self.chain, self.arrays)])


def replace_layers(model, replacements):
    """Return a new model in which chains stand for layers.

    Every other node, attribute and parameter is that of `model`, the very same objects. The output of a replaced
    layer keeps its name (an identity operator, which costs nothing at run time, carries it), so that heads
    and taps such as ``conv3_3_output`` are still found. Parameters that only replaced layers read are dropped.

    Parameters
    ----------
    model : Model
        Not changed.
    replacements : iterable of Replacement

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        A new name is already taken in the network.
    """
    replacements = {item.spec.name: item for item in replacements}
    _refuse_taken_names(model, replacements.values())
    fragments = {position: _fragment(model.graph, node, replacements[node.name].chain)
                 for position, node in enumerate(model.graph.nodes)
                 if not node.is_variable and node.name in replacements}
    new_params = {}
    for item in replacements.values():
        dtype = model.arg_params[item.spec.weight].dtype
        new_params.update(_parameters(item, dtype))
    return with_parameters(model, splice(model.graph, fragments), new_params)


def splice(graph, fragments):
    """Put small graphs in the place of nodes, in one pass.

    Parameters
    ----------
    graph : Graph
    fragments : dict of int to Graph
        Position of a node -> the graph that computes the same from its first input. The first node of the fragment
        stands for that input; its single head for the node's output.

    Returns
    -------
    Graph
        Without the nodes that no head needs any more.
    """
    nodes, new_position = [], {}

    def where(entry):
        return (new_position[entry[0]],) + tuple(entry[1:])

    for position, node in enumerate(graph.nodes):
        if position in fragments:
            new_position[position] = _append(nodes, fragments[position], where(node.inputs[0]), node)
        else:
            new_position[position] = len(nodes)
            nodes.append(moved(node, where))
    spliced = prune(Graph(tuple(nodes), tuple(where(head) for head in graph.heads)))
    return Graph.from_symbol(spliced.to_symbol())  # in MXNet's own order, and accepted by MXNet


def with_parameters(model, graph, new_params):
    """Return the model of `graph`: parameters of `model` that `graph` still reads, and `new_params`.

    A parameter that no node of `model` read either is kept: whoever saved it may want it.
    """
    gone = set(model.graph.variables()) - set(graph.variables())
    arg_params = {name: array for name, array in model.arg_params.items() if name not in gone}
    arg_params.update(new_params)
    aux_params = {name: array for name, array in model.aux_params.items() if name not in gone}
    return replace(model, graph=graph, arg_params=arg_params, aux_params=aux_params)


def _append(nodes, fragment, data, replaced):
    """Add `fragment` reading `data` to `nodes`, and an identity of the replaced name when its output has another."""
    offset = len(nodes) - 1

    def where(entry):
        return data if entry[0] == 0 else (entry[0] + offset,) + tuple(entry[1:])

    nodes.extend(moved(node, where) for node in fragment.nodes[1:])
    head = where(fragment.heads[0])
    if nodes[head[0]].name != replaced.name:
        nodes.append(Node("_copy", replaced.name, _inherited(replaced), (head,)))
        return len(nodes) - 1
    return head[0]


def _fragment(graph, node, chain):
    """The chain as a small graph: a stand-in for the data, then weight, bias and operator of every part.

    In front a Reshape where a chain of convolutions reads a vector; a Flatten between a convolution and a fully
    connected part, because oneDNN's fusion in MXNet 1.9.1 fails where one reads the other in blocks of channels. Where
    a parameter passes through casts and the like before the layer reads it, those in its place do too.
    """
    nodes = [Node("null", "data", {})] + _maps(node, chain)
    origins = [origin(graph, entry) for entry in node.inputs[1:]]
    origins += origins[:1] * (2 - len(origins))
    data = len(nodes) - 1
    for place, part in enumerate(chain):
        if place in _flattened(chain):
            nodes.append(Node("Flatten", node.name + _FLAT, _inherited(node), ((data, 0, 0),)))
            data = len(nodes) - 1
        name = node.name + part.suffix
        inputs = ["_weight", "_bias"][:2 if part.bias else 1]
        shapes = part.stored_shape, part.weight_shape[:1]
        entries = [data] + [_parameter(nodes, graph, name + end, shape, *found)
                            for end, shape, found in zip(inputs, shapes, origins)]
        data = len(nodes)
        nodes.append(Node(part.op, name, dict(_operator_attrs(node, part), **part.attrs()),
                          tuple((entry, 0, 0) for entry in entries)))
    return Graph(tuple(nodes), ((data, 0, 0),))


def _parameter(nodes, graph, name, shape, end, between):
    """Add a variable, and what the layer's own parameter passes through, to `nodes`; the position of the last one."""
    said = {"__shape__": str(tuple(shape))} if between else {}  # MXNet infers none through some of these
    nodes.append(Node("null", name, dict(_inherited(graph.nodes[end[0]]), **said)))
    for number, node in enumerate(repeated(between)):
        nodes.append(Node(node.op, "%s_%s%d" % (name, node.op.strip("_").lower(), number), node.attrs,
                          ((len(nodes) - 1, 0, 0),)))
    return len(nodes) - 1


def _maps(node, chain):
    """list of Node: what makes feature maps of the vector that a layer reads, where its chain starts with such."""
    if not _reads_maps(chain):
        return []
    shape = str((0,) + tuple(chain[0].maps))  # 0: the batch as it is
    return [Node("Reshape", node.name + _MAPS, dict(_inherited(node), shape=shape), ((0, 0, 0),))]


def _reads_maps(chain):
    return chain[0].op == "Convolution" and chain[0].maps is not None


def _flattened(chain):
    """list of int: places of fully connected parts behind a convolution."""
    return [place for place in range(1, len(chain))
            if (chain[place - 1].op, chain[place].op) == ("Convolution", "FullyConnected")]


def _operator_attrs(node, part):
    """What a part of the chain takes over from the layer: hidden attributes, and hints for the same operator."""
    same = part.op == node.op
    return dict(_inherited(node), **{key: node.attrs[key] for key in _KERNEL_HINTS if same and key in node.attrs})


def _inherited(node):
    """Hidden attributes of a node (learning rate, device, type) that hold for its successors too."""
    return {key: value for key, value in node.attrs.items() if key.startswith("__") and key not in _STALE}


def _parameters(item, dtype):
    for part, (weight, bias) in zip(item.chain, item.arrays):
        name = item.spec.name + part.suffix
        yield name + "_weight", _array(part.stored(np.asarray(weight)), dtype)
        if part.bias:
            yield name + "_bias", _array(np.reshape(bias, part.weight_shape[:1]), dtype)


def _array(values, dtype):
    return mx.nd.array(np.ascontiguousarray(values), dtype=dtype)


def new_names(spec, chain):
    """list of str: nodes and parameters that `chain` brings with it in the place of the layer."""
    return [spec.name + _MAPS] * _reads_maps(chain) + [spec.name + _FLAT] * len(_flattened(chain)) + [
        spec.name + part.suffix + end for part in chain for end in ("", "_weight", "_bias")[:3 if part.bias else 2]]


def _refuse_taken_names(model, replacements):
    taken = {node.name for node in model.graph.nodes} | set(model.arg_params) | set(model.aux_params)
    for item in replacements:
        for name in new_names(item.spec, item.chain):
            if name in taken:
                raise AccnnError("the layer %r cannot be split: %s already has something called %r"
                                 % (item.spec.name, model.prefix, name))

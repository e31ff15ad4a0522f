"""Cutting a network in two: what lies behind some nodes, as a network of its own."""
from collections import Counter
from dataclasses import dataclass, replace
from typing import Tuple

from accnn.core.errors import AccnnError
from accnn.core.layers import macs
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph, Node, moved, prune
from accnn.graph.specs import layer_specs

DATA = "__accnn_data__"


@dataclass(frozen=True)
class Cut:
    """A part of a network that has one input, called `DATA`, and one output.

    Attributes
    ----------
    model : Model
        Its parameters are those of the network, the very same objects.
    """

    model: Model

    @property
    def operators(self):
        """tuple of str: names of its operators in topological order, without identities."""
        return tuple(node.name for node in self.model.graph.nodes if not node.is_variable and node.op != "_copy")

    def macs(self, shape):
        """int: multiply-adds of its convolutions and fully connected layers for an input of `shape`.

        The shape has the batch in front, and so the count is that of all examples.
        """
        return shape[0] * count_macs(layer_specs(self.model, {DATA: tuple(shape[1:])}))

    def same_work(self, other, shape):
        """True when both run the same operators on parameters of the same shapes, with as many multiply-adds."""
        return self._work() == other._work() and self.macs(shape) == other.macs(shape)

    def _work(self):
        params = dict(self.model.arg_params, **self.model.aux_params)
        return [(node.op, node.inputs, tuple(params[node.name].shape) if node.name in params else None)
                for node in self.model.graph.nodes]


def count_macs(specs):
    """int: theoretical cost of one example over layers; those of unknown shape count nothing."""
    return sum(round(macs((spec.part,), spec.in_shape) * spec.repeats) for spec in specs if spec.part)


def source(model, layer) -> Tuple[str, int]:
    """What a layer reads: the name of a node, and which of its outputs."""
    position, output, _ = model.graph.nodes[model.graph.position(layer, model.prefix)].inputs[0]
    return model.graph.nodes[position].name, output


def cut(model, layer, start):
    """Take out everything that `model` computes between an entry and a layer's output.

    Whatever stands for the layer, one operator or a chain with branches, is found by walking back from its output: a
    replaced layer's output keeps its name, see :func:`accnn.graph.rewrite.replace_layers`, so the input that a layer
    had in the baseline has the same name in the network made from it, be it replaced or not.

    Parameters
    ----------
    model : Model
    layer : str
        The operator whose first output ends the part.
    start : (str, int)
        Where it begins: see :func:`source`.

    Returns
    -------
    Cut

    Raises
    ------
    AccnnError
        There is no such layer, or it depends on more than that entry and on parameters.
    """
    nodes, end = model.graph.nodes, model.graph.position(layer, model.prefix)
    names = [node.name for node in nodes]
    needed, begun = {end}, False
    for position in range(end, -1, -1):
        if position in needed:
            for producer, output, _ in nodes[position].inputs:
                if (names[producer], output) == tuple(start):
                    begun = True
                else:
                    needed.add(producer)
    if not begun:
        raise AccnnError("%s does not compute %r from %r, as the baseline does" % (model.prefix, layer, start[0]))
    _refuse_other_inputs(model, layer, [nodes[position] for position in needed if nodes[position].is_variable])
    return Cut(_part(model, sorted(needed), end, tuple(start)))


def _refuse_other_inputs(model, layer, variables):
    for node in variables:
        if node.name not in model.arg_params and node.name not in model.aux_params:
            raise AccnnError("in %s %r reads %r too" % (model.prefix, layer, node.name))


def _part(model, kept, end, start):
    position_of = {old: new for new, old in enumerate(kept, 1)}  # the data comes first

    def where(entry):
        if (model.graph.nodes[entry[0]].name, entry[1]) == start:
            return 0, 0, 0
        return (position_of[entry[0]],) + tuple(entry[1:])

    nodes = [Node("null", DATA, {})] + [moved(_alone(model.graph.nodes[old]), where) for old in kept]
    names = Counter(node.name for node in nodes)
    return Model(Graph(tuple(nodes), ((position_of[end], 0, 0),)),
                 {name: array for name, array in model.arg_params.items() if name in names},
                 {name: array for name, array in model.aux_params.items() if name in names},
                 model.prefix)


def _alone(node):
    """A node without its order behind nodes that may not be in the part."""
    return replace(node, extra={key: value for key, value in node.extra.items() if key != "control_deps"})


START = "accnn_start_%d"  # name of the variable that stands for the n-th entry between both


def depending_on(graph, positions):
    """set of int: the nodes at `positions` and all that read, directly or not, what they compute."""
    found = set(positions)
    for position, node in enumerate(graph.nodes):
        if any(before in found for before, _, _ in node.inputs):
            found.add(position)
    return found


def leading_to(graph, positions):
    """set of int: the nodes at `positions` and all whose results reach one of them."""
    found = set(positions)
    for position in range(len(graph.nodes) - 1, -1, -1):
        if position in found:
            found.update(before for before, _, _ in graph.nodes[position].inputs)
    return found


def between(graph, inside, inputs):
    """list of entries: what the nodes `inside` read of the rest that is computed, or of the network's `inputs`."""
    found = {}
    for position in sorted(inside):
        for entry in graph.nodes[position].inputs:
            node = graph.nodes[entry[0]]
            if entry[0] not in inside and (not node.is_variable or node.name in inputs):
                found[tuple(entry)] = None
    return list(found)


def rest(model, inside, entries, heads):
    """The model of some nodes alone.

    Parameters
    ----------
    model : Model
    inside : set of int
    entries : list of (int, int, int)
        As :func:`between` found them: the n-th becomes the variable ``START % n``.
    heads : list of (int, int, int)
        Outputs of nodes inside.

    Returns
    -------
    Model
    """
    nodes = [Node("null", START % place, {}) for place in range(len(entries))]
    cut, position_now = {entry: (place, 0, 0) for place, entry in enumerate(entries)}, {}

    def where(entry):
        entry = tuple(entry)
        return cut[entry] if entry in cut else (position_now[entry[0]],) + entry[1:]

    for position, node in enumerate(model.graph.nodes):
        if position in inside or node.is_variable:
            position_now[position] = len(nodes)
            nodes.append(moved(node, where))
    graph = prune(Graph(tuple(nodes), tuple(where(head) for head in heads)))
    return replace(model, graph=Graph.from_symbol(graph.to_symbol()))

"""Cutting a network in two: what lies behind some nodes, as a network of its own."""
from dataclasses import replace

from accnn.graph.ir import Graph, Node, moved, prune

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

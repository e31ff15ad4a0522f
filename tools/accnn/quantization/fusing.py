"""Partitioning: convolutions and fully connected layers become oneDNN operators with what follows them fused in.

The operators are those of MXNet's own pass (``get_backend_symbol('MKLDNN_QUANTIZE')``), the choice of what to fuse is
made here. MXNet's choice is wrong where a fused tensor is an output of the network or is read twice (see
:mod:`accnn.runtime.fusion`), and its names depend on the order in which it meets the layers. Here a fused operator has
the name of the last operator in it: its output is a tensor of the original network, of the same name.
"""
import difflib
from dataclasses import dataclass, field, replace
from typing import Dict

from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph, GraphWriter, Node, moved, prune
from accnn.graph.passing import passes_on
from accnn.graph.quantized import refuse_quantized
from accnn.quantization import supported
from accnn.quantization.grouping import Grouping

_VECTORS = {"Flatten", "FullyConnected"}
_KEEPING_SHAPE = {"Activation", "LeakyReLU", "clip", "BatchNorm"} | supported.SUMS


@dataclass(frozen=True)
class Partition:
    """A network whose convolutions and fully connected layers are oneDNN operators, still in float32.

    Attributes
    ----------
    model : Model
        Computes what the original does. A fused operator is called as the last of its parts.
    homes : dict of str to str
        Operator of the original network -> the operator that it has become a part of, or itself. Operators that pass
        on what they read (identities, dropout) may be gone.
    kept : dict of str to str
        Layers that no oneDNN operator computes in INT8 -> the reason.
    excluded : frozenset of str
        Operators of `model` that are to stay in float32.
    lifted : dict of str to str
        Convolutions of `model` whose output is made unsigned in INT8 -> the one that adds it to its own.
    """

    model: Model
    homes: Dict[str, str]
    kept: Dict[str, str]
    excluded: frozenset = frozenset()
    lifted: Dict[str, str] = field(default_factory=dict)


def partition(model, exclude=()):
    """Fuse a network for oneDNN.

    Parameters
    ----------
    model : Model
        Not changed.
    exclude : iterable of str
        Operators of `model` that are to stay in float32: layers, with what is fused behind them, but also sums,
        pooling and so on. The name of a layer that was split stands for all parts of its chain.

    Returns
    -------
    Partition

    Raises
    ------
    AccnnError
        The model is quantized already, is no float32 network, or has no operator of a name in `exclude`.
    """
    exclude = list(exclude)
    refuse_quantized(model)
    refuse_unknown(model, exclude)
    exclude += parts_of(model.graph, exclude)
    graph = _with_flattened(without_identities(model.graph))
    kept = {node.name: reason for node, reason in supported.refusals(model, graph) if reason}
    grouping = Grouping(graph, kept, set(exclude))
    groups = grouping.groups
    homes = {node.name: node.name for node in model.graph.nodes if not node.is_variable}
    homes.update((graph.nodes[part].name, graph.nodes[group[-1]].name) for group in groups for part in group)
    excluded = {homes[name] for name in exclude} | {graph.nodes[position].name for position in grouping.floats}
    excluded |= {node.name for node in graph.nodes if supported.is_wrong(node)}
    fused = Graph.from_symbol(_fuse(graph, groups).to_symbol())
    return Partition(replace(model, graph=fused), homes, dict(kept, **dict.fromkeys(exclude, "it is excluded")),
                     frozenset(excluded.union(kept)),
                     {graph.nodes[end].name: graph.nodes[into].name for end, into in grouping.lifted.items()})


def unsigned_tensors(partitioned):
    """set of str: outputs of fused layers of a :class:`Partition` that are never negative."""
    return {node.name + "_output" for node in partitioned.model.graph.nodes
            if node.op in (supported.CONVOLUTION, supported.DENSE) and supported.is_unsigned(operators(node)[-1])}


def operators(node):
    """list of Node: what is inside a fused operator, in order; their inputs say nothing of what they read outside."""
    return [Node(inner["op"], inner["name"], inner.get("attrs", {})) for inner in node.extra["subgraphs"][0]["nodes"]
            if inner["op"] != "null"]


def without_identities(graph):
    """Return `graph` without operators that only pass on what they read, but for those that are outputs."""
    heads, nodes, place = {entry[0] for entry in graph.heads}, [], {}

    def where(entry):
        return place[entry[0]][:2] + entry[2:] if entry[1] == 0 else (place[entry[0]][0],) + tuple(entry[1:])

    for position, node in enumerate(graph.nodes):
        if passes_on(node) and position not in heads:
            place[position] = where(node.inputs[0])
        else:
            place[position] = (len(nodes), 0, 0)
            nodes.append(moved(node, where))
    return prune(Graph(tuple(nodes), tuple(where(head) for head in graph.heads)))


def refuse_unknown(model, names):
    """Raise an AccnnError for the first of some names that no operator of a model has."""
    there = [node.name for node in model.graph.nodes if not node.is_variable]
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
            raise AccnnError("%s has no layer %r%s" % (
                model.prefix, name, ": did you mean %s?" % " or ".join(near) if near else ""))


def parts_of(graph, names):
    """list of str: the operators of the chains that stand for the layers of some names."""
    found = split_layers(graph)
    return [part for name in dict.fromkeys(names) for part in found.get(name, ())]


def split_layers(graph):
    """dict of str to list of str: layers that were split, whose name an identity carries -> the parts, last first."""
    found = {}
    for node in graph.nodes:
        if not node.is_variable and passes_on(node):
            part = graph.nodes[node.inputs[0][0]]
            while part.name.startswith(node.name + "_") and part.inputs:
                found.setdefault(node.name, []).append(part.name)
                part = graph.nodes[part.inputs[0][0]]
    return found


# ---- the fused graph

def _with_flattened(graph):
    """Return `graph` with a Flatten in front of every fully connected layer that reads maps.

    Without it oneDNN's layer fails at the second batch where it reads what a convolution left in blocks of channels.
    """
    written, names = GraphWriter(), {node.name for node in graph.nodes}
    for position, node in enumerate(graph.nodes):
        made = moved(node, written.where)
        if _reads_maps(graph, node):
            flat = Node("Flatten", free_name(node.name + "_flatten", names), {}, made.inputs[:1])
            made = replace(made, inputs=(written.add(flat),) + made.inputs[1:])
        written.put(position, made)
    return written.graph(graph.heads)


def _reads_maps(graph, node):
    if node.op != "FullyConnected" or not attrs.boolean(node, "flatten", True):
        return False
    source = graph.nodes[node.inputs[0][0]]
    while source.op in _KEEPING_SHAPE:
        source = graph.nodes[source.inputs[0][0]]
    return source.op not in _VECTORS


def free_name(name, taken):
    """str: `name`, with a number where it is taken; added to the set `taken`."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = "%s%d" % (name, number)
    taken.add(found)
    return found


def _fuse(graph, groups):
    """Return `graph` with every group of nodes made one, in the place of its last node."""
    ends, inside = {group[-1]: group for group in groups}, {part for group in groups for part in group[:-1]}
    written = GraphWriter()
    for position, node in enumerate(graph.nodes):
        if position not in inside:
            made = fused_node([graph.nodes[part] for part in ends[position]], _entries(graph, ends[position])) \
                if position in ends else node
            written.put(position, moved(made, written.where))
    return prune(written.graph(graph.heads))


def _entries(graph, group):
    """list of tuple: the inputs of the parts of a group from outside, part by part, in order."""
    parts = set(group)
    return [tuple(entry for entry in graph.nodes[part].inputs if entry[0] not in parts) for part in group]


def fused_node(parts, entries):
    """The oneDNN operator of some operators in a row.

    Parameters
    ----------
    parts : list of Node
        A layer, and what follows it: BatchNorm, sum, activation.
    entries : list of tuple of entries
        What each of them reads beside the part before it.

    Returns
    -------
    Node
        Called as the last part. Its inputs are `entries` in order.
    """
    inner = []
    for place, (part, read) in enumerate(zip(parts, entries)):
        before = ((len(inner) - 1, 0, 0),) if place else ()
        variables = range(len(inner), len(inner) + len(read))
        inner += [{"op": "null", "name": "%s_%d" % (part.name, number), "inputs": []} for number in range(len(read))]
        inputs = before + tuple((variable, 0, 0) for variable in variables)
        inner.append(dict({"op": part.op, "name": part.name, "inputs": [list(entry) for entry in inputs]},
                          **({"attrs": _own(part)} if _own(part) else {})))
    document = {"nodes": inner, "arg_nodes": [i for i, node in enumerate(inner) if node["op"] == "null"],
                "heads": [[len(inner) - 1, 0, 0]]}
    return Node(supported.LAYERS[parts[0].op], parts[-1].name, _fused_attrs(parts), tuple(sum(map(tuple, entries), ())),
                {"subgraphs": [document]})


def _own(node):
    return {key: value for key, value in node.attrs.items() if not key.startswith("__")}


def _fused_attrs(parts):
    kinds = {_kind(part) for part in parts[1:]}
    if parts[0].op == "FullyConnected":
        return {"with_eltwise": "True"} if kinds else {}
    said = {"with_bn": "bn" in kinds, "with_sum": "sum" in kinds, "with_act": "act" in kinds and "sum" not in kinds,
            "with_postsum_act": {"act", "sum"} <= kinds}
    return {key: "true" for key, value in said.items() if value}


def _kind(node):
    return "bn" if node.op == "BatchNorm" else "sum" if node.op in supported.SUMS else "act"

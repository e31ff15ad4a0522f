"""Graphs inside operators: the bodies of loops and the branches of conditions."""
import json
from dataclasses import dataclass

from accnn.core.compat import mx
from accnn.graph import attrs
from accnn.graph.ir import Graph
from accnn.graph.shapes import Shapes, is_known


@dataclass(frozen=True)
class Subgraph:
    """A graph inside an operator.

    Attributes
    ----------
    graph : Graph
        Its variables are what the operator hands in; parameters have the names that they have outside.
    shapes : Shapes
        Of its entries, for as many examples as those of the graph around it.
    runs : int
        How often a pass of the network runs it: the most, where that depends on the data.
    said : str
        Where it is, for a sentence.
    """

    graph: Graph
    shapes: Shapes
    runs: int
    said: str


def subgraphs(node, shapes):
    """list of Subgraph: those of an operator.

    Parameters
    ----------
    node : Node
    shapes : Shapes
        Of the graph that it is in.
    """
    documents = node.extra.get("subgraphs", ())
    if not documents:
        return []
    runs, said, handed = _OPERATORS.get(node.op, _plain)(node, shapes)
    graphs = [Graph.from_symbol(Graph.from_document(document).to_symbol()) for document in documents]
    return [Subgraph(graph, Shapes(_inferred(graph, places), shapes.batch), runs, "inside %r (%s)" % (node.name, said))
            for graph, places in zip(graphs, handed)]


def _inferred(graph, places):
    """Shapes of all entries, where inputs by their place have some shapes."""
    symbol = graph.to_symbol()
    known = {name: places[place] for place, name in enumerate(symbol.list_inputs()) if is_known(places.get(place))}
    internals = symbol.get_internals()
    entries = json.loads(internals.tojson(remove_amp_cast=False), strict=False)["heads"]
    try:
        _, found, _ = internals.infer_shape_partial(**known)
    except mx.base.MXNetError:
        return {}
    return {tuple(entry[:2]): shape for entry, shape in zip(entries, found) if is_known(shape)}


# ---- How often an operator runs its graphs, in words as well, and the shapes of what it hands to each of them.

def _foreach(node, shapes):
    data, states, rest = (_places(node, key) for key in ("in_data_locs", "in_state_locs", "remain_locs"))
    given = _given(node, shapes)
    runs = given[0][0] if data and given and given[0] else 1
    steps = [shape and shape[1:] for shape in given[:len(data)]]
    return runs, "a loop of %d steps" % runs, [dict(zip(data + states + rest, steps + given[len(data):]))]


def _while_loop(node, shapes):
    most = attrs.integer(node, "max_iterations", 1)
    return most, "a loop of at most %d steps" % most, _chosen(node, shapes, ("cond_input_locs", "func_input_locs"))


def _cond(node, shapes):
    return 1, "a branch", _chosen(node, shapes, ("cond_input_locs", "then_input_locs", "else_input_locs"))


def _plain(node, shapes):
    return 1, node.op, [dict(enumerate(_given(node, shapes)))] * len(node.extra["subgraphs"])


def _chosen(node, shapes, keys):
    """For each of the graphs the shapes of the operator's inputs that `keys` say it takes."""
    given = dict(enumerate(_given(node, shapes)))
    return [dict(enumerate(map(given.get, _places(node, key)))) for key in keys]


def _given(node, shapes):
    return [shapes.get(entry[:2]) for entry in node.inputs]


def _places(node, key):
    return list(attrs.shape(node, key, ()))


BLIND = {"_cond", "_while_loop"}  # of whose outputs MXNet 1.9.1 infers no shape
_OPERATORS = {"_foreach": _foreach, "_while_loop": _while_loop, "_cond": _cond}

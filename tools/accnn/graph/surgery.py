"""Replacing a layer by a symbol the caller builds: the original's ``replace_conv_layer`` for any graph."""
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.ir import Graph, Node
from accnn.graph.rewrite import splice, with_parameters
from accnn.graph.shapes import native_batch, with_batch

_STAND_IN = "__accnn_data__"


def replace_layer(model, name, build, fill):
    """Return `model` with the layer `name` replaced.

    Parameters
    ----------
    model : Model
        Not changed.
    name : str
    build : callable
        ``build(data, node) -> mx.sym.Symbol``; see ``utils.replace_conv_layer``.
    fill : callable
        ``fill(shapes, arg_params)`` adds the parameters of the new symbol.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        There is no such layer.
    """
    positions = [i for i, node in enumerate(model.graph.nodes) if node.name == name and not node.is_variable]
    if not positions:
        raise AccnnError("%s has no layer %r" % (model.prefix, name))
    node = model.graph.nodes[positions[0]]
    described = {"op": node.op, "name": node.name, "param": dict(node.attrs), "attrs": dict(node.attrs)}
    graph = splice(model.graph, {positions[0]: _fragment(build(mx.sym.Variable(_STAND_IN), described))})
    stripped = with_parameters(model, graph, {})
    input_shapes, _ = resolve_input_shapes(model)
    arg_params = dict(stripped.arg_params)
    fill(_argument_shapes(graph, with_batch(input_shapes, native_batch(model, input_shapes))), arg_params)
    return with_parameters(stripped, graph, arg_params)


def _fragment(symbol):
    """A built symbol as a fragment for ``splice``: the stand-in for the data comes first."""
    graph = Graph.from_symbol(symbol)
    if graph.nodes[0].name != _STAND_IN:
        raise AccnnError("the new symbol must read the data it was given before anything else")
    return Graph((Node("null", "data", {}),) + graph.nodes[1:], graph.heads)


def _argument_shapes(graph, shapes):
    symbol = graph.to_symbol()
    shapes, _, _ = symbol.infer_shape_partial(**shapes)
    return dict(zip(symbol.list_arguments(), shapes))

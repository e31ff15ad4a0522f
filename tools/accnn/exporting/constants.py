"""What does not depend on the input: computed once, by MXNet itself, and stored as a constant."""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.exporting.sizes import is_parameter, parameter
from accnn.graph.ir import GraphWriter, Node, moved, reached

# They read the shape of their inputs, not what these hold.
_SHAPE_ONLY = {"_contrib_MultiBoxPrior", "zeros_like", "ones_like", "shape_array", "size_array", "_contrib_arange_like"}
_DRAWING = ("_random", "_sample", "sample_", "random_", "_shuffle", "shuffle", "_npi_")


def constant_nodes(model, shapes, needed):
    """set of int: operators among the nodes `needed` that compute the same whatever the input holds.

    Parameters
    ----------
    model : Model
    shapes : dict of (int, int) to Shape
    needed : set of int
    """
    nodes, found = model.graph.nodes, set()
    for position in sorted(needed):
        node = nodes[position]
        known = all(before in found or is_parameter(model, nodes[before]) for before, _, _ in node.inputs)
        if node.is_variable or node.op.startswith(_DRAWING) or not (known or node.op in _SHAPE_ONLY):
            continue
        if (position, 0) in shapes and shapes[position, 0].is_fixed:
            found.add(position)
    return found


def computed(model, shapes, entries):
    """Compute some outputs of constant nodes.

    Parameters
    ----------
    model : Model
    shapes : dict of (int, int) to Shape
    entries : list of (int, int)
        Of :func:`constant_nodes`.

    Returns
    -------
    dict of (int, int) to ndarray
    """
    if not entries:
        return {}
    written, arrays = GraphWriter(), {}
    for position in _leading(model.graph, entries):
        node = model.graph.nodes[position]
        if node.op in _SHAPE_ONLY:
            node, fed = _fed_with_zeros(node, shapes, len(written.nodes))
            for name in fed:
                written.add(Node("null", name, {}))
            arrays.update({name: mx.nd.zeros(shape) for name, shape in fed.items()})
        else:
            node = moved(node, written.where)
        written.put(position, node)
    symbol = written.graph([(position, output, 0) for position, output in entries]).to_symbol()
    return dict(zip(entries, _run(model, symbol, arrays)))


def _leading(graph, entries):
    """list of int: the nodes that the entries need, in order."""
    def before(position):
        node = graph.nodes[position]
        return [] if node.op in _SHAPE_ONLY else [producer for producer, _, _ in node.inputs]

    return sorted(reached([position for position, _ in entries], before))


def _fed_with_zeros(node, shapes, first):
    """The node reading variables that stand from `first` on, and these variables' names and shapes."""
    fed = {"accnn_shape_of_%s_%d" % (node.name, slot): tuple(shapes[entry[:2]])
           for slot, entry in enumerate(node.inputs)}
    return replace(node, inputs=tuple((first + slot, 0, 0) for slot in range(len(fed))), extra={}), fed


def _run(model, symbol, arrays):
    """list of ndarray: the outputs; parameters are copied, since oneDNN would reorder them in place."""
    arguments = {name: arrays[name] if name in arrays else parameter(model, name).copy()
                 for name in symbol.list_arguments()}
    states = {name: parameter(model, name).copy() for name in symbol.list_auxiliary_states()}
    executor = symbol.bind(mx.cpu(), arguments, grad_req="null", aux_states=states)
    return [np.ascontiguousarray(output.asnumpy()) for output in executor.forward(is_train=False)]

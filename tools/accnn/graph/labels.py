"""Labels: variables that only training feeds, and what is bound in their place where nothing is trained."""
from dataclasses import dataclass, field, replace
from typing import Dict

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.inference import GUESSES, infer_partial
from accnn.graph.inputs import input_names
from accnn.graph.ir import Graph, prune
from accnn.graph.losses import at_inference, is_loss
from accnn.graph.shapes import is_known

NO_CLASS = -1.0
_PASSING_ON = {"_copy", "BlockGrad", "Reshape", "Flatten", "Cast", "amp_cast", "expand_dims", "squeeze"}
_NO_CLASS_WELCOME = {"one_hot", "pick", "_equal", "broadcast_equal", "_equal_scalar"}  # others may index with it


@dataclass(frozen=True)
class Unlabelled:
    """A network as it is bound for passes that have no labels.

    Attributes
    ----------
    symbol : mx.sym.Symbol
        Losses are what they were, or what they compute where their labels are in the way.
    shapes : dict of str to tuple of int
        Of the labels that it still reads, with the batch.
    values : dict of str to float
        What to fill those labels with that anything but a loss reads.
    """

    symbol: object
    shapes: Dict[str, tuple]
    values: Dict[str, float] = field(default_factory=dict)


def without_losses(graph):
    """Return `graph` with every loss replaced by what it computes, and without what nothing but losses read."""
    return prune(replace(graph, nodes=tuple(map(at_inference, graph.nodes))))


def labels_read(model, entry):
    """list of str: the labels that an entry of the graph depends on, those that only a loss reads left out."""
    _, labels = input_names(model)
    there = without_losses(Graph(model.graph.nodes, (tuple(entry),))).variables()
    return [name for name in labels if name in there]


def unlabelled(model, symbol, shapes):
    """Prepare a network for passes without labels.

    Losses are kept where the labels' shapes follow from those of the inputs. Otherwise they are replaced by what they
    compute, and a label that is read elsewhere is taken to be one number an image.

    Parameters
    ----------
    model : Model
    symbol : mx.sym.Symbol
        The model's own, or a part of it.
    shapes : dict of str to tuple of int
        Of the inputs, with the batch; labels may be among them.

    Returns
    -------
    Unlabelled

    Raises
    ------
    AccnnError
        Nothing says the shape of a variable, or of what an operator computes; names it.
    mx.base.MXNetError
        The network does not take these shapes.
    """
    there = symbol.list_arguments()
    labels = [name for name in input_names(model, shapes)[1] if name in there]
    if not labels:
        check_shapes(model, symbol, shapes)
        return Unlabelled(symbol, {})
    graph = without_losses(Graph.from_symbol(symbol))
    values = {name: _neutral(graph, name) for name in labels if name in graph.variables()}
    found = _fitting(symbol, [name for name in labels if name not in shapes], shapes)
    if found is None:
        symbol = graph.to_symbol()
        found = _guessed(symbol, [name for name in values if name not in shapes], shapes)
    if found is None:
        raise _unknown(model, symbol, shapes)
    return Unlabelled(symbol, found, values)


def check_shapes(model, symbol, shapes):
    """Refuse a network in which the shape of a variable or of an operator's output does not follow from `shapes`.

    Parameters
    ----------
    model : Model
    symbol : mx.sym.Symbol
    shapes : dict of str to tuple of int
        With the batch.

    Raises
    ------
    AccnnError
        Names the variable or the operator.
    """
    if _label_shapes(symbol, [], shapes) is None:
        raise _unknown(model, symbol, shapes)


def _label_shapes(symbol, labels, shapes):
    """dict: the shapes of `labels`, or None where that of any variable or output stays unknown."""
    arguments, outputs, states = symbol.infer_shape_partial(**_read(symbol, shapes))
    if not all(map(is_known, list(arguments) + list(outputs) + list(states))):
        return None
    return {name: tuple(shape) for name, shape in zip(symbol.list_arguments(), arguments) if name in labels}


def _fitting(symbol, labels, shapes):
    """What :func:`_label_shapes` says, None also where MXNet refuses the shapes."""
    try:
        return _label_shapes(symbol, labels, shapes)
    except mx.base.MXNetError:
        return None


def _guessed(symbol, labels, shapes):
    """What :func:`_label_shapes` says when every label is one number an image; None where nothing fits."""
    if not labels:
        return _label_shapes(symbol, labels, shapes)
    size = next(iter(shapes.values()), (1,))[0]
    tries = (_fitting(symbol, labels, dict(shapes, **{name: (size,) + guess for name in labels}))
             for guess in GUESSES)
    return next((found for found in tries if found is not None), None)


def _read(symbol, shapes):
    there = symbol.list_arguments()
    return {name: shape for name, shape in shapes.items() if name in there}


def _neutral(graph, label):
    """No class at all, where that is nothing to index an array with; else the first class."""
    readers, waiting = graph.consumers(), [i for i, node in enumerate(graph.nodes) if node.name == label]
    while waiting:
        for node, place in ((graph.nodes[place], place) for place in readers[waiting.pop()]):
            if node.op in _PASSING_ON:
                waiting.append(place)
            elif node.op not in _NO_CLASS_WELCOME and not is_loss(node):
                return 0.0
    return NO_CLASS


def _unknown(model, symbol, shapes):
    inside = symbol.get_internals()
    graph = Graph.from_symbol(inside)
    _, found, _ = infer_partial(inside, _read(symbol, shapes))
    nodes = [graph.nodes[entry[0]] for entry, shape in zip(graph.heads, found) if not is_known(shape)]
    inputs, labels = input_names(model, shapes)
    for node in nodes:
        if node.is_variable and node.name in inputs + labels:
            return AccnnError("nothing says the shape of the input %r of %s: give `input_shapes=%s:SIZES`%s" % (
                node.name, model.prefix, node.name,
                ", or %s: where it is one number an image" % node.name if node.name in labels else ""))
    node = next((node for node in nodes if not node.is_variable), nodes[0])
    return AccnnError("the shape of %r (%s) in %s does not follow from the input: give `input_shapes`, or mend its "
                      "attributes in the symbol JSON" % (node.name, node.op, model.prefix))

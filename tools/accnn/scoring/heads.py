"""Which output of a network says the class, and in which form."""
import difflib
from dataclasses import dataclass
from math import prod
from typing import Optional

from accnn.errors import AccnnError
from accnn.graph.ir import Graph
from accnn.graph.shapes import infer_shapes

PROBABILITY, LOG_PROBABILITY, SCORE = "probability", "log-probability", "score"
_FORMS = {"SoftmaxOutput": PROBABILITY, "Softmax": PROBABILITY, "softmax": PROBABILITY,
          "SoftmaxActivation": PROBABILITY, "log_softmax": LOG_PROBABILITY}
_PASSING_ON = {"_copy", "identity", "Flatten", "Reshape", "Cast", "amp_cast", "BlockGrad", "squeeze"}


@dataclass(frozen=True)
class Head:
    """An output of a network that scores classes.

    Attributes
    ----------
    name : str
        As ``symbol.list_outputs()`` says it, such as ``softmax_output``.
    form : {'probability', 'log-probability', 'score'}
        A score becomes a probability by a softmax over the classes.
    classes : int
    node : int or None
        Position in the graph of the operator it is the output of.
    source : int or None
        Position of the operator that gave it its form: before any that only passes on, such as Flatten.
    """

    name: str
    form: str
    classes: int
    node: Optional[int] = None
    source: Optional[int] = None

    def symbol(self, model):
        """mx.sym.Symbol: the part of `model` that this output needs."""
        inside = model.symbol.get_internals()
        return inside[_last(inside.list_outputs(), self.name)]


def class_head(model, input_shapes, name=None):
    """Return the output of a model that scores classes.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
    name : str, optional
        An output or an operator, such as ``softmax_output`` or ``softmax``; needed where there are several outputs.

    Returns
    -------
    Head

    Raises
    ------
    AccnnError
        There are several outputs and no `name`, or the output holds anything but one number for every class.
    """
    graph = model.graph
    name = _output_name(model, name)
    inside = model.symbol.get_internals()
    node, number, _ = Graph.from_symbol(inside).heads[_last(inside.list_outputs(), name)]
    shapes = infer_shapes(model, input_shapes)
    shape = shapes.get((node, number))
    if shape is None or shape[0] != shapes.batch or prod(shape[1:]) != max(shape[1:], default=0) or prod(shape[1:]) < 2:
        count = "%d images" % shapes.batch if shapes.batch > 1 else "one image"
        raise AccnnError("the output %s of %s has the shape %s for %s, which scores no classes: choose another with "
                         "--output, or compare with score.py --fidelity" % (name, model.prefix, shape, count))
    source = _source(graph, node)
    return Head(name, _FORMS.get(graph.nodes[source].op, SCORE), prod(shape[1:]), node, source)


def output_forms(model):
    """list of str: for every output of a model the form of :class:`Head`, whatever it holds."""
    return [_FORMS.get(model.graph.nodes[_source(model.graph, node)].op, SCORE) for node, _, _ in model.graph.heads]


def _last(names, name):
    """Where a name occurs last: two operators may share it, and the network's own outputs come behind."""
    return len(names) - 1 - names[::-1].index(name)


def _output_name(model, asked):
    heads = model.symbol.list_outputs()
    if asked is None:
        if len(heads) > 1:
            raise AccnnError("%s has the outputs %s: say with --output which one scores the classes, or compare all "
                             "with score.py --fidelity" % (model.prefix, ", ".join(heads)))
        return heads[0]
    variables = set(model.graph.variables())
    outputs = [name for name in model.symbol.get_internals().list_outputs() if name not in variables]
    for wanted in (asked, asked + "_output", asked + "_output0"):
        if wanted in outputs:
            return wanted
    near = difflib.get_close_matches(asked, outputs, n=3, cutoff=0.5) or heads
    raise AccnnError("%s has no output %r: did you mean %s?" % (model.prefix, asked, " or ".join(near)))


def _source(graph, position):
    while graph.nodes[position].op in _PASSING_ON:
        position = graph.nodes[position].inputs[0][0]
    return position

"""Which output of a network says the class, and in which form."""
from dataclasses import dataclass, replace
from math import prod
from typing import Optional, Tuple

from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.graph import attrs
from accnn.graph.cut import leading_to
from accnn.graph.ir import Graph
from accnn.graph.labels import labels_read
from accnn.graph.outputs import distinct, find_outputs, named_entries
from accnn.graph.shapes import infer_shapes
from accnn.scoring import forms
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY, SCORE

_TAKEN_AS = {PROBABILITY: "probabilities", LOG_PROBABILITY: "logarithms of probabilities", SCORE: "class scores"}


@dataclass(frozen=True)
class Head:
    """An output of a network that scores classes.

    Attributes
    ----------
    name : str
        As ``symbol.list_outputs()`` says it, such as ``softmax_output``; one of several of a name is ``NAME:0``.
    form : {'probability', 'log-probability', 'score'}
        A score becomes a probability by a softmax over the classes.
    classes : int
    node : int or None
        Position in the graph of the operator it is the output of.
    number : int
        Which output of this operator.
    total : float
        What the probabilities of an image add up to: 100 for percentages.
    scores : (int, int, int) or None
        Entry of the graph with the scores, class by class, that the probabilities are a softmax of.
    temperature : float
        That the scores are divided by before this softmax.
    plain : bool
        That a softmax over the classes is the last step, so that nobody need look at numbers.
    """

    name: str
    form: str
    classes: int
    node: Optional[int] = None
    number: int = 0
    total: float = 1.0
    scores: Optional[Tuple[int, int, int]] = None
    temperature: float = 1.0
    plain: bool = False

    @property
    def entry(self):
        """(int, int, int): the entry of the graph."""
        return self.node, self.number, 0

    def symbol(self, model):
        """mx.sym.Symbol: the part of `model` that this output needs."""
        return Graph(model.graph.nodes, (self.entry,)).to_symbol()


def class_head(model, input_shapes, output=None):
    """Return the output of a model that scores classes, in the form that the graph says.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
    output : str, optional
        An output or an operator, such as ``softmax_output`` or ``softmax``; needed where there are several outputs.

    Returns
    -------
    Head
        Where it is not `plain`, :func:`settled` says what it is by its numbers.

    Raises
    ------
    AccnnError
        There are several outputs and no `output`, the output reads a label, or it holds anything but one number for
        every class.
    """
    name, entry = _output(model, output)
    known = infer_shapes(model, input_shapes)
    batch = known.batch
    labels, shape = labels_read(model, entry), known.get(entry[:2])
    if labels:
        raise AccnnError("the output %s of %s is computed from the label %s, which no image has: %s with `output`"
                         % (name, model.prefix, labels[0], _choose_before(model, known, batch, entry)))
    if not _is_of_classes(shape, batch):
        kind = forms.other_kind(model.graph, entry[0])
        count = "%d images" % batch if batch > 1 else "one image"
        raise AccnnError("the output %s of %s has the shape %s for %s, which scores no classes%s: %s with "
                         "`output`, or compare with `accnn.scoring.fidelity`"
                         % (name, model.prefix, shape or "(unknown)", count, kind and " (it is %s)" % kind or "",
                            _choose_before(model, known, batch, entry) if kind else "choose another"))
    return _formed(Head(name, SCORE, prod(shape[1:]), *entry[:2]), model.graph, known, batch)


def settled(model, head, rows):
    """Return a head in the form that the graph and its numbers give it; says on stderr where that is not plain to see.

    Parameters
    ----------
    model : Model
    head : Head
        Of this model.
    rows : ndarray of shape (images, classes, ...)
        This output for some images.

    Returns
    -------
    Head
    """
    if head.plain:
        return head
    rows = rows.reshape(len(rows), head.classes)
    form, why = forms.settled(forms.followed(model.graph, head.node), rows)
    if why is None and form.kind == SCORE:
        why = _scores_remark(model, head)
    if why is not None:
        say("the output %s of %s is taken for %s: %s" % (head.name, model.prefix, _TAKEN_AS[form.kind], why))
    return replace(head, form=form.kind, total=form.total, scores=head.scores if form.source is not None else None)


def output_forms(model):
    """list of str: for every output of a model the form of :class:`Head`, whatever it holds, as the graph says it."""
    return [forms.followed(model.graph, node).kind for node, _, _ in model.graph.heads]


def _scores_remark(model, head):
    """What is to be said of an output of which the numbers are no probabilities; None for plain scores."""
    kind = forms.other_kind(model.graph, head.node)
    softmax = forms.softmax_among(model.graph, forms.tail(model, head.node))
    if kind is None and softmax is None:
        return None
    return "it is %s, no distribution over the classes; the largest number counts as the answer, and the " \
        "cross-entropy is that of a softmax over all" % (kind or "computed from the softmax %s" % softmax)


def _output(model, asked):
    """(name, entry) of the output that somebody asks for, or of the only one that could score images."""
    if asked is None:
        own = list(zip(distinct(model.symbol.list_outputs()), model.graph.heads))
        free = [one for one in own if len(own) == 1 or not labels_read(model, one[1])]
        if len(free) != 1:
            raise AccnnError("%s has the outputs %s: say with `output` which one scores the classes, or compare all "
                             "with `accnn.scoring.fidelity`" % (model.prefix, ", ".join(name for name, _ in own)))
        if len(own) > 1:
            say("of the outputs of %s only %s is computed without a label: it is taken" % (model.prefix, free[0][0]))
        return free[0]
    found = find_outputs(model, asked)
    if len(found) > 1:
        say("%s has %d outputs called %s: the last one is taken, %s; `output='%s'` would be the first"
            % (model.prefix, len(found), asked, found[-1][0], found[0][0]))
    return found[-1]


def _is_of_classes(shape, batch):
    return shape is not None and shape[0] == batch and prod(shape[1:]) == max(shape[1:], default=0) >= 2


def _choose_before(model, known, batch, entry):
    """What to do about an output that scores no classes: the nearest one before it that does."""
    inside = [(name, one) for name, one in named_entries(model) if one[0] < entry[0]]
    leading = leading_to(model.graph, [entry[0]])
    for name, one in reversed(inside):
        if one[0] in leading and _is_of_classes(known.get(one[:2]), batch) and not labels_read(model, one):
            return "choose what is before it, such as %s," % name
    return "choose another"


def _formed(head, graph, known, batch):
    """The head in the form that the graph says."""
    form = forms.followed(graph, head.node)
    if form.source is None:
        return head
    softmax = graph.nodes[form.source]
    scores = tuple(softmax.inputs[0])
    shape = known.get(scores[:2], ())
    apart = (form.one_to_one and shape[:1] == (batch,) and prod(shape[1:]) == head.classes and
             not attrs.boolean(softmax, "use_length"))
    plain = form.plain and apart and _softmax_size(softmax, shape) == head.classes
    return replace(head, form=form.kind, total=form.total, scores=scores if apart else None,
                   temperature=_temperature(softmax), plain=plain)


def _temperature(softmax):
    return 1.0 if softmax.attrs.get("temperature", "None") == "None" else attrs.number(softmax, "temperature", 1.0)


def _softmax_size(softmax, shape):
    """How many numbers of an input of this shape add up to 1."""
    if softmax.op in ("softmax", "log_softmax"):
        return shape[attrs.integer(softmax, "axis", -1)]
    if attrs.boolean(softmax, "multi_output") or softmax.attrs.get("mode") == "channel":
        return shape[1]
    return shape[-1]  # of SoftmaxOutput in three dimensions it is more, but they are no classes

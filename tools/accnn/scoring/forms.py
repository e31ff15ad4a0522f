"""What the numbers of an output are: probabilities, their logarithms or scores, by the graph and by the numbers."""
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from accnn.graph import attrs

PROBABILITY, LOG_PROBABILITY, SCORE = "probability", "log-probability", "score"
_SOFTMAXES = {"SoftmaxOutput": PROBABILITY, "Softmax": PROBABILITY, "softmax": PROBABILITY,
              "SoftmaxActivation": PROBABILITY, "log_softmax": LOG_PROBABILITY}
_RESHAPING = {"_copy", "identity", "Flatten", "Reshape", "Cast", "amp_cast", "BlockGrad", "squeeze", "expand_dims",
              "transpose", "SwapAxis", "Dropout", "MakeLoss", "make_loss"}
_CUTTING = {"slice", "slice_axis", "slice_like", "Crop"}
_SCALING = {"_mul_scalar": 1, "_div_scalar": -1}
_BOUNDING = {"clip", "_plus_scalar", "_maximum_scalar", "_minimum_scalar"}
_PASSED = _RESHAPING | _CUTTING | _SCALING.keys() | _BOUNDING | {"log", "exp"}
_SMALL = 1e-3  # a constant that keeps the logarithm of a probability finite
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 1e-2  # of a sum of probabilities

_SIGMOIDS, _REGRESSION, _LOSS = "a sigmoid for every class", "the numbers of a regression", "what a loss minimises"
_OTHERS = {"sigmoid": _SIGMOIDS, "LogisticRegressionOutput": _SIGMOIDS, "LinearRegressionOutput": _REGRESSION,
           "MAERegressionOutput": _REGRESSION, "SVMOutput": "the margins of an SVM", "MakeLoss": _LOSS,
           "make_loss": _LOSS}


@dataclass(frozen=True)
class Form:
    """What is known of an output.

    Attributes
    ----------
    kind : {'probability', 'log-probability', 'score'}
    total : float
        What the probabilities of an image add up to: 100 for percentages.
    source : int or None
        Position of the softmax they come from.
    one_to_one : bool
        Every input of this softmax is the score of the class in the same place.
    plain : bool
        Nothing but changes of shape follows the softmax.
    """

    kind: str = SCORE
    total: float = 1.0
    source: Optional[int] = None
    one_to_one: bool = False
    plain: bool = False


def followed(graph, position):
    """Form that the graph gives an output of the node at `position`, whatever its numbers are."""
    path, place = [], position
    while graph.nodes[place].op not in _SOFTMAXES and _may_pass(graph.nodes[place]):
        path.append(graph.nodes[place])
        place = graph.nodes[place].inputs[0][0]
    kind, total = _SOFTMAXES.get(graph.nodes[place].op), 1.0
    for node in reversed(path):
        kind, total = _behind(node, kind, total)
    if kind is None:
        return Form()
    kinds = {node.op for node in path}
    return Form(kind, total, place, not kinds & _CUTTING, kinds <= _RESHAPING)


def other_kind(graph, position):
    """str: what an output holds that is no score of a softmax to come, such as a sigmoid; None for all others."""
    node = graph.nodes[position]
    while node.op in _RESHAPING and node.op not in _OTHERS:
        node = graph.nodes[node.inputs[0][0]]
    kind = _SIGMOIDS if node.attrs.get("act_type") == "sigmoid" else _OTHERS.get(node.op)
    return kind and "%s (%s)" % (kind, node.op)


def by_values(rows):
    """Kind that numbers have by themselves; None for what are no probabilities.

    Parameters
    ----------
    rows : ndarray of shape (images, classes)
    """
    tolerance = _HALF_TOLERANCE if rows.dtype == np.float16 else _TOLERANCE
    rows = rows.astype(np.float64)
    if rows.size and rows.min() >= 0 and _spread(rows, 1.0) <= tolerance:
        return PROBABILITY
    if rows.size and rows.max() <= tolerance and _spread(np.exp(rows), 1.0) <= tolerance:
        return LOG_PROBABILITY
    return None


def settled(form, rows):
    """Return (Form, str or None): what an output is, by the graph and by its numbers, and why where that is unusual.

    Parameters
    ----------
    form : Form
        What :func:`followed` says.
    rows : ndarray of shape (images, classes)
        Numbers of some images.
    """
    seen, images = by_values(rows), "%d image%s" % (len(rows), "" if len(rows) == 1 else "s")
    they = "their exponentials" if LOG_PROBABILITY in (seen, form.kind) else "they"
    if seen is not None and seen == form.kind:
        said = "they come from a softmax, and %s add up to 1 for each of %s" % (they, images)
        return replace(form, total=1.0), None if form.plain else said
    if seen is not None:
        return Form(seen), "no softmax is the last step, but %s add up to 1 for each of %s" % (they, images)
    if form.kind == SCORE:
        return form, None
    rows = rows.astype(np.float64)
    sums = (rows if form.kind == PROBABILITY else np.exp(rows)).sum(axis=1)
    if np.abs(sums / form.total - 1).max() <= _TOLERANCE:
        return form, "they come from a softmax, and add up to %.6g for each of %s" % (form.total, images)
    return form, "they come from a softmax, although %s add up to %.4g to %.4g for %s%s" % (
        they, sums.min(), sums.max(), images, ": is it over another axis than the classes?" if form.plain else "")


def tail(model, position):
    """set of int: the nodes behind the last layers with parameters that lead to the node at `position`, and itself.

    What is before a softmax or an exponential does not count.
    """
    found, waiting, nodes = set(), [position], model.graph.nodes
    while waiting:
        place = waiting.pop()
        node = nodes[place]
        if node.is_variable or place in found or any(nodes[before].name in model.arg_params
                                                     for before, _, _ in node.inputs):
            continue
        found.add(place)
        if node.op not in _SOFTMAXES and node.op != "exp":
            waiting.extend(before for before, _, _ in node.inputs)
    return found


def softmax_among(graph, positions):
    """str: name of a softmax among some nodes, or None."""
    return next((graph.nodes[place].name for place in sorted(positions) if graph.nodes[place].op in _SOFTMAXES), None)


def _spread(rows, wanted):
    return np.abs(rows.sum(axis=1) - wanted).max()


def _may_pass(node):
    if node.attrs.get("mode") == "always":  # a Dropout at inference too
        return False
    return bool(node.inputs) and node.op in _PASSED


def _behind(node, kind, total):
    """(kind, total) of what an operator makes of numbers of a kind; the kind is None where that is no more known."""
    if node.op == "log":
        return (LOG_PROBABILITY if kind == PROBABILITY and total == 1 else None), 1.0
    if node.op == "exp":
        return (PROBABILITY if kind == LOG_PROBABILITY else None), 1.0
    if node.op in _SCALING:
        factor = attrs.number(node, "scalar", 1.0)
        keeps = factor == 1 or factor > 0 and kind == PROBABILITY
        return (kind if keeps else None), total * (factor ** _SCALING[node.op] if keeps else 1.0)
    if node.op == "_plus_scalar":
        return (kind if abs(attrs.number(node, "scalar", 0.0)) <= _SMALL * (kind == PROBABILITY) else None), total
    return kind, total

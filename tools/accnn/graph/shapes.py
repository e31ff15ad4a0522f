"""Shapes of every entry of a graph, as MXNet infers them, held against the checkpoint; batches a graph is made for."""
import re
from math import prod

from accnn.core.errors import AccnnError
from accnn.core.text import sizes
from accnn.graph.inference import infer_partial
from accnn.graph.ir import refusal

_NUMBER = re.compile(r"(?<![\d.])\d+(?![\d.])")
_LARGEST_BATCH, _MOST_CANDIDATES = 4096, 100


class Shapes(dict):
    """(position of the node, output) -> shape with the batch, of the entries that MXNet can infer.

    Attributes
    ----------
    batch : int
        Examples that the shapes are for, see :func:`native_batch`: 1 wherever the graph takes one example.
    """

    def __init__(self, shapes, batch):
        super().__init__(shapes)
        self.batch = batch


def infer_shapes(model, input_shapes):
    """Shapes of all entries of the graph, for as many examples as it is made for.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch, as in ``{'data': (3, 224, 224)}``. Inputs that are not named stay unknown.

    Returns
    -------
    Shapes
        Whoever counts per example divides by its `batch`.

    Raises
    ------
    AccnnError
        The shapes contradict the network or the checkpoint.
    """
    batch = native_batch(model, input_shapes)
    variables, entries = inferred(model.graph, input_shapes, batch)
    _compare(model, variables, input_shapes)
    return Shapes(((entry, shape) for entry, shape in entries.items() if is_known(shape)), batch)


def native_batch(model, input_shapes):
    """The number of examples that a graph is to be bound for, and that its shapes are inferred for.

    Most graphs take any batch: 1. Some hold one (a Reshape or a begin state of fixed size, the ``__shape__`` of a
    label), split it into equal parts, or lose an axis with a batch of 1 (``squeeze()``): then the first size counts at
    which MXNet's inference agrees with all parameters and every output has a row for each example.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch. Inputs that are not named stay unknown.

    Returns
    -------
    int
        Of at least 1, also where no size fits: :func:`infer_shapes` then says why. Ask :func:`takes_batch` about
        other sizes, and :func:`batch_for` for the one to bind.
    """
    fitting = {}
    for batch in candidate_batches(model, input_shapes):
        found = output_shapes(model, input_shapes, batch)
        if found is not None:
            if grows_with_batch(model, input_shapes, found, batch):
                return batch
            fitting[batch] = found
    exact = [batch for batch, found in fitting.items() if has_rows(found, batch)]
    # Several rows of an example, in a graph that holds its batch: only a number that is written there says so.
    derived = _derived(model, input_shapes)
    loose = [batch for batch in fitting if batch in [1, 2] + derived + _written(model)]
    return (exact + loose + derived + [1])[0]


def takes_batch(model, input_shapes, batch):
    """Whether a network can be bound for `batch` examples and answers each of them.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    batch : int
    """
    native = native_batch(model, input_shapes)
    known, asked = (output_shapes(model, input_shapes, size) for size in (native, batch))
    return None not in (known, asked) and all(_grown(*pair, native, batch) for pair in zip(known, asked))


def batch_for(model, input_shapes, wanted):
    """int: `wanted` where the network takes a batch of that size, else the one it is made for."""
    return wanted if takes_batch(model, input_shapes, wanted) else native_batch(model, input_shapes)


def chosen_batch(model, input_shapes, asked, usual):
    """The batch to run a network at.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    asked : int or None
        The batch size that a person asked for.
    usual : int
        Where it said nothing, and the network takes that many.

    Returns
    -------
    int

    Raises
    ------
    AccnnError
        The network does not take the batch that was asked for; names one that it takes.
    """
    if asked is None:
        return batch_for(model, input_shapes, usual)
    if batch_for(model, input_shapes, asked) != asked and infer_shapes(model, input_shapes).batch > 1:
        raise refused_batch(model, input_shapes, asked)
    return asked


def refused_batch(model, input_shapes, asked):
    """AccnnError: that a network does not take `asked` examples, and how many it takes."""
    held = native_batch(model, input_shapes)
    return AccnnError("%s cannot run on batches of %d, it is made for batches of %d: say `batch_size=%d`"
                      % (model.prefix, asked, held, held))


def candidate_batches(model, input_shapes):
    """Yield numbers of examples that a graph may be made for, the likeliest first: 1, 2, then those written into it."""
    yield from (1, 2)
    written = _derived(model, input_shapes) + _written(model)
    divisors = [number // parts for number in written for parts in range(2, number) if number % parts == 0]
    yield from [number for number in dict.fromkeys(written + divisors) if number > 2][:_MOST_CANDIDATES]


def has_rows(outputs, batch):
    """Whether all outputs whose shape is known have one row for each of `batch` examples."""
    return all(shape[0] == batch for shape in outputs if is_known(shape))


def inferred(graph, input_shapes, batch=1):
    """What MXNet infers, checked where it does not look.

    Parameters
    ----------
    graph : Graph
    input_shapes : dict of str to tuple of int
        Without the batch.
    batch : int
        0: unknown.

    Returns
    -------
    variables : dict of str to tuple of int
        Shapes of inputs, parameters and states by name, with sizes of 0, or empty, where they are unknown.
    entries : dict
        The same by (position of the node, output), for all entries of the graph.

    Raises
    ------
    AccnnError
        MXNet refuses the shapes, in its words, or a Reshape would change the number of elements.
    """
    inside = graph.internals
    try:
        args, outputs, states = infer_partial(inside.symbol, with_batch(input_shapes, batch))
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        raise _not_accepted(input_shapes, said) from error
    entries = dict(zip(inside.entries, outputs))
    for position in inside.reshapes:
        # MXNet reads beyond the end of the array, or leaves out the rest, without a word.
        before, after = entries[graph.nodes[position].inputs[0][:2]], entries[position, 0]
        if is_known(before) and prod(before) != prod(after or (0,)):
            raise _not_accepted(input_shapes, "the Reshape %r cannot make %s of %s"
                                % (graph.nodes[position].name, tuple(after or ()), tuple(before)))
    return dict(zip(inside.arguments + inside.states, args + states)), entries


def _not_accepted(input_shapes, said):
    return AccnnError("the network does not accept the input %s (%s): give the right `input_shapes`, or mend the layer "
                      "that is named" % (_said(input_shapes), said))


def infer_arguments(model, input_shapes, batch=1):
    """dict: shapes of the arguments MXNet can infer; None where the input shapes contradict the network."""
    try:
        shapes, _ = inferred(model.graph, input_shapes, batch)
    except AccnnError:
        return None
    return {name: tuple(shapes[name]) for name in model.graph.internals.arguments if is_known(shapes[name])}


def with_batch(input_shapes, batch=1):
    """dict: the shapes with a batch in front."""
    return {name: (batch,) + tuple(shape) for name, shape in input_shapes.items()}


def is_known(shape):
    """True for a shape without unknown sizes."""
    return shape is not None and len(shape) > 0 and all(size > 0 for size in shape)


def output_shapes(model, input_shapes, batch, held=None):
    """Shapes of the network's outputs for a batch, with it in front.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    batch : int
    held : container of str, optional
        Parameters that must have the shape that the network needs. Default: all.

    Returns
    -------
    list of tuple of int
        As far as they are known; None where network or parameters do not fit.
    """
    try:
        variables, entries = inferred(model.graph, input_shapes, batch)
    except AccnnError:
        return None
    if any(held is None or name in held for name in disagreeing(model, variables)):
        return None
    return [tuple(entries[head[:2]] or ()) for head in model.graph.heads]


def grows_with_batch(model, input_shapes, found, batch, held=None):
    """Whether twice the batch fits too, and gives twice the rows of `found`, see :func:`output_shapes`."""
    twice = output_shapes(model, input_shapes, 2 * batch, held)
    return twice is not None and all(_grown(*pair, batch, 2 * batch) for pair in zip(found, twice))


def disagreeing(model, needed):
    """list of str: parameters whose shape is not that which the network needs, as far as that is known."""
    return [name for params in (model.arg_params, model.aux_params) for name, array in params.items()
            if is_known(needed.get(name)) and tuple(needed[name]) != tuple(array.shape)]


def _grown(before, after, batch, other):
    """Whether an output for `other` examples is that for `batch` with more rows, or does not depend on the batch."""
    if not (is_known(before) and is_known(after)):
        return True
    if before == after:
        return batch in (1, other) or before[0] != batch
    # The batch lies on the first axis, which may hold several rows of an example, or, alone, on another.
    axes = [axis for axis in range(len(before)) if axis == 0 or before[axis] == batch]
    return any(before[axis] * other == after[axis] * batch and
               before[:axis] + before[axis + 1:] == after[:axis] + after[axis + 1:] for axis in axes)


def _derived(model, input_shapes):
    """list of int: batches that MXNet itself infers, backwards from what is fixed inside."""
    try:
        known, _ = inferred(model.graph, input_shapes, 0)  # 0 is what MXNet calls unknown
    except AccnnError:
        return []
    return [known[name][0] for name in input_shapes if known.get(name) and known[name][0] > 0]


def _written(model):
    """list of int: numbers in the attributes of operators and inputs, those that begin a ``__shape__`` first."""
    params = set(model.arg_params) | set(model.aux_params)
    nodes = [node for node in model.graph.nodes if not (node.is_variable and node.name in params)]
    hints = [number for node in nodes for number in _numbers(node.attrs.get("__shape__", ""))[:1]]
    others = sorted({number for node in nodes for value in node.attrs.values() for number in _numbers(value)})
    return [number for number in hints + others if 1 < number <= _LARGEST_BATCH]


def _numbers(text):
    return [int(number) for number in _NUMBER.findall(text)]


def _compare(model, needed, input_shapes):
    for name in disagreeing(model, needed):
        array = model.arg_params[name] if name in model.arg_params else model.aux_params[name]
        raise AccnnError("the parameter %r of %s has the shape %s, but with the input %s the network needs %s: "
                         "give the right `input_shapes`, or the checkpoint belongs to another symbol"
                         % (name, model.prefix, tuple(array.shape), _said(input_shapes), tuple(needed[name])))


def _said(input_shapes):
    return " ".join("%s:%s" % (name, sizes(shape)) for name, shape in input_shapes.items()) or "(unknown)"

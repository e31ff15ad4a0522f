"""How many channels an input has: what MXNet's inference finds to agree with the first layers behind it."""
from collections import deque, namedtuple
from functools import partial
from itertools import islice, product

from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph, prune
from accnn.graph.passing import origin
from accnn.graph.shapes import candidate_batches, disagreeing, inferred, is_known

_SIDES = (224, 32)  # at which channels are tried
_FEW = range(1, 65)
_ENOUGH = 4  # numbers that fit: which others do need not be known
_FEW_BATCHES = 8  # the likeliest

_Front = namedtuple("_Front", "model layers batches")
_Front.__doc__ = "A network up to the first layers with a weight behind an input, these layers, and likely batches."


def shape_by_side(model, shapes, name):
    """How the shape of an input follows from its height and width.

    Whatever lies between the input and the first layers with a weight, channels count as found where exactly one
    number of them agrees with these weights.

    Parameters
    ----------
    model : Model
    shapes : dict of str to tuple of int
        Of other inputs, without the batch, as far as they are known.
    name : str

    Returns
    -------
    callable or None
        ``function(side) -> tuple of int``, which for a vector is the same for all; None where no layer with a weight
        reads the input, or its shape depends on other inputs.

    Raises
    ------
    AccnnError
        No number of channels fits, or several do.
    """
    front = _front(model, shapes, name)
    if not front.layers:
        return None
    there = set(front.model.graph.variables())
    shapes = {other: shape for other, shape in shapes.items() if other in there}  # MXNet refuses those it does not know
    why = []
    for form, own in _forms(model, front.layers[0]):
        fits = partial(_fits, front, shapes, name, form, why)
        fitting = _fitting(fits, own)
        if len(fitting) > 1:
            raise AccnnError("the input %r of %s may have %s channels among others: give `input_shapes=%s`"
                             % (name, model.prefix, _some(fitting), _example(form)))
        if fitting:
            return partial(form, fitting[0])
        if fits(own) is None and not why:
            return None
    raise AccnnError("nothing says the shape of the input %r of %s, and with none that was tried does the layer %r get "
                     "what its weight needs%s: give `input_shapes=%s`"
                     % (name, model.prefix, front.layers[0].name, " (%s)" % why[0] if why else "", _example(form)))


def _front(model, shapes, name):
    graph, readers = model.graph, model.graph.consumers()
    start = next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)
    queue, seen, found = deque([start]), {start}, []
    while queue:
        producer = queue.popleft()
        for reader in dict.fromkeys(readers[producer]):
            if reader in seen:
                continue
            seen.add(reader)
            if _weight(model, graph.nodes[reader]) is None:
                queue.append(reader)
            elif graph.nodes[reader].inputs[0][0] == producer:
                found.append(reader)
    part = prune(Graph(graph.nodes, tuple((position, 0, 0) for position in found)))
    args, aux = ({node.name: params[node.name] for node in part.nodes if node.name in params}
                 for params in (model.arg_params, model.aux_params))
    return _Front(Model(part, args, aux, model.prefix), [graph.nodes[position] for position in found],
                  list(islice(candidate_batches(model, shapes), _FEW_BATCHES)))


def _weight(model, node):
    """The first parameter of an operator that is a matrix or a kernel; None for what only passes on."""
    ends = (origin(model.graph, entry)[0][0] for entry in node.inputs[1:])
    params = (model.arg_params.get(model.graph.nodes[position].name) for position in ends)
    return next((array for array in params if array is not None and len(array.shape) > 1), None)


def _forms(model, layer):
    """Yield (function of channels and side, channels that the weight itself reads), the likeliest first."""
    weight = _weight(model, layer).shape
    if "num_hidden" in layer.attrs:
        yield lambda channels, _: (channels,), weight[1]
    if "num_filter" not in layer.attrs:
        return
    if len(weight) < 3:
        raise AccnnError("the weight of the layer %r in %s has the shape %s, which is no kernel: export the network "
                         "again" % (layer.name, model.prefix, tuple(weight)))
    axes, last = len(weight) - 2, attrs.layout(layer).endswith("C")
    own = weight[-1 if last else 1] * attrs.integer(layer, "num_group", 1)
    forms = [lambda channels, side: (channels,) + (side,) * axes, lambda channels, side: (side,) * axes + (channels,)]
    for form in forms[::-1] if last else forms:
        yield form, own


def _fitting(fits, own):
    """list of int: numbers of channels that fit, among them `own`, that of the weight, where it does."""
    if fits(own):
        # Others fit beside it only where channels are cut out, averaged or folded into another axis.
        return [own] + [number for number in sorted({own + 1, 2 * own}) if fits(number)]
    near = [own * times for times in range(2, 5)] + [own // parts for parts in range(2, own) if own % parts == 0]
    others = (number for number in dict.fromkeys(list(_FEW) + near) if number != own)
    return list(islice(filter(fits, others), _ENOUGH))


def _fits(front, shapes, name, form, why, channels):
    """Whether the first layers get what their weights need; None where that is not known, or refused: see `why`."""
    found, model = None, front.model
    for batch, side in product(front.batches, _SIDES):
        try:
            needed, _ = inferred(model.graph, dict(shapes, **{name: form(channels, side)}), batch)
        except AccnnError as error:
            why.append(str(error))
            continue
        if disagreeing(model, needed):
            found = False
        elif all(is_known(needed[one]) for one, array in model.arg_params.items() if len(array.shape) > 1):
            return True
    return found


def _some(numbers):
    return ", ".join(map(str, numbers[:-1])) + " or %d" % numbers[-1]


def _example(form):
    shape = form("C", "S")
    return {1: "UNITS", 3: "C,H,W" if shape[0] == "C" else "H,W,C"}.get(len(shape), "with all its sizes")

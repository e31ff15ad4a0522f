"""Height and width of inputs that nobody says: what MXNet's inference finds to agree with the checkpoint."""
from itertools import islice
from math import prod

from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.channels import shape_by_side
from accnn.graph.passing import origin
from accnn.graph.shapes import (
    candidate_batches,
    grows_with_batch,
    has_rows,
    inferred,
    native_batch,
    output_shapes,
)

DEFAULT_SIDE = 224
# Sides people really use, tried before all others: several sides can give an FC the same number of units.
_USUAL_SIDES = (224, 112, 299, 227, 32, 28, 24, 48, 12, 64, 96, 128, 160, 192, 240, 256, 300, 320, 331, 384, 416, 448,
                512)
_LARGEST_SIDE = 1024
_ROUND = 16  # sides that this divides come before those that 8 does, and so on to odd ones
_FEW_SIDES = 150  # of which every pair with a batch that the graph may hold is tried


def guess(model, shapes, names):
    """Find the shapes of some inputs.

    Parameters
    ----------
    model : Model
    shapes : dict of str to tuple of int
        Of the other inputs, without the batch.
    names : list of str

    Returns
    -------
    shapes : dict of str to tuple of int
        Of all inputs; one that no layer with a weight reads is left out.
    assumed : list of str
        Those of `names` whose height and width nothing pins.

    Raises
    ------
    AccnnError
        No square input fits, or no or several numbers of channels do.
    """
    forms = {name: form for name, form in ((name, shape_by_side(model, shapes, name)) for name in names) if form}
    free = [name for name, form in forms.items() if form(1) != form(2)]

    def at(side):
        return dict(shapes, **{name: form(side) for name, form in forms.items()})

    if not free:
        return at(1), []
    pins = _flattening_layers(model)
    side, batch = _side(model, at, pins)
    # Behind global pooling twice the side fits as well: then nothing was pinned, and the first side tried was taken.
    return at(side), free if _equally(model, at(side), at(2 * side), batch, pins) else []


def fitting_sides(model, shapes, name):
    """The sides that an input may have as well, as far as they lie next to each other.

    Parameters
    ----------
    model : Model
    shapes : dict of str to tuple of int
        Of all inputs, without the batch.
    name : str
        An image of equal height and width, channels first.

    Returns
    -------
    range
        With the side that it has: pooling and strides leave rows over, so that the next few sides give a fully
        connected layer the same number of units.
    """
    channels, side = shapes[name][:2]

    def fits(other):
        return other > 0 and fits_too(model, shapes, dict(shapes, **{name: (channels, other, other)}))

    return range(side - _reach(lambda step: fits(side - step)), side + _reach(lambda step: fits(side + step)) + 1)


def fits_too(model, shapes, others):
    """Whether a network that takes inputs of `shapes` takes `others` in their place, with as many answers."""
    return _equally(model, shapes, others, native_batch(model, shapes))


def _reach(fits):
    """The largest step up to which all fit."""
    step = 1
    while step < _LARGEST_SIDE and fits(step):
        step *= 2
    low, high = step // 2, step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _sides():
    """list of int: all sides, the most usual first."""
    multiples = list(range(32, _LARGEST_SIDE + 1, 32))
    rest = sorted(range(1, _LARGEST_SIDE + 1), key=lambda side: (-min(side & -side, _ROUND), side))
    return list(dict.fromkeys(list(_USUAL_SIDES) + multiples + rest))


def _side(model, at, pins):
    """Return the side to take, and the batch at which it fits."""
    several = None
    for side in _sides():
        found = output_shapes(model, at(side), 1, pins)
        if found is not None and grows_with_batch(model, at(side), found, 1, pins):
            if has_rows(found, 1) or _equally(model, at(side), at(2 * side), 1, pins):
                return side, 1
            several = several or (side, 1)  # rows of one image may be those of a batch at another side
    return _at_a_batch(model, at, pins) or several or _refused(model, at, pins)


def _at_a_batch(model, at, pins):
    """The same for a graph that holds its batch; None where no batch gives every image a row."""
    loosely = None
    for side in islice(_sides(), _FEW_SIDES):
        for batch in candidate_batches(model, at(side)):
            found = output_shapes(model, at(side), batch, pins)
            if found is not None and has_rows(found, batch):
                return side, batch
            if found is not None:
                loosely = loosely or (side, batch)
    return loosely


def _refused(model, at, pins):
    try:
        inferred(model.graph, at(DEFAULT_SIDE))
    except AccnnError as error:  # MXNet says why it refuses any size
        raise AccnnError("no square input up to %d was found for %s; of one of %d it is said: %s"
                         % (_LARGEST_SIDE, model.prefix, DEFAULT_SIDE, error)) from error
    name, shape = next(iter(pins.items()))
    raise AccnnError("no square input up to %d gives %s the %d units its weight has: give `input_shapes=C,H,W`"
                     % (_LARGEST_SIDE, name, prod(shape[1:])))


def _equally(model, shapes, others, batch, held=None):
    """Whether both fit, with the same number of rows in every output."""
    found, other = (output_shapes(model, some, batch, held) for some in (shapes, others))
    return None not in (found, other) and [shape[:1] for shape in found] == [shape[:1] for shape in other]


def _flattening_layers(model):
    """dict: weight name -> shape, of the fully connected layers that flatten what comes before."""
    layers = (node for node in model.graph.nodes
              if node.op == "FullyConnected" and attrs.boolean(node, "flatten", True))
    names = (model.graph.nodes[origin(model.graph, node.inputs[1])[0][0]].name for node in layers)
    return {name: tuple(model.arg_params[name].shape) for name in names if name in model.arg_params}

"""The inputs of a network, and their shapes when nobody says them."""
from collections import deque
from math import prod

from accnn.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.check import missing_parameters, told_missing
from accnn.graph.shapes import check_inference, infer_arguments

DEFAULT_SIDE = 224
# Sides people really use, tried before all others: several sides can give an FC the same number of units.
_USUAL_SIDES = (224, 112, 299, 227, 32, 28, 24, 48, 12, 64, 96, 128, 160, 192, 240, 256, 300, 320, 331, 384, 416, 448,
                512)
_LARGEST_SIDE = 1024

# Behind these an input's channels are no longer those of the next convolution.
_RESHAPING = {"Concat", "Reshape", "transpose", "SwapAxis", "RNN", "Embedding", "Custom", "_foreach", "_while_loop",
              "_cond", "_contrib_Proposal", "_contrib_MultiProposal"}


def input_names(model, given=()):
    """Return (inputs, labels): variables that the checkpoint has no parameter for.

    Parameters
    ----------
    model : Model
    given : container of str
        Names that somebody says are inputs.

    Raises
    ------
    AccnnError
        Such a variable is clearly a parameter (the weight of a convolution, an aux state).
    """
    missing = missing_parameters(model.graph, set(model.arg_params).union(model.aux_params), given)
    if missing:
        raise AccnnError("%s: %s" % (model.prefix, told_missing(missing)))
    graph, readers = model.graph, model.graph.consumers()
    inputs, labels = [], []
    for position, node in enumerate(graph.nodes):
        if node.is_variable and node.name not in model.arg_params and node.name not in model.aux_params:
            roles = [(graph.nodes[reader], slot) for reader in dict.fromkeys(readers[position])
                     for slot, entry in enumerate(graph.nodes[reader].inputs) if entry[0] == position]
            (labels if _is_label(node, roles) else inputs).append(node.name)
    return inputs, labels


def resolve_input_shapes(model, given=None):
    """The shapes of all inputs: those given, the others read from the checkpoint.

    A ``__shape__`` hint on the variable counts first, then what follows from the inputs that are given. Otherwise
    channels come from the first convolution behind the input, height and width from a fully connected layer where one
    pins them (the most usual side that gives it the number of units its weight has), else 224.

    Parameters
    ----------
    model : Model
    given : dict of str to tuple of int, optional
        Without the batch. The name None stands for the only input there is.

    Returns
    -------
    shapes : dict of str to tuple of int
        Without the batch. An input with nothing to read it from is left out.
    assumed : list of str
        Inputs whose height and width nothing says: they are taken to be 224.

    Raises
    ------
    AccnnError
        A fully connected layer fits no square input; `given` names an input that does not exist.
    """
    names, labels = input_names(model, given or {})
    given = _named(model, names, labels, given or {})
    symbol = model.graph.to_symbol()
    followed = infer_arguments(symbol, given) or {} if given else {}
    forms = dict(given)
    for name in names:
        if name not in given and name not in followed:
            form = _form(model, name)
            if form is not None:
                forms[name] = form
    free = [name for name, form in forms.items() if callable(form)]
    pins = _flattening_layers(model) if free else {}
    side = _pinned_side(symbol, forms, pins) if pins else DEFAULT_SIDE
    # Behind global pooling twice the side fits as well: then nothing was pinned, and the first side tried was taken.
    assumed = free if not pins or _fits(symbol, forms, pins, 2 * side) else []
    return _at_side(forms, side), assumed


def _is_label(node, roles):
    return node.name.endswith("label") or bool(roles) and all(
        slot > 0 and reader.op.endswith("Output") for reader, slot in roles)


def _named(model, names, labels, given):
    if None in given and len(names) != 1:
        raise AccnnError("%s has the inputs %s: say which with --input-shape NAME:SHAPE"
                         % (model.prefix, ", ".join(names) or "(none)"))
    if None in given and names[0] in given:
        raise AccnnError("--input-shape names the input %r twice" % names[0])
    given = {names[0] if name is None else name: tuple(shape) for name, shape in given.items()}
    for name in given:
        if name not in names + labels:
            raise AccnnError("%s has no input %r: its inputs are %s" % (model.prefix, name, ", ".join(names)))
    return given


def _form(model, name):
    """What is known of an input's shape: a tuple, a function of the side, or None."""
    graph = model.graph
    position = next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)
    hint = _hint(graph.nodes[position])
    if hint:
        return hint
    layer = _first_layer(graph, position)
    weight = model.arg_params.get(graph.nodes[layer.inputs[1][0]].name) if layer else None
    if weight is None:
        return None
    if layer.op == "FullyConnected":
        return (weight.shape[1],)
    if len(weight.shape) < 3:
        raise AccnnError("the weight of the layer %r in %s has the shape %s, which is no kernel: export the network "
                         "again" % (layer.name, model.prefix, tuple(weight.shape)))
    axes, groups = len(weight.shape) - 2, attrs.integer(layer, "num_group", 1)
    if attrs.layout(layer).endswith("C"):
        return lambda side: (side,) * axes + (weight.shape[-1] * groups,)
    return lambda side: (weight.shape[1] * groups,) + (side,) * axes


def _hint(variable):
    """The shape a variable carries as ``__shape__``, without the batch; () when it says less than all of it."""
    try:
        shape = attrs.shape(variable, "__shape__", ())
    except AccnnError:  # None, or -1 for what is unknown
        return ()
    return tuple(shape[1:]) if len(shape) > 1 and all(shape[1:]) else ()


def _first_layer(graph, position):
    """The nearest convolution or fully connected layer whose data `position` is, in steps along the graph."""
    readers, queue, seen = graph.consumers(), deque([position]), {position}
    while queue:
        producer = queue.popleft()
        for reader in readers[producer]:
            node = graph.nodes[reader]
            if reader in seen or node.inputs[0][0] != producer:
                continue
            seen.add(reader)
            if node.op in ("Convolution", "FullyConnected"):
                return node
            if node.op not in _RESHAPING:
                queue.append(reader)
    return None


def _pinned_side(symbol, forms, pins):
    multiples = tuple(range(32, _LARGEST_SIDE + 1, 32))
    for side in dict.fromkeys(_USUAL_SIDES + multiples + tuple(range(1, _LARGEST_SIDE + 1))):
        if _fits(symbol, forms, pins, side):
            return side
    check_inference(symbol, _at_side(forms, DEFAULT_SIDE))  # a network that MXNet refuses at any size says why
    raise AccnnError("no square input up to %d gives %s the %d units its weight has: give --input-shape C,H,W"
                     % (_LARGEST_SIDE, next(iter(pins)), prod(next(iter(pins.values()))[1:])))


def _fits(symbol, forms, pins, side):
    shapes = infer_arguments(symbol, _at_side(forms, side))
    return shapes is not None and all(shapes.get(name, pinned) == pinned for name, pinned in pins.items())


def _at_side(forms, side):
    return {name: form(side) if callable(form) else form for name, form in forms.items()}


def _flattening_layers(model):
    """dict: weight name -> shape, of the fully connected layers that flatten what comes before."""
    layers = (node for node in model.graph.nodes
              if node.op == "FullyConnected" and attrs.boolean(node, "flatten", True))
    names = (model.graph.nodes[node.inputs[1][0]].name for node in layers)
    return {name: tuple(model.arg_params[name].shape) for name in names if name in model.arg_params}

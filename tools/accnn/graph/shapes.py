"""Shapes of every entry of a graph, and the input shape of a network when nobody says it."""
import json
from collections import deque
from math import prod

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.ir import reason

DEFAULT_SIDE = 224
# Sides people really use, tried before all others: several sides can give an FC the same number of units.
_USUAL_SIDES = (224, 112, 299, 227, 32, 28, 24, 48, 12, 64, 96, 128, 160, 192, 256, 320, 384, 416, 512)
_LARGEST_SIDE = 1024

# Operators whose inputs from the second on are parameters, so that a missing one is an error and no network input.
PARAMETRIC = {"Convolution", "Deconvolution", "FullyConnected", "BatchNorm", "LeakyReLU", "Embedding", "InstanceNorm",
              "LayerNorm", "GroupNorm"}


def input_names(model):
    """list of str: variables that the checkpoint has no parameter for and that are no labels.

    Raises
    ------
    AccnnError
        When such a variable is clearly a parameter (the weight of a convolution, an aux state).
    """
    return [name for name, role in _unparametrised(model) if role == "input"]


def infer_shapes(model, input_shapes):
    """Shapes of all entries of the graph, for one example.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch, as in ``{'data': (3, 224, 224)}``. Inputs that are not named stay unknown.

    Returns
    -------
    dict
        (position of the node, output) -> shape *with* a batch of 1; entries MXNet cannot infer are absent.

    Raises
    ------
    AccnnError
        The shapes contradict the network or the checkpoint.
    """
    symbol = model.graph.to_symbol().get_internals()
    entries = json.loads(symbol.tojson())["heads"]
    known = {name: (1,) + tuple(shape) for name, shape in input_shapes.items()}
    try:
        arg_shapes, out_shapes, aux_shapes = symbol.infer_shape_partial(**known)
    except mx.base.MXNetError as error:
        raise AccnnError("%s does not accept the input %s (%s): give --input-shape"
                         % (model.prefix, _said(input_shapes), reason(error))) from error
    _compare(model, dict(zip(symbol.list_arguments(), arg_shapes)), model.arg_params, input_shapes)
    _compare(model, dict(zip(symbol.list_auxiliary_states(), aux_shapes)), model.aux_params, input_shapes)
    return {tuple(entry[:2]): shape for entry, shape in zip(entries, out_shapes) if _is_known(shape)}


def resolve_input_shapes(model, given=None):
    """The shapes of all inputs: those given, the others read from the checkpoint.

    A ``__shape__`` hint on the variable counts first. Otherwise channels come from the first convolution
    behind the input, height and width from a fully connected layer where one pins them (the most usual side
    that gives it the number of units its weight has), else 224.

    Parameters
    ----------
    model : Model
    given : dict of str to tuple of int, optional
        Without the batch. The name None stands for the only input there is.

    Returns
    -------
    dict of str to tuple of int
        Without the batch. An input with nothing to read it from is left out.

    Raises
    ------
    AccnnError
        A fully connected layer fits no square input; `given` names an input that does not exist.
    """
    names = input_names(model)
    given = _named(model, names, given or {})
    forms = dict({name: form for name in names if name not in given for form in [_form(model, name)] if form}, **given)
    free = [form for form in forms.values() if callable(form)]
    side = _pinned_side(model, forms) if free else DEFAULT_SIDE
    return {name: form(side) if callable(form) else form for name, form in forms.items()}


def _named(model, names, given):
    if None in given and len(names) != 1:
        raise AccnnError("%s has the inputs %s: say which with --input-shape NAME:SHAPE"
                         % (model.prefix, ", ".join(names) or "(none)"))
    given = {names[0] if name is None else name: tuple(shape) for name, shape in given.items()}
    for name in given:
        if name not in names:
            raise AccnnError("%s has no input %r: its inputs are %s" % (model.prefix, name, ", ".join(names)))
    return given


def _unparametrised(model):
    """Yield (name, 'input' or 'label') of variables without a parameter."""
    graph, readers = model.graph, model.graph.consumers()
    for position, node in enumerate(graph.nodes):
        if not node.is_variable or node.name in model.arg_params or node.name in model.aux_params:
            continue
        roles = [(graph.nodes[reader], slot) for reader in dict.fromkeys(readers[position])
                 for slot, entry in enumerate(graph.nodes[reader].inputs) if entry[0] == position]
        for reader, slot in roles:
            if slot > 0 and reader.op in PARAMETRIC:
                raise AccnnError("the checkpoint %s has no parameter %r, which the layer %r needs: it belongs to "
                                 "another symbol or epoch" % (model.prefix, node.name, reader.name))
        is_label = roles and all(slot > 0 and reader.op.endswith(("Output", "SVMOutput")) for reader, slot in roles)
        yield node.name, "label" if is_label or node.name.endswith("label") else "input"


def _is_known(shape):
    return shape is not None and len(shape) > 0 and all(size > 0 for size in shape)


def _compare(model, needed, params, input_shapes):
    for name, array in params.items():
        shape = needed.get(name)
        if shape is not None and _is_known(shape) and tuple(shape) != tuple(array.shape):
            raise AccnnError("the parameter %r of %s has the shape %s, but with the input %s the network needs %s: "
                             "give the right --input-shape, or the checkpoint belongs to another symbol"
                             % (name, model.prefix, tuple(array.shape), _said(input_shapes), tuple(shape)))


def _said(input_shapes):
    return " ".join("%s:%s" % (name, ",".join(map(str, shape))) for name, shape in input_shapes.items()) or "(unknown)"


def _form(model, name):
    """What is known of an input's shape: a tuple, a function of the side, or None."""
    graph = model.graph
    position = next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)
    hint = attrs.shape(graph.nodes[position], "__shape__", ())
    if len(hint) > 1 and all(size > 0 for size in hint[1:]):
        return tuple(hint[1:])
    layer = _first_layer(graph, position)
    if layer is None or _weight_of(model, layer) is None:
        return None
    weight = _weight_of(model, layer)
    if layer.op == "FullyConnected":
        return (weight.shape[1],)
    channels = weight.shape[1] * attrs.integer(layer, "num_group", 1)
    if attrs_layout(layer).endswith("C"):
        channels = weight.shape[-1] * attrs.integer(layer, "num_group", 1)
        return lambda side: (side,) * (len(weight.shape) - 2) + (channels,)
    return lambda side: (channels,) + (side,) * (len(weight.shape) - 2)


def attrs_layout(node):
    """Layout a convolution writes down, '' when it writes none."""
    layout = node.attrs.get("layout", "")
    return "" if layout == "None" else layout


def _weight_of(model, layer):
    name = model.graph.nodes[layer.inputs[1][0]].name if len(layer.inputs) > 1 else None
    return model.arg_params.get(name)


def _first_layer(graph, position):
    """The nearest convolution or fully connected layer that `position` feeds, in steps along the graph."""
    readers, queue, seen = graph.consumers(), deque([position]), {position}
    while queue:
        for reader in readers[queue.popleft()]:
            if graph.nodes[reader].op in ("Convolution", "FullyConnected"):
                return graph.nodes[reader]
            if reader not in seen:
                seen.add(reader)
                queue.append(reader)
    return None


def _pinned_side(model, forms):
    pins = _flattening_layers(model)
    if not pins:
        return DEFAULT_SIDE
    symbol = model.graph.to_symbol()
    for side in dict.fromkeys(_USUAL_SIDES + tuple(range(1, _LARGEST_SIDE + 1))):
        shapes = {name: (1,) + (form(side) if callable(form) else form) for name, form in forms.items()}
        if _fits(symbol, shapes, pins):
            return side
    raise AccnnError("no square input up to %d gives %s the %d units its weight has: give --input-shape C,H,W"
                     % (_LARGEST_SIDE, next(iter(pins)), prod(next(iter(pins.values()))[1:])))


def _flattening_layers(model):
    """dict: weight name -> shape, of the fully connected layers that flatten what comes before."""
    layers = (node for node in model.graph.nodes
              if node.op == "FullyConnected" and attrs.boolean(node, "flatten", True))
    names = (model.graph.nodes[node.inputs[1][0]].name for node in layers)
    return {name: tuple(model.arg_params[name].shape) for name in names if name in model.arg_params}


def _fits(symbol, shapes, pins):
    try:
        arg_shapes, _, _ = symbol.infer_shape_partial(**shapes)
    except mx.base.MXNetError:
        return False
    inferred = dict(zip(symbol.list_arguments(), arg_shapes))
    return all(not _is_known(inferred[name]) or tuple(inferred[name]) == shape for name, shape in pins.items())

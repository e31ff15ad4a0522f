"""The inputs of a network, and their shapes when nobody says them."""
from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.check import missing_parameters, missing_sentence
from accnn.graph.guessing import guess
from accnn.graph.shapes import infer_arguments, native_batch


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
        raise AccnnError("%s: %s" % (model.prefix, missing_sentence(missing)))
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
    MXNet's inference says which channels, and which height and width, agree with all parameters: see
    :mod:`accnn.graph.guessing`. Where any side fits, 224 is taken.

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
        Inputs whose height and width nothing says: they are taken to be 224. Where several sides fit,
        :func:`accnn.graph.guessing.fitting_sides` knows the others.

    Raises
    ------
    AccnnError
        No square input fits, or inputs of several numbers of channels do; `given` names an input that does not exist.
    """
    names, labels = input_names(model, given or {})
    shapes = dict(_named(model, names, labels, given or {}))
    for name in names:
        said = () if name in shapes else hint(model.graph, name)
        if said and name not in _following(model, shapes):
            shapes[name] = said
    followed = _following(model, shapes)
    return guess(model, shapes, [name for name in names if name not in shapes and name not in followed])


def _following(model, shapes):
    """dict: arguments that follow from some inputs."""
    return infer_arguments(model, shapes, native_batch(model, shapes)) or {} if shapes else {}


def _is_label(node, roles):
    return node.name.endswith("label") or bool(roles) and all(
        slot > 0 and reader.op.endswith("Output") for reader, slot in roles)


def _named(model, names, labels, given):
    if None in given and len(names) != 1:
        raise AccnnError("%s has the inputs %s: say which with `input_shapes=NAME:SHAPE`"
                         % (model.prefix, ", ".join(names) or "(none)"))
    if None in given and names[0] in given:
        raise AccnnError("`input_shapes` names the input %r twice" % names[0])
    given = {names[0] if name is None else name: tuple(shape) for name, shape in given.items()}
    for name in given:
        if name not in names + labels:
            raise AccnnError("%s has no input %r: its inputs are %s" % (model.prefix, name, ", ".join(names)))
    return given


def hint(graph, name):
    """The shape an input carries as ``__shape__``, without the batch; () when it says less than all of it."""
    position, variable = next((i, node) for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)
    try:
        shape = attrs.shape(variable, "__shape__", ())
    except AccnnError:  # None, or -1 for what is unknown
        return ()
    if any(graph.nodes[reader].op == "RNN" for reader in graph.consumers()[position]):
        return ()  # the batch of a state is its second axis: MXNet reads the hint itself
    return tuple(shape[1:]) if len(shape) > 1 and all(shape[1:]) else ()

"""Shapes of every entry of a graph, as MXNet infers them, held against the checkpoint."""
import json

from accnn.errors import AccnnError
from accnn.graph.inference import infer_partial
from accnn.graph.ir import refusal


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
    entries = json.loads(symbol.tojson(remove_amp_cast=False), strict=False)["heads"]
    arg_shapes, out_shapes, aux_shapes = check_inference(symbol, input_shapes)
    _compare(model, dict(zip(symbol.list_arguments(), arg_shapes)), model.arg_params, input_shapes)
    _compare(model, dict(zip(symbol.list_auxiliary_states(), aux_shapes)), model.aux_params, input_shapes)
    return {tuple(entry[:2]): shape for entry, shape in zip(entries, out_shapes) if is_known(shape)}


def check_inference(symbol, input_shapes):
    """Return MXNet's (argument, output, aux) shapes, or raise AccnnError with MXNet's reason."""
    try:
        return infer_partial(symbol, with_batch(input_shapes))
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        raise AccnnError("the network does not accept the input %s (%s): give the right --input-shape, or mend the "
                         "layer that is named" % (_said(input_shapes), said)) from error


def infer_arguments(symbol, input_shapes):
    """dict: shapes of the arguments MXNet can infer; None where the input shapes contradict the network."""
    try:
        shapes, _, _ = check_inference(symbol, input_shapes)
    except AccnnError:
        return None
    return {name: tuple(shape) for name, shape in zip(symbol.list_arguments(), shapes) if is_known(shape)}


def with_batch(input_shapes):
    """dict: the shapes with a batch of 1 in front."""
    return {name: (1,) + tuple(shape) for name, shape in input_shapes.items()}


def is_known(shape):
    """True for a shape without unknown sizes."""
    return shape is not None and len(shape) > 0 and all(size > 0 for size in shape)


def _compare(model, needed, params, input_shapes):
    for name, array in params.items():
        shape = needed.get(name)
        if is_known(shape) and tuple(shape) != tuple(array.shape):
            raise AccnnError("the parameter %r of %s has the shape %s, but with the input %s the network needs %s: "
                             "give the right --input-shape, or the checkpoint belongs to another symbol"
                             % (name, model.prefix, tuple(array.shape), _said(input_shapes), tuple(shape)))


def _said(input_shapes):
    return " ".join("%s:%s" % (name, ",".join(map(str, shape))) for name, shape in input_shapes.items()) or "(unknown)"

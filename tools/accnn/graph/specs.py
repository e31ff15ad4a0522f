"""Every convolution and fully connected layer of a graph as a LayerSpec, with the reason when it must stay."""
from collections import Counter
from fractions import Fraction
from math import prod

import numpy as np

from accnn.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.shapes import infer_shapes
from accnn.layers import LayerSpec, SubConv, SubFC


def layer_specs(model, input_shapes):
    """Describe the layers of `model` that a method may be asked about.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.

    Returns
    -------
    list of LayerSpec
        In topological order. A layer that the graph does not allow to be replaced carries its `refusal`.

    Raises
    ------
    AccnnError
        The graph is quantised or fused already; shapes and checkpoint contradict each other.
    """
    _refuse_quantised(model)
    shapes = infer_shapes(model, input_shapes)
    readers = model.graph.consumers()
    names = Counter(node.name for node in model.graph.nodes)
    specs = []
    for node in model.graph.nodes:
        if node.op in _READERS:
            refusal = _graph_refusal(model, node, readers, names)
            specs.append(_READERS[node.op](model, node, shapes, refusal))
    return specs


def _refuse_quantised(model):
    for node in model.graph.nodes:
        if node.op.startswith(("_sg_mkldnn", "_sg_onednn")) or "quantize" in node.op:
            raise AccnnError("%s is quantised or fused already (%r is a %s): accelerate the float checkpoint it was "
                             "made from, then quantise" % (model.prefix, node.name, node.op))


def _graph_refusal(model, node, readers, names):
    """Why the graph itself forbids to replace `node`; None when it does not."""
    if names[node.name] > 1:
        return "another layer has the same name"
    for position, _, _ in node.inputs[1:]:
        parameter = model.graph.nodes[position]
        if not parameter.is_variable:
            return "its %s is computed by %r" % ("weight" if position == node.inputs[1][0] else "bias", parameter.name)
        if parameter.name not in model.arg_params:
            return "the checkpoint has no parameter %s" % parameter.name
        if np.dtype(model.arg_params[parameter.name].dtype) not in _FLOATS:
            return "its parameter %s is no float16, float32 or float64" % parameter.name
        if len(readers[position]) > 1:
            others = {model.graph.nodes[reader].name for reader in readers[position]} - {node.name}
            return "shares %s with %s" % (parameter.name, ", ".join(sorted(others)) or "itself")
        if position in {head[0] for head in model.graph.heads}:
            return "its %s is an output of the network" % parameter.name
    return None


def _convolution(model, node, shapes, refusal):
    shape = shapes.get(node.inputs[0][:2])
    kernel, layout = attrs.shape(node, "kernel", ()), attrs.layout(node)
    if len(kernel) != 2:
        refusal = refusal or "%d-D convolution: only 2-D ones are split" % len(kernel)
    if layout and not layout.startswith("NC"):
        refusal = refusal or "layout %s: only NCHW is split" % layout
        shape = shape and shape[:1] + shape[-1:] + shape[1:-1]
    return _spec(model, node, shape and _conv_part(node, shape[1], kernel), shape, refusal, shapes.batch)


def _conv_part(node, channels, kernel):
    ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
    return SubConv("", channels, attrs.integer(node, "num_filter"), kernel, attrs.shape(node, "stride", ones),
                   attrs.shape(node, "pad", zeros), attrs.shape(node, "dilate", ones),
                   attrs.integer(node, "num_group", 1), len(node.inputs) > 2)


def _fully_connected(model, node, shapes, refusal):
    shape = shapes.get(node.inputs[0][:2])
    weight = model.arg_params.get(model.graph.nodes[node.inputs[1][0]].name)
    part = None
    if shape is not None and weight is not None:
        part = SubFC("", weight.shape[1], weight.shape[0], len(node.inputs) > 2, attrs.boolean(node, "flatten", True))
    flat = part is not None and part.flatten
    return _spec(model, node, part, shape, refusal, shapes.batch,
                 _maps(model.graph, node.inputs[0][:2], shapes) if flat else None)


def _maps(graph, entry, shapes):
    """The shape (C, H, W) of the feature maps whose flattening lies at an entry, or None.

    Looks back through operators that keep every value in its place: whether these are still what a convolution
    computed does not matter, only that one image's are in one row.
    """
    rows, size = shapes[entry][0], prod(shapes[entry])
    while entry in shapes and shapes[entry][0] == rows and prod(shapes[entry]) == size:
        shape, node = shapes[entry], graph.nodes[entry[0]]
        if len(shape) == 4:
            return tuple(shape[1:]) if prod(shape[2:]) > 1 else None
        if node.op not in _KEEP_PLACES:
            return None
        entry = node.inputs[0][:2]
    return None


def _spec(model, node, part, shape, refusal, batch, maps=None):
    names = [model.graph.nodes[position].name for position, _, _ in node.inputs[1:]]
    weight, bias = (names + [None, None])[:2]
    if part is None:
        refusal = refusal or "its input shape is unknown: give --input-shape"
    elif refusal is None and tuple(model.arg_params[weight].shape) != part.weight_shape:
        raise AccnnError("the parameter %r of %s has the shape %s, but the layer %r needs %s: the checkpoint belongs "
                         "to another symbol" % (weight, model.prefix, tuple(model.arg_params[weight].shape), node.name,
                                                part.weight_shape))
    return LayerSpec(node.name, part, shape and tuple(shape[1:]), weight, bias, node.op, refusal,
                     _repeats(shape[0], batch) if shape else 1, maps)


def _repeats(rows, batch):
    return Fraction(rows, batch) if rows % batch else rows // batch


_FLOATS = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))
_KEEP_PLACES = {"Flatten", "Reshape", "expand_dims", "squeeze", "Dropout", "Activation", "LeakyReLU", "relu", "sigmoid",
                "tanh", "clip", "_copy", "BlockGrad", "Cast", "amp_cast"}
_READERS = {"Convolution": _convolution, "FullyConnected": _fully_connected}

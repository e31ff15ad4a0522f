"""Every convolution and fully connected layer of a graph as a LayerSpec, with the reason when it must stay."""
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Callable, Optional

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv, SubDeconv, SubFC
from accnn.graph import attrs, passing
from accnn.graph.shapes import infer_shapes
from accnn.graph.subgraphs import BLIND, subgraphs


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
        In topological order, those inside loops and branches behind each other where these are. A layer that the graph
        does not allow to be replaced carries its `refusal`.

    Raises
    ------
    AccnnError
        The graph is quantised or fused already; shapes and checkpoint contradict each other.
    """
    return list(_specs(model, infer_shapes(model, input_shapes)))


def kernel(model, spec):
    """ndarray of shape ``spec.part.weight_shape``: the weight of a layer of known shape."""
    return spec.part.kernel_of(model.weight(spec.weight))


def _specs(model, shapes, outside=None):
    """Yield the LayerSpecs of a graph; `outside`: why none of them can be replaced."""
    _refuse_quantised(model)
    readers = model.graph.consumers()
    names = Counter(node.name for node in model.graph.nodes)
    for node in model.graph.nodes:
        operator = _OPERATORS.get(node.op)
        if operator:
            refusal = outside or operator.refusal or _graph_refusal(model, node, readers, names)
            yield _described(model, node, operator, shapes, refusal)
        for inner in subgraphs(node, shapes):
            for spec in _specs(replace(model, graph=inner.graph), inner.shapes, outside or "runs " + inner.said):
                yield replace(spec, name="%s/%s" % (node.name, spec.name), repeats=spec.repeats * inner.runs)


def _refuse_quantised(model):
    for node in model.graph.nodes:
        if node.op.startswith(("_sg_mkldnn", "_sg_onednn")) or "quantize" in node.op:
            raise AccnnError("%s is quantised or fused already (%r is a %s): accelerate the float checkpoint it was "
                             "made from, then quantise" % (model.prefix, node.name, node.op))


# ---- Why the graph itself forbids to replace a layer

def _graph_refusal(model, node, readers, names):
    """The reason, or None."""
    if names[node.name] > 1:
        return "another layer has the same name"
    if len(node.inputs) < 2:
        return "it has no weight"
    reasons = (_parameter_refusal(model, node, entry, readers, word)
               for word, entry in zip(("weight", "bias"), node.inputs[1:]))
    return next(filter(None, reasons), None)


def _parameter_refusal(model, node, entry, readers, word):
    graph, (end, _) = model.graph, passing.origin(model.graph, entry)
    parameter = graph.nodes[end[0]]
    if not parameter.is_variable:
        return "its %s is computed by %r" % (word, parameter.name)
    if parameter.name not in model.arg_params:
        return "the checkpoint has no parameter %s" % parameter.name
    if np.dtype(model.arg_params[parameter.name].dtype) not in _FLOATS:
        return "its parameter %s is no float16, float32 or float64" % parameter.name
    heads = {head[0] for head in graph.heads}
    for position in _path(graph, entry):
        if len(readers[position]) > 1:
            others = {graph.nodes[reader].name for reader in readers[position]} - {node.name}
            return "shares %s with %s" % (parameter.name, ", ".join(sorted(others)) or "itself")
        if position in heads:
            return "its %s is an output of the network" % graph.nodes[position].name
    return None


def _path(graph, entry):
    """Positions from an entry back to its origin, both included."""
    _, between = passing.origin(graph, entry)
    position = entry[0]
    for _ in between:
        yield position
        position = graph.nodes[position].inputs[0][0]
    yield position


# ---- How the operators are read

@dataclass(frozen=True)
class _Operator:
    """How a layer of one operator is read.

    Attributes
    ----------
    part : callable
        ``part(node, shape, bias)``: what the layer computes from an input of `shape`, with the batch.
    weight : int
        Which of its inputs the weight is; the bias is the next one.
    refusal : str or None
        Why no such layer can be replaced.
    convolves : bool
        Whether it has a kernel, and a layout.
    """

    part: Callable
    weight: int = 1
    refusal: Optional[str] = None
    convolves: bool = True


def _described(model, node, operator, shapes, refusal):
    shape = node.inputs and shapes.get(node.inputs[0][:2])
    if operator.convolves:
        _refuse_axes(model, node, shape)
        refusal = refusal or _shape_refusal(node)
        if attrs.layout(node) and not attrs.layout(node).startswith("NC"):
            shape = shape and shape[:1] + shape[-1:] + shape[1:-1]
    parameters = node.inputs[operator.weight:]
    part = operator.part(node, shape, len(parameters) > 1) if shape else None
    refusal = refusal or (None if part else _unknown(model.graph, shapes))
    return _spec(model, node, part, shape, refusal, parameters, shapes.batch,
                 _maps_read(model.graph, node, part, shapes))


def _refuse_axes(model, node, shape):
    axes = len(attrs.shape(node, "kernel", ()))
    if shape and len(shape) != axes + 2:
        raise AccnnError("%s: the layer %r has a kernel of %d axes and reads a shape of %d, batch included: the symbol "
                         "is damaged, or give the right `input_shapes`" % (model.prefix, node.name, axes, len(shape)))


def _shape_refusal(node):
    dimensions = len(attrs.shape(node, "kernel", ()))
    if dimensions != 2:
        return "%d-D convolution: only 2-D ones are split" % dimensions
    layout = attrs.layout(node)
    return "layout %s: only NCHW is split" % layout if layout and not layout.startswith("NC") else None


def _unknown(graph, shapes):
    blind = [node.name for place, node in enumerate(graph.nodes) if node.op in BLIND and (place, 0) not in shapes]
    return "its input shape is unknown: " + ("MXNet infers none behind %r" % blind[0] if blind else
                                             "give `input_shapes`")


def _convolution(node, shape, bias):
    return SubConv("", shape[1], attrs.integer(node, "num_filter"), groups=attrs.integer(node, "num_group", 1),
                   bias=bias, op=node.op, **_spatial(node, stride=1, pad=0, dilate=1))


def _deconvolution(node, shape, bias):
    part = SubDeconv("", shape[1], attrs.integer(node, "num_filter"), groups=attrs.integer(node, "num_group", 1),
                     bias=bias, **_spatial(node, stride=1, pad=0, dilate=1, adj=0))
    target = attrs.shape(node, "target_shape", ())
    return _cropped(part, shape[2:], target) if any(target) else part


def _spatial(node, **defaults):
    kernel = attrs.shape(node, "kernel", ())
    return dict({name: attrs.shape(node, name, (value,) * len(kernel)) for name, value in defaults.items()},
                kernel=kernel)


def _cropped(part, sizes, target):
    """The part with the pad and adj that MXNet chooses for an output of the size `target`."""
    none = (0,) * len(sizes)
    whole = replace(part, pad=none, adj=none).out_shape((part.in_channels,) + tuple(sizes))[1:]
    over = [full - wanted for full, wanted in zip(whole, target)]
    return replace(part, pad=tuple((more + 1) // 2 for more in over), adj=tuple(more % 2 for more in over))


def _fully_connected(node, shape, bias):
    flatten = attrs.boolean(node, "flatten", True)
    return SubFC("", prod(shape[1:]) if flatten else shape[-1], attrs.integer(node, "num_hidden"), bias, flatten)


def _maps_read(graph, node, part, shapes):
    """The shape of the feature maps whose flattening a fully connected layer reads; None elsewhere."""
    return _maps(graph, node.inputs[0][:2], shapes) if isinstance(part, SubFC) and part.flatten else None


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


def _spec(model, node, part, shape, refusal, parameters, batch, maps):
    found = [passing.origin(model.graph, entry) for entry in parameters[:2]]
    weight, bias = ([model.graph.nodes[end[0]].name for end, _ in found] + [None, None])[:2]
    if refusal is None:
        _check_shape(model, node, part, weight, found[0][1])
    return LayerSpec(node.name, part, shape and tuple(shape[1:]), weight, bias, node.op, refusal,
                     _repeats(shape[0], batch) if shape else 1, maps,
                     passing.precision(found[0][1]) if found else None)


def _repeats(rows, batch):
    return Fraction(rows, batch) if rows % batch else rows // batch


def _check_shape(model, node, part, weight, between):
    """Refuse a weight of another shape, or, where operators reshape it, of another size."""
    shape, wanted = tuple(model.arg_params[weight].shape), part.stored_shape
    if shape != wanted and not (between and prod(shape) == prod(wanted)):
        raise AccnnError("the parameter %r of %s has the shape %s, but the layer %r needs %s: the checkpoint belongs "
                         "to another symbol" % (weight, model.prefix, shape, node.name, wanted))


_FLOATS = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))
_KEEP_PLACES = {"Flatten", "Reshape", "expand_dims", "squeeze", "Dropout", "Activation", "LeakyReLU", "relu", "sigmoid",
                "tanh", "clip", "_copy", "BlockGrad", "Cast", "amp_cast"}
_DEFORMABLE = "deformable: where it reads depends on the image, so that no chain of plain convolutions does the same"
_OPERATORS = {
    "Convolution": _Operator(_convolution),
    "Convolution_v1": _Operator(_convolution),
    "Deconvolution": _Operator(_deconvolution),
    "_contrib_DeformableConvolution": _Operator(_convolution, 2, _DEFORMABLE),
    "_contrib_ModulatedDeformableConvolution": _Operator(_convolution, 3, _DEFORMABLE),
    "FullyConnected": _Operator(_fully_connected, convolves=False),
}

"""Sums and such over axes, and where the largest number is."""
import numpy as np

from accnn.exporting.registry import converts

_KINDS = {"sum": "Sum", "mean": "Mean", "max": "Max", "min": "Min", "prod": "Prod"}


@converts(*_KINDS, "nansum")
def reduction(layer):
    """``ReduceSum`` and such over `axis`, or with `exclude` over all others; over all axes where it names none."""
    kind, x = layer.node.op, layer.x
    if kind == "nansum":
        kind = "sum"
        x = layer.add("Where", layer.add("IsNaN", x), layer.scalar(0), x)
    return _reduced(layer, _KINDS[kind], x, axes_of(layer))


def axes_of(layer):
    """list of int: the axes that a reduction takes."""
    ndim = layer.x.ndim
    named = [axis % ndim for axis in layer.numbers("axis") if axis is not None]
    if not named:
        return list(range(ndim))
    return [axis for axis in range(ndim) if (axis in named) != layer.boolean("exclude")]


def _reduced(layer, kind, x, axes):
    """MXNet leaves an axis of size 1 where all are taken and none is to be kept."""
    keepdims = layer.boolean("keepdims")
    if len(axes) < layer.x.ndim or keepdims:
        return layer.reduce(kind, x, axes, keepdims) if axes else x
    return layer.add("Reshape", layer.reduce(kind, x, axes, False), np.array([1], np.int64))


@converts("norm")
def norm(layer):
    """The sum of absolute values, or the root of that of squares."""
    if layer.integer("ord", 2) == 1:
        return _reduced(layer, "Sum", layer.add("Abs", layer.x), axes_of(layer))
    squares = layer.add("Mul", layer.x, layer.x)
    return layer.add("Sqrt", _reduced(layer, "Sum", squares, axes_of(layer)))


@converts("argmax", "argmin", "argmax_channel")
def place(layer):
    """``ArgMax`` and ``ArgMin``, as a float, which is MXNet's type of places."""
    kind, x = "ArgMin" if layer.node.op == "argmin" else "ArgMax", layer.x
    if layer.node.op == "argmax_channel":
        return layer.cast(layer.add(kind, x, axis=1, keepdims=0), layer.dtype)
    if layer.text("axis") is None:
        flat = layer.add("Reshape", x, np.array([-1], np.int64))
        return layer.reshape(layer.cast(layer.add(kind, flat, axis=0, keepdims=1), layer.dtype), layer.shape)
    found = layer.add(kind, x, axis=layer.axis(), keepdims=int(layer.boolean("keepdims")))
    return layer.reshape(layer.cast(found, layer.dtype), layer.shape)


@converts("topk", "sort", "argsort")
def ranked(layer):
    """``TopK`` of an axis: values, places, or both."""
    op, x = layer.node.op, layer.x
    if layer.text("axis", "-1") == "None" or layer.node.attrs.get("axis") == "None":
        raise layer.refused("axis=None")
    axis = layer.axis(default=-1)
    size = x.shape[axis]
    count = (layer.integer("k", 1) if op == "topk" else 0) or size
    ascending = layer.boolean("is_ascend", op != "topk")
    values, places = layer.add("TopK", x, np.array([count], np.int64), outputs=2, axis=axis,
                               largest=int(not ascending))
    kind = {"sort": "value", "argsort": "indices"}.get(op) or layer.text("ret_typ", "indices")
    if kind == "mask":
        raise layer.refused("ret_typ=mask")
    if kind == "value":
        return values
    places = layer.cast(places, layer.node.attrs.get("dtype", "float32"))
    return [values, places] if kind == "both" else places

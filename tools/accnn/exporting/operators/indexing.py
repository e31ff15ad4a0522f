"""Rows picked by numbers, which MXNet keeps as floats."""
import numpy as np

from accnn.exporting.registry import converts


def _places(layer, indices, size, mode):
    """Indices as whole numbers within an axis."""
    places = layer.cast(indices, "int64")
    if mode == "wrap":
        return layer.add("Mod", places, np.array(size, np.int64))
    if mode == "clip":
        return layer.add("Clip", places, np.array(0, np.int64), np.array(size - 1, np.int64))
    return places


@converts("Embedding")
def embedding(layer):
    """``Gather`` of rows; a number beyond the rows takes the nearest."""
    indices, weight = layer.inputs
    return layer.add("Gather", weight, _places(layer, indices, weight.shape[0], "clip"), axis=0)


@converts("take")
def take(layer):
    """``Gather`` along an axis; a number beyond it is clipped, or counts round."""
    data, indices = layer.inputs
    axis = layer.axis(default=0)
    if data.shape.factors[axis]:
        raise layer.refused("an open batch, from which it picks", "fix that, as in `batch_size=2`")
    return layer.add("Gather", data, _places(layer, indices, data.shape[axis], layer.text("mode", "clip")), axis=axis)


@converts("where")
def where(layer):
    """``Where``; a condition of one axis picks rows."""
    condition, one, other = layer.inputs
    truth = layer.cast(condition, "bool")
    if condition.ndim == 1 and one.ndim > 1:
        truth = layer.unsqueeze(truth, range(1, one.ndim))
    return layer.add("Where", truth, one, other)


@converts("one_hot")
def one_hot(layer):
    """``OneHot``."""
    ends = np.array([layer.number("off_value", 0.0), layer.number("on_value", 1.0)], layer.dtype)
    places = layer.cast(layer.x, "int64")
    depth = layer.integer("depth")
    known = layer.add("And", layer.add("GreaterOrEqual", places, np.array(0, np.int64)),
                      layer.add("Less", places, np.array(depth, np.int64)))
    inside = layer.add("Where", known, places, np.array(depth, np.int64))  # ONNX counts -1 from the end, MXNet does not
    return layer.add("OneHot", inside, np.array(depth, np.int64), ends, axis=-1)


@converts("pick")
def pick(layer):
    """``GatherElements`` of one place for each row."""
    data, index = layer.inputs
    axis = layer.axis(default=-1)
    places = _places(layer, index, data.shape[axis], layer.text("mode", "clip"))
    if index.ndim < data.ndim:
        places = layer.unsqueeze(places, [axis])
    return layer.reshape(layer.add("GatherElements", data, places, axis=axis), layer.shape)


@converts("gather_nd")
def gather_nd(layer):
    """``GatherND``, whose places lie in the last axis where MXNet has them in the first."""
    data, indices = layer.inputs
    order = [*range(1, indices.ndim), 0]
    return layer.add("GatherND", data, layer.cast(layer.transpose(indices, order), "int64"))

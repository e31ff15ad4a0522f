"""Shapes changed, axes moved, arrays joined and repeated."""
import numpy as np

from accnn.exporting.layer import filled
from accnn.exporting.registry import converts


@converts("Flatten", "Reshape", "reshape_like", inputs=1)
def reshape(layer):
    """MXNet's inference says the shape, whatever 0, -1, -2, -3, -4 and `reverse` say."""
    return layer.reshape(layer.x, layer.shape)


@converts("expand_dims")
def expand_dims(layer):
    """``Unsqueeze``."""
    return layer.unsqueeze(layer.x, [layer.integer("axis") % (layer.x.ndim + 1)])


@converts("squeeze")
def squeeze(layer):
    """``Squeeze``: the axes named, or all of size 1."""
    shape, named = layer.x.shape, layer.numbers("axis", ())
    axes = [axis % len(shape) for axis in named if axis is not None] or [
        axis for axis, size in enumerate(shape) if size == 1]
    return layer.squeeze(layer.x, axes) if len(axes) < len(shape) else layer.reshape(layer.x, layer.shape)


@converts("transpose")
def transpose(layer):
    """``Transpose``; without `axes` in the reverse order."""
    axes = [axis % layer.x.ndim for axis in layer.numbers("axes")] or list(range(layer.x.ndim))[::-1]
    return layer.transpose(layer.x, axes)


@converts("SwapAxis")
def swap_axes(layer):
    """``Transpose`` of two axes."""
    order = list(range(layer.x.ndim))
    one, other = layer.axis("dim1", 0), layer.axis("dim2", 0)
    order[one], order[other] = other, one
    return layer.transpose(layer.x, order)


@converts("Concat")
def concat(layer):
    """``Concat``."""
    return layer.add("Concat", *layer.inputs, axis=layer.axis("dim", 1)) if len(layer.inputs) > 1 else layer.x


@converts("stack")
def stack(layer):
    """Inputs with one more axis, joined along it."""
    axis = layer.integer("axis", 0) % (layer.x.ndim + 1)
    return layer.add("Concat", *(layer.unsqueeze(x, [axis]) for x in layer.inputs), axis=axis)


@converts("Pad")
def pad(layer):
    """``Pad``, its widths in pairs in MXNet and first all beginnings, then all ends in ONNX."""
    widths = layer.sizes("pad_width")
    mode = layer.text("mode", "constant")
    fill = layer.scalar(layer.number("constant_value", 0.0)) if mode == "constant" else None
    around = np.array(widths[::2] + widths[1::2], np.int64)
    return layer.add("Pad", layer.x, around, *([] if fill is None else [fill]), mode=mode)


@converts("tile")
def tile(layer):
    """``Tile``, of an input with axes of size 1 in front where there are more repetitions than axes."""
    times, x, ndim = layer.sizes("reps"), layer.x, layer.x.ndim
    if len(times) > ndim:
        x = layer.unsqueeze(x, range(len(times) - ndim))
    return layer.add("Tile", x, np.array((1,) * (ndim - len(times)) + times, np.int64))


@converts("repeat")
def repeat(layer):
    """Every element several times: one more axis, repeated, and merged with the one before."""
    x, times = layer.x, layer.integer("repeats")
    if layer.text("axis") is None:
        axis, x = 0, layer.reshape(x, x.shape.product())
        ndim = 1
    else:
        axis, ndim = layer.axis(), x.ndim
    counts = [times if place == axis + 1 else 1 for place in range(ndim + 1)]
    return layer.reshape(layer.add("Tile", layer.unsqueeze(x, [axis + 1]), np.array(counts, np.int64)), layer.shape)


@converts("broadcast_to", "broadcast_axis", "broadcast_like")
def broadcast(layer):
    """``Expand`` to the shape that MXNet infers."""
    return layer.add("Expand", layer.x, layer.sizes_of(layer.shape))


@converts("reverse")
def reverse(layer):
    """``Slice`` with steps of -1."""
    axes = [axis % layer.x.ndim for axis in layer.numbers("axis")]
    return layer.slice(layer.x, [-1] * len(axes), [-(1 << 31)] * len(axes), axes, [-1] * len(axes))


@converts("depth_to_space")
def depth_to_space(layer):
    """``DepthToSpace``."""
    return layer.add("DepthToSpace", layer.x, blocksize=layer.integer("block_size"), mode="DCR")


@converts("space_to_depth")
def space_to_depth(layer):
    """``SpaceToDepth``."""
    return layer.add("SpaceToDepth", layer.x, blocksize=layer.integer("block_size"))


@converts("_copy", "BlockGrad", "_identity_with_attr_like_rhs", inputs=1)
def identity(layer):
    """What it reads."""
    return layer.x


@converts("Dropout")
def dropout(layer):
    """What it reads; with ``mode=always`` it would draw at inference, too."""
    if layer.text("mode", "training") == "always":
        raise layer.refused("mode=always")
    return [layer.x, None]


@converts("Cast", "amp_cast")
def cast(layer):
    """``Cast``."""
    return layer.x if layer.x.dtype == layer.dtype else layer.cast(layer.x, layer.dtype)


@converts("amp_multicast")
def amp_multicast(layer):
    """Every input in one type."""
    return [x if x.dtype == layer.dtype else layer.cast(x, layer.dtype) for x in layer.inputs]


@converts("zeros_like", "ones_like", "_zeros", "_ones", "_full")
def one_number(layer):
    """One number everywhere, in the shape of the batch."""
    return filled(layer, {"ones_like": 1.0, "_ones": 1.0, "_full": layer.number("value", 0.0)}.get(layer.node.op, 0.0))

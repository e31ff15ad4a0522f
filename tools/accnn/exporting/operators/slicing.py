"""Parts of arrays."""
import numpy as np

from accnn.exporting.registry import converts

_LAST = (1 << 31) - 1


@converts("slice")
def slice_(layer):
    """``Slice``; None in `begin` and `end` is where the axis starts and ends in the direction of its step."""
    begin, end, step = (layer.numbers(key) for key in ("begin", "end", "step"))
    step = [one or 1 for one in step] + [1] * (len(begin) - len(step))
    starts = [one if one is not None else 0 if by > 0 else _LAST for one, by in zip(begin, step)]
    ends = [one if one is not None else _LAST if by > 0 else -_LAST for one, by in zip(end, step)]
    cut = [axis for axis in range(len(begin)) if (begin[axis], end[axis], step[axis]) not in ((None, None, 1),
                                                                                          (0, None, 1))]
    if not cut:
        return layer.x
    return layer.slice(layer.x, *([values[axis] for axis in cut] for values in (starts, ends)), cut,
                       [step[axis] for axis in cut])


@converts("slice_axis")
def slice_axis(layer):
    """``Slice`` of one axis."""
    end = layer.integer("end", _LAST)
    return layer.slice(layer.x, [layer.integer("begin")], [end], [layer.axis()])


@converts("slice_like", inputs=2)
def slice_like(layer):
    """``Slice`` to the sizes of another array."""
    data, like = layer.inputs
    axes = [axis % data.ndim for axis in layer.numbers("axes")] or range(data.ndim)
    axes = [axis for axis in axes if tuple(data.shape.take([axis])) != tuple(like.shape.take([axis]))]
    for axis in axes:
        if like.shape.factors[axis]:
            raise layer.refused("an open batch, to which it cuts", "fix that, as in `batch_size=2`")
    return layer.slice(data, [0] * len(axes), [like.shape[axis] for axis in axes], axes) if axes else data


@converts("SliceChannel")
def slice_channel(layer):
    """``Split`` in equal parts."""
    axis, count = layer.axis(default=1), layer.integer("num_outputs")
    parts = _split(layer, axis, [layer.x.shape[axis] // count] * count)
    return [layer.squeeze(part, [axis]) for part in parts] if layer.boolean("squeeze_axis") else parts


def _split(layer, axis, sizes):
    if layer.x.shape.factors[axis]:
        raise layer.refused("an open batch, which it splits", "fix that, as in `batch_size=2`")
    if len(sizes) == 1:
        return [layer.x]
    return layer.add("Split", layer.x, np.array(sizes, np.int64), outputs=len(sizes), axis=axis)


@converts("_split_v2")
def split(layer):
    """``Split`` at given places, or in `sections`."""
    axis, sections = layer.axis(default=0), layer.integer("sections", 0)
    size = layer.x.shape[axis]
    if sections:
        sizes = [size // sections] * sections
    else:
        places = list(layer.sizes("indices"))
        places = places if places[:1] == [0] else [0] + places
        sizes = [end - begin for begin, end in zip(places, places[1:] + [size])]
    parts = _split(layer, axis, sizes)
    return [layer.squeeze(part, [axis]) for part in parts] if layer.boolean("squeeze_axis") else parts


@converts("Crop", inputs=2)
def crop(layer):
    """A window of height and width: at `offset`, or in the middle."""
    sizes, whole = layer.shape[2:], layer.x.shape[2:]
    offset = layer.sizes("offset", (0, 0))
    if layer.boolean("center_crop"):
        offset = tuple((before - after) // 2 for before, after in zip(whole, sizes))
    if tuple(sizes) == tuple(whole):
        return layer.x
    return layer.slice(layer.x, offset, [start + size for start, size in zip(offset, sizes)], [2, 3])

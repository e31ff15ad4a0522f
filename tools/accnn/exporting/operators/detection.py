"""The ends of detectors: boxes decoded, sorted, and left out where a better one overlaps them.

A box is (xmin, ymin, xmax, ymax), `corner`, or (x, y, width, height), `center`.
"""
from dataclasses import dataclass

import numpy as np

from accnn.exporting.registry import converts
from accnn.exporting.sizes import Shape

_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class _Ranked:
    """Rows of boxes in the order of falling scores: tensors of shape (batch, rows, ...)."""

    rows: str
    keys: str
    shape: Shape


@converts("_contrib_box_nms")
def box_nms(layer):
    """The boxes that remain, by falling scores, then rows of -1."""
    width, start = layer.x.shape[-1], layer.integer("coord_start", 2)
    shape, most = _flat(layer.x.shape), layer.integer("topk", -1)
    data = layer.reshape(layer.x, shape)
    count = min(most, shape[1]) if most > 0 else shape[1]
    ranked = _taken(layer, data, _valid_keys(layer, data), shape.replaced(1, count))
    boxes = _corners(layer, _columns(layer, ranked.rows, start, 4), layer.text("in_format", "corner"))
    classes = layer.integer("id_index", -1)
    apart = classes >= 0 and not layer.boolean("force_suppress")
    groups = _columns(layer, ranked.rows, classes, 1) if apart else None
    kept = _kept(layer, ranked, boxes, groups, layer.number("overlap_thresh", 0.5))
    rows = _converted(layer, ranked.rows, boxes, start, width)
    # What remains moves to the front: ranked once more, with what does not at the end.
    again = _taken(layer, rows, layer.add("Where", kept, ranked.keys, layer.scalar(_LOWEST)), ranked.shape)
    found = layer.add("Where", _as_column(layer, layer.add("Greater", again.keys, layer.scalar(_LOWEST))), again.rows,
                      layer.scalar(-1))
    if count < shape[1]:
        behind = np.array([0, 0, 0, 0, shape[1] - count, 0], np.int64)
        found = layer.add("Pad", found, behind, layer.scalar(-1))
    return [layer.reshape(found, layer.shape), None]


def _flat(shape):
    """Shape: (batch, rows, numbers), all axes before the last two being the batch."""
    return shape.take(range(len(shape) - 2)).product().joined(shape.take([-2, -1]))


def _columns(layer, rows, start, count):
    return layer.slice(rows, [start], [start + count], [2])


def _column(layer, rows, place):
    return layer.squeeze(_columns(layer, rows, place, 1), [2])


def _as_column(layer, numbers):
    return layer.unsqueeze(numbers, [2])


def _valid_keys(layer, data):
    """The scores, but the lowest number there is for what is no box to begin with."""
    scores = _column(layer, data, layer.integer("score_index", 1))
    valid = layer.add("Greater", scores, layer.scalar(layer.number("valid_thresh", 0.0)))
    background, classes = layer.integer("background_id", -1), layer.integer("id_index", -1)
    if classes >= 0 and background >= 0:
        other = layer.add("Not", layer.add("Equal", _column(layer, data, classes), layer.scalar(background)))
        valid = layer.add("And", valid, other)
    return layer.add("Where", valid, scores, layer.scalar(_LOWEST))


def _taken(layer, rows, keys, shape):
    """_Ranked: as many rows as `shape` says, by falling keys."""
    keys, places = layer.add("TopK", keys, np.array([shape[1]], np.int64), outputs=2, axis=1, largest=1)
    wide = layer.add("Expand", _as_column(layer, places), layer.sizes_of(shape))
    return _Ranked(layer.add("GatherElements", rows, wide, axis=1), keys, shape)


def _corners(layer, boxes, form):
    if form == "corner":
        return boxes
    middle, size = _columns(layer, boxes, 0, 2), _columns(layer, boxes, 2, 2)
    half = layer.add("Mul", size, layer.scalar(0.5))
    return layer.add("Concat", layer.add("Sub", middle, half), layer.add("Add", middle, half), axis=2)


def _centres(layer, boxes):
    low, high = _columns(layer, boxes, 0, 2), _columns(layer, boxes, 2, 2)
    middle = layer.add("Mul", layer.add("Add", low, high), layer.scalar(0.5))
    return layer.add("Concat", middle, layer.add("Sub", high, low), axis=2)


def _converted(layer, rows, boxes, start, width):
    """Rows with their boxes in `out_format`."""
    into = layer.text("out_format", "corner")
    if into == layer.text("in_format", "corner"):
        return rows
    parts = [_columns(layer, rows, 0, start)] if start else []
    parts.append(boxes if into == "corner" else _centres(layer, boxes))
    parts += [_columns(layer, rows, start + 4, width - start - 4)] if width > start + 4 else []
    return layer.add("Concat", *parts, axis=2)


def _kept(layer, ranked, boxes, groups, overlap):
    """Which rows remain, of shape (batch, rows): those of different groups, moved apart, do not overlap."""
    if groups is not None:
        reach = layer.add("Sub", layer.add("ReduceMax", boxes, keepdims=0), layer.add("ReduceMin", boxes, keepdims=0))
        step = layer.add("Add", reach, layer.scalar(1))
        boxes = layer.add("Add", boxes, layer.add("Mul", groups, step))
    rows = np.array([ranked.shape[1]], np.int64)
    chosen = layer.add("NonMaxSuppression", boxes, layer.unsqueeze(ranked.keys, [1]), rows,
                       np.array([overlap], np.float32), np.array([_LOWEST], np.float32))
    places = layer.add("Gather", chosen, np.array([0, 2], np.int64), axis=1)
    none = layer.add("Mul", ranked.keys, layer.scalar(0))
    ones = layer.add("Expand", layer.scalar(1), layer.slice(layer.add("Shape", places), [0], [1], [0]))
    return layer.cast(layer.add("ScatterND", none, places, ones), "bool")


@converts("_contrib_box_decode")
def box_decode(layer):
    """Boxes of the distances from their anchors, in units of `std`."""
    data, anchors = layer.inputs
    stds = np.array([layer.number("std%d" % place, 1.0) for place in range(4)], layer.x.dtype)
    scaled = layer.add("Mul", data, stds)
    if layer.text("format", "center") == "corner":
        anchors = _centres(layer, anchors)
    middles, sizes = _columns(layer, anchors, 0, 2), _columns(layer, anchors, 2, 2)
    return _decoded(layer, scaled, middles, sizes, layer.number("clip", -1.0))


def _decoded(layer, distances, middles, sizes, most=-1.0):
    """Boxes by the distances of their middles, in sizes, and the logarithms of their sizes, `most` at most."""
    moved = layer.add("Add", layer.add("Mul", _columns(layer, distances, 0, 2), sizes), middles)
    growth = _columns(layer, distances, 2, 2)
    growth = layer.add("Min", growth, layer.scalar(most)) if most > 0 else growth
    size = layer.add("Mul", layer.add("Exp", growth), sizes)
    return _corners(layer, layer.add("Concat", moved, size, axis=2), "center")


@converts("_contrib_MultiBoxDetection")
def multi_box_detection(layer):
    """Rows of class, score and box by falling scores; the class of a box that a better one overlaps is -1.

    With `nms_topk`, MXNet leaves behind the best the rows that were there before it sorted, in the order of anchors.
    """
    scores, shape = layer.inputs[0], layer.shape
    best = layer.slice(scores, [1], [scores.shape[1]], [1])  # class 0 is the background
    score = layer.reduce("Max", best, [1], False)
    number = layer.cast(layer.add("ArgMax", best, axis=1, keepdims=0), layer.dtype)
    valid = layer.add("GreaterOrEqual", score, layer.scalar(layer.number("threshold", 0.01)))
    rows = layer.add("Concat", _as_column(layer, number), _as_column(layer, score), _anchored(layer), axis=2)
    order = np.arange(shape[1], 0, -1, dtype=np.float32)[None]
    before = _taken(layer, rows, layer.add("Where", valid, order, layer.scalar(_LOWEST)), shape)
    overlap = layer.number("nms_threshold", 0.5)
    if not 0 < overlap <= 1:
        return _valid_rows(layer, before, before.rows)
    most = layer.integer("nms_topk", -1)
    count = min(most, shape[1]) if most > 0 else shape[1]
    ranked = _taken(layer, rows, layer.add("Where", valid, score, layer.scalar(_LOWEST)), shape.replaced(1, count))
    groups = None if layer.boolean("force_suppress") else _columns(layer, ranked.rows, 0, 1)
    kept = _kept(layer, ranked, _columns(layer, ranked.rows, 2, 4), groups, overlap)
    found = _valid_rows(layer, ranked, _without_class(layer, ranked.rows, kept))
    if count == shape[1]:
        return found
    rest = _valid_rows(layer, before, _without_class(layer, before.rows))
    return layer.add("Concat", found, layer.slice(rest, [count], [shape[1]], [1]), axis=1)


def _anchored(layer):
    """The boxes that the second input says, by distances from the anchors, which are the third."""
    _, places, anchors = layer.inputs
    variances = layer.node.attrs.get("variances", "(0.1, 0.1, 0.2, 0.2)").strip("()[] ").split(",")
    distances = layer.reshape(places, layer.shape.take([0, 1]).joined(Shape((4,))))
    scaled = layer.add("Mul", distances, np.array(variances[:4], layer.x.dtype))
    centred = _centres(layer, anchors)
    boxes = _decoded(layer, scaled, _columns(layer, centred, 0, 2), _columns(layer, centred, 2, 2))
    return layer.add("Clip", boxes, layer.scalar(0), layer.scalar(1)) if layer.boolean("clip", True) else boxes


def _without_class(layer, rows, kept=None):
    """Rows whose class is -1, but for those that are kept."""
    classes, rest = _columns(layer, rows, 0, 1), _columns(layer, rows, 1, 5)
    none = layer.add("Sub", layer.add("Mul", classes, layer.scalar(0)), layer.scalar(1))
    classes = none if kept is None else layer.add("Where", _as_column(layer, kept), classes, none)
    return layer.add("Concat", classes, rest, axis=2)


def _valid_rows(layer, ranked, rows):
    """Rows, all of them -1 where the key is the lowest."""
    there = layer.add("Greater", ranked.keys, layer.scalar(_LOWEST))
    return layer.add("Where", _as_column(layer, there), rows, layer.scalar(-1))

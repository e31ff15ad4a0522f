"""What a layer reads and answers at some places, cut out of whole feature maps: plain NumPy, no network."""
import zlib
from math import prod

import numpy as np

from accnn.core.layers import CONVOLUTION, FULLY_CONNECTED, SubDeconv

_CHUNK = 1 << 24  # bytes that the marks of some images may take at a time


def available(spec):
    """Number of places of one image at which a layer evaluates all its outputs."""
    return spec.repeats * spec.part.places(spec.in_shape)


def draw(spec, count, positions, seed):
    """Draw distinct places for every image.

    Parameters
    ----------
    spec : LayerSpec
    count : int
        Images.
    positions : int
        Places of every image; all in order where there are no more.
    seed : int

    Returns
    -------
    ndarray of int64, shape (count, p)
        Ascending numbers below ``spec.repeats`` times the places of the output, the last axis counting fastest. The
        same for the same seed, layer name and count.
    """
    total = available(spec)
    if total <= positions:
        return np.tile(np.arange(total), (count, 1))
    generator = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
    chunk = max(1, _CHUNK // total)
    drawn = [_distinct(generator, min(chunk, count - first), total, positions) for first in range(0, count, chunk)]
    return np.concatenate(drawn) if drawn else np.empty((0, positions), np.int64)


def _distinct(generator, rows, total, positions):
    """Floyd's algorithm, all rows at a time: uniform subsets in as many steps as they have members."""
    marks, every = np.zeros((rows, total), bool), np.arange(rows)
    for newest in range(total - positions, total):
        picked = generator.integers(newest + 1, size=rows)
        picked[marks[every, picked]] = newest
        marks[every, picked] = True
    return np.nonzero(marks)[1].reshape(rows, positions)


def patches(inputs, spec, at):
    """Cut out what a layer reads at some places: a group's weights times it, plus the bias, are its responses.

    Parameters
    ----------
    inputs : ndarray
        What the layer reads, ``spec.repeats`` rows for every image.
    spec : LayerSpec
    at : ndarray of int, shape (images, p)
        Places, as :func:`accnn.reconstruction.patches.draw` numbers them.

    Returns
    -------
    ndarray of float32, shape (images * p, groups, values)
        Image by image. Values are in the order of ``weight.reshape(outputs, -1)``; zeros where the padding is.
    """
    part = spec.part
    rows, places = _rows(spec, at)
    if part.kind == FULLY_CONNECTED:
        found = inputs.reshape(-1, part.in_units)[_vectors(spec, rows, places)]
    else:
        places, inside = _taps(part, spec.in_shape, places)
        maps = inputs.reshape(inputs.shape[:2] + (-1,))
        found = maps[rows[:, np.newaxis], :, places]
        found[~inside] = 0
        found = found.transpose(0, 2, 1)
    return np.ascontiguousarray(found, np.float32).reshape((-1,) + part.patch_shape)


def responses(outputs, spec, at):
    """Take what a layer answers at some places.

    Parameters
    ----------
    outputs : ndarray
        What the layer computes, ``spec.repeats`` rows for every image.
    spec : LayerSpec
    at : ndarray of int, shape (images, p)

    Returns
    -------
    ndarray of float32, shape (images * p, outputs of the layer)
    """
    part = spec.part
    rows, places = _rows(spec, at)
    if part.kind == CONVOLUTION:
        found = outputs.reshape(outputs.shape[:2] + (-1,))[rows, :, places]
    else:
        found = outputs.reshape(-1, part.out_units)[_vectors(spec, rows, places)]
    return np.ascontiguousarray(found, np.float32)


def _rows(spec, at):
    """The row that every place lies in, and its number there."""
    rows, places = np.divmod(at, spec.part.places(spec.in_shape))
    rows = rows + spec.repeats * np.arange(len(at))[:, np.newaxis]
    return rows.ravel(), places.ravel()


def _vectors(spec, rows, places):
    return rows * spec.part.places(spec.in_shape) + places


def _taps(part, in_shape, places):
    """Where the kernel touches the input: flat places of shape (n, kernel size), and which lie inside of it.

    Those outside are 0, so that they can be read and forgotten.
    """
    starts = np.unravel_index(places, part.out_shape(in_shape)[1:])
    offsets = np.unravel_index(np.arange(prod(part.kernel)), part.kernel)
    flat, inside, read = 0, True, _read_transposed if isinstance(part, SubDeconv) else _read
    for size, start, offset, stride, pad, dilate in zip(in_shape[1:], starts, offsets, part.stride, part.pad,
                                                        part.dilate):
        axis, there = read(start[:, np.newaxis], offset, stride, pad, dilate)
        inside = inside & there & (axis >= 0) & (axis < size)
        flat = flat * size + axis
    return np.where(inside, flat, 0), inside


def _read(start, offset, stride, pad, dilate):
    """Which input an output reads with a place of the kernel, along one axis, and whether there is one."""
    return start * stride + offset * dilate - pad, True


def _read_transposed(start, offset, stride, pad, dilate):
    """The same of a transposed convolution, where a stride leaves outputs that some places of the kernel miss."""
    axis, off = np.divmod(start + pad - offset * dilate, stride)
    return axis, off == 0

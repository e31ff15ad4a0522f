"""Which places of a layer's output are looked at, drawn for every image on its own."""
import zlib

import numpy as np

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

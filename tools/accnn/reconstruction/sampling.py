"""Reads what layers of a network read and answer, in one pass over the images."""
import contextlib
import os
import tempfile
from dataclasses import dataclass
from math import prod
from typing import Optional, Tuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import FULLY_CONNECTED, LayerSpec
from accnn.core.progress import Silence
from accnn.graph import attrs
from accnn.graph.ir import Graph, prune
from accnn.reconstruction.patches import available, draw, patches, responses
from accnn.reconstruction.spool import Samples
from accnn.runtime.fusion import unfused
from accnn.runtime.predictor import Predictor, compute_errors_as_sentences

INPUT, RESPONSE = "input", "response"
_BATCH_BYTES = 1 << 27  # that the feature maps looked at, and what is taken of them, may take for one batch


@dataclass(frozen=True)
class Tap:
    """What is to be read of a layer.

    Attributes
    ----------
    spec : LayerSpec
    kind : {'input', 'response'}
        The patches it reads, or what it answers, before anything that follows.
    entry : (int, int, int), optional
        Of the graph, where that is another one than the layer's own: another network may read the same there.
    """

    spec: LayerSpec
    kind: str
    entry: Optional[Tuple[int, int, int]] = None

    @property
    def shape(self):
        """tuple of int: the feature map, without the batch."""
        return self.spec.in_shape if self.kind == INPUT else self.spec.out_shape

    @property
    def row_shape(self):
        """tuple of int: what is taken of it at one place."""
        return self.spec.part.patch_shape if self.kind == INPUT else (self.spec.part.outputs,)

    def taken(self, array, at):
        """ndarray of float32: rows of :attr:`row_shape` for the places `at` of every image."""
        return (patches if self.kind == INPUT else responses)(array, self.spec, at)

    @property
    def rows(self):
        """int: of the feature map for every image."""
        return self.spec.repeats

    def places(self, count, positions, seed):
        """See :func:`accnn.reconstruction.patches.draw`: the same for all taps of a layer."""
        return draw(self.spec, count, positions, seed)

    def taken_each(self, positions):
        """int: values that are taken of one image."""
        return min(positions, available(self.spec)) * prod(self.row_shape)

    def said(self, model):
        """How an error names it."""
        return "the %s of the layer %r of %s" % (self.kind, self.spec.name, model.prefix)


@dataclass(frozen=True)
class _Whole:
    """All of an entry of the graph, for each image."""

    entry: tuple
    shape: tuple
    rows = 1

    @property
    def row_shape(self):
        return self.shape

    def places(self, count, positions, seed):
        return np.zeros((count, 1), np.int64)

    def taken_each(self, positions):
        return prod(self.shape)

    def taken(self, array, at):
        return array

    def said(self, model):
        return "what %r computes in %s" % (model.graph.nodes[self.entry[0]].name, model.prefix)


def sample(model, images, input_shapes, taps, positions, seed, folder, progress=None, kept=(), sinks=None):
    """Read layers at places drawn at random, in one pass over the images.

    Parameters
    ----------
    model : Model
        Layers other than those asked for may have been replaced.
    images : ArrayImages or RecordImages
    input_shapes : dict of str to tuple of int
        Of every input, without the batch.
    taps : list of Tap
    positions : int
        Places of every image, or fewer where a layer has fewer; the same for all taps of a layer.
    seed : int
    folder : str
        Receives the files of the samples.
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.
    kept : list of ((int, int, int), tuple of int)
        Entries of the graph, and their shapes without the batch, of which everything is wanted.
    sinks : dict of Tap to object, optional
        What takes the rows of a tap in the place of Samples, by a method ``append(rows)``.

    Returns
    -------
    list of Samples, or of what stands in the place of one
        One for each of `taps`, image by image, and one for each of `kept`, with a row for every image.

    Raises
    ------
    AccnnError
        A layer is not in the model, its rows cannot be told apart by image, a sample is not finite, or MXNet cannot
        compute the network.
    """
    if not taps:
        return []
    taps = list(taps) + [_Whole(*one) for one in kept]
    entries = [tap.entry if isinstance(tap, _Whole) else _entry(model, tap) for tap in taps]
    wanted = list(dict.fromkeys(entries))
    symbol = prune(Graph(model.graph.nodes, tuple(wanted))).to_symbol()
    batch_size = _batch_size(images, taps, entries, positions)
    places = {tap: tap.places(images.count, positions, seed) for tap in taps}
    readers = [[number for number, entry in enumerate(entries) if entry == one] for one in wanted]
    found = [(sinks or {}).get(tap) or _spooled(folder, tap) for tap in taps]
    # Unfused, so that a sample does not depend on what else is read.
    tell = (progress or Silence)("running images through %s" % model.prefix, images.count)
    with unfused(), contextlib.closing(tell):
        predictor = Predictor(model, input_shapes, batch_size, symbol=symbol)
        for first, size, maps in _passes(model, predictor, images, predictor.batch_size):
            tell(first, "")
            for array, numbers in zip(maps, readers):
                for number in numbers:
                    tap = taps[number]
                    found[number].append(_checked(model, tap, array, places[tap][first:first + size]))
    return found


def _entry(model, tap):
    """The entry of the graph that a tap reads."""
    if tap.entry is not None:
        return tap.entry
    name = tap.spec.name
    places = [place for place, node in enumerate(model.graph.nodes) if node.name == name and node.op == tap.spec.op]
    if len(places) != 1:
        raise AccnnError("%s has %d layers %r of the kind %s: name one that is there once"
                         % (model.prefix, len(places), name, tap.spec.op))
    node = model.graph.nodes[places[0]]
    if tap.spec.part is None:
        raise AccnnError("the shape of the layer %r of %s is unknown: give `input_shapes`" % (name, model.prefix))
    if tap.spec.repeats % 1:
        raise AccnnError("the layer %r of %s does not read every image, so nobody knows which image a row belongs to: "
                         "leave it out" % (name, model.prefix))
    if attrs.layout(node) and not attrs.layout(node).startswith("NC"):
        raise AccnnError("the layer %r of %s has the layout %s, but only those that begin with NC can be read: leave "
                         "it out" % (name, model.prefix, attrs.layout(node)))
    return tuple(node.inputs[0]) if tap.kind == INPUT else (places[0], 0, 0)


def _batch_size(images, taps, entries, positions):
    """The largest batch, up to that of the images, of which the maps and what is taken of them stay in bounds."""
    maps = {entry: tap.rows * prod(tap.shape) for tap, entry in zip(taps, entries)}
    bytes_each = 4 * (sum(maps.values()) + sum(tap.taken_each(positions) for tap in taps))
    return max(1, min(images.batch_size, images.count, _BATCH_BYTES // max(bytes_each, 1)))


def _spooled(folder, tap):
    # Another name each time: the samples of an earlier call may still be read.
    handle, path = tempfile.mkstemp(prefix="samples-", suffix=".f32", dir=folder)
    os.close(handle)
    return Samples(path, tap.row_shape)


def _passes(model, predictor, images, batch_size):
    """Yield (first image, images, iterator over the outputs as ndarrays); MXNet computes the next ones meanwhile."""
    waiting = None
    for first, arrays in images.batches(batch_size):
        taken = predictor.arranged(arrays)
        with compute_errors_as_sentences(model.prefix):
            # Copies, since the next pass writes into the same arrays; nothing here waits for them to be computed.
            started = first, len(taken[0]), [output.copy() for output in predictor.forward(*taken)]
        if waiting:
            yield waiting[0], waiting[1], _read(model, waiting[2])
        waiting = started
    if waiting:
        yield waiting[0], waiting[1], _read(model, waiting[2])


def _read(model, outputs):
    while outputs:
        with compute_errors_as_sentences(model.prefix):
            array = outputs.pop(0).asnumpy()  # the copy is free again as soon as it was read
        yield array


def _reads_vectors(tap):
    """Whether what a fully connected layer reads is taken from a network in which it may be flattened before."""
    return isinstance(tap, Tap) and tap.entry is not None and tap.spec.op == FULLY_CONNECTED


def _checked(model, tap, array, at):
    """What a tap takes of its feature map, or the reason why that is not to be used."""
    expected = (len(at) * tap.rows,) + tuple(tap.shape)
    if _reads_vectors(tap) and array.size == prod(expected):
        array = array.reshape(expected)
    if array.shape != expected:
        raise AccnnError("%s has the shape %s for %d images, not %s, so nobody knows which image a row belongs to: "
                         "leave the layer out" % (tap.said(model), array.shape, len(at), expected))
    rows = tap.taken(array, at)
    if not np.isfinite(rows).all():
        raise AccnnError("%s holds NaN or infinite values: check the parameters, `mean` and `std`"
                         % tap.said(model))
    return rows

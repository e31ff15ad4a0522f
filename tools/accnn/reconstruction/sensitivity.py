"""What a layer's chain costs the network: measured or predicted at some ranks, each layer alone, kept in a file."""
import contextlib

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.json_store import Damaged, JsonStore
from accnn.core.progress import say
from accnn.graph.cut import START, between, depending_on, rest
from accnn.graph.ir import Graph, prune
from accnn.graph.rewrite import replace_layers
from accnn.graph.shapes import infer_shapes
from accnn.quantization.int8_graph import partition, quantize
from accnn.quantization.ranges import minimum_and_maximum
from accnn.quantization.supported import LAYERS
from accnn.ranks.curve import Curve
from accnn.reconstruction.divergence import Divergence
from accnn.reconstruction.images import few
from accnn.reconstruction.telling import chosen
from accnn.runtime.bound import BoundNetwork
from accnn.runtime.predictor import compute_errors_as_sentences

_MOST_IMAGES = 1000
_MOST_BYTES = 300e6  # of the images that outputs are compared on
_BATCH_BYTES = 5e8   # of all feature maps of a batch
_RANGED = 4          # batches that tell the ranges of INT8 tensors
_MOST_HELD = 1e9    # bytes that what a layer reads, for all these images, may take


class Sensitivity:
    """The table of divergences of a model.

    Parameters
    ----------
    path : str or None
        JSON file to read, where it is there and was made for the same network and images, and to write.
    made_for : dict
        What must be the same, by name.
    read_only : bool
        Never write the file.
    """

    def __init__(self, path, made_for, read_only=False):
        self._made_for, self._read_only = made_for, read_only
        self._file, self._changed = JsonStore(path, "table of sensitivities", _parse, loose=True), False
        self._rows, self._measured = self._read()

    def missing(self, candidates, kind=""):
        """list of Candidate: those of which nothing is known, of a `kind` of loss beside the divergence."""
        return [one for one in candidates if one.method.name + kind not in self._rows.get(one.name, {})]

    def add(self, candidate, points, kind=""):
        """Keep what was found of a candidate, a list of (rank, divergence)."""
        self.add_row(candidate.name, candidate.method.name + kind, points)

    def add_row(self, layer, name, points):
        """Keep what was found of a layer, under a name, as :meth:`add` does."""
        self._rows.setdefault(layer, {})[name] = [
            [list(map(int, rank)) if isinstance(rank, tuple) else int(rank), float(value)] for rank, value in points]
        self._changed = True

    def tell_measured(self, candidate, splits):
        """Keep which splits of a candidate were measured, a list of (rank, predicted or None, measured)."""
        self._measured.setdefault(candidate.name, {})[candidate.method.name] = [
            [list(map(int, rank)) if isinstance(rank, tuple) else int(rank),
             None if predicted is None else float(predicted), float(measured)]
            for rank, predicted, measured in splits]

    def measured(self):
        """dict: by layer and method, a list of [rank, predicted or None, measured]."""
        return self._measured

    def measured_at(self, layer, method):
        """tuple of ranks: those that were measured; None for all, as in tables of versions that predicted none."""
        splits = self._measured.get(layer, {}).get(method)
        return splits and tuple(tuple(rank) if isinstance(rank, list) else rank for rank, _, _ in splits)

    def points(self, layer, name):
        """list of (rank, float): what was kept of a layer under a name, or None where nothing was."""
        return [(tuple(rank) if isinstance(rank, list) else rank, value)
                for rank, value in self._rows.get(layer, {}).get(name, ())] or None

    def curve(self, candidate):
        """Return the Curve of a candidate that is in the table."""
        return Curve(candidate, self.points(candidate.name, candidate.method.name))

    def save(self):
        """Write the table, where it has a path and something new."""
        if self._file.path and self._changed and not self._read_only:
            with _remedy_told():
                self._file.update(lambda _: {"made_for": self._made_for, "divergences": self._rows,
                                              "measured": self._measured})
            self._changed = False

    def _read(self):
        """(dict, dict): by layer and method, what the file holds; nothing where it was made for something else."""
        with _remedy_told():
            known = self._file.read()
        other = [name for name in self._made_for if known and known["made_for"].get(name) != self._made_for[name]]
        if other:
            say("%s was made for other settings (%s): measuring anew" % (self._file.path, ", ".join(other)))
        return (known["divergences"], known["measured"]) if known and not other else ({}, {})


class Comparison:
    """Runs networks on some images and tells how far their outputs are from the original's.

    Parameters
    ----------
    model : Model
        The original.
    images : ArrayImages or RecordImages
    input_shapes : dict
    most : int, optional
        Images, of those that fit into the memory.
    pool : int, optional
        Of so many images `most` are chosen, see :func:`accnn.reconstruction.telling.chosen`. Default: `most`.

    Attributes
    ----------
    images : ArrayImages
        Those that it runs networks on.
    weights : ndarray of shape (images,)
        How much each counts.
    """

    def __init__(self, model, images, input_shapes, most=_MOST_IMAGES, pool=None):
        each = 4 * sum(int(np.prod(shape)) for shape in input_shapes.values())
        room = int(max(1, _MOST_BYTES // each))
        some = few(images, min(pool or most, room)).in_batches(_batch(model, input_shapes, images.batch_size))
        found = chosen(model, some, min(most, room),
                       lambda some: _Stage(model, input_shapes, list(some.arrays(some.count))).outputs(model))
        # As even as can be: for a batch of another size every network is bound once more.
        even = -(-found.images.count // -(-found.images.count // found.images.batch_size))
        self.images, self.weights = found.images.in_batches(even), found.weights
        self._whole = _Stage(model, input_shapes, list(self.images.arrays(self.images.count)))
        self._divergence = Divergence(model, found.truth, self.weights)
        self._layer = self._stage = None

    def of(self, model):
        """float: the divergence of a network made from the original."""
        return self._finite(self._whole.outputs(model))

    def of_replaced(self, replacement):
        """float: the divergence when one layer is replaced; what is before it was computed once."""
        stage = self._behind(replacement.spec.name)
        return self._finite(stage.outputs(replace_layers(stage.model, [replacement])))

    def of_int8(self, layer, replacement=None):
        """float: the divergence when one layer, or the chain in its place, is computed in INT8, and nothing else is."""
        stage = self._behind(layer)
        model, parts = stage.model, {layer}
        if replacement is not None:
            model = replace_layers(model, [replacement])
            parts = {layer + part.suffix for part in replacement.chain}
        others = [node.name for node in model.graph.nodes if node.op in LAYERS and node.name not in parts]
        return self._finite(stage.outputs(quantize(model, stage.ranges(model, others), others, stored=False)))

    def _behind(self, layer):
        if self._layer != layer:
            # On from the stage before where that leads to the layer, so that no part of the network is run twice.
            start = self._stage if self._stage is not None and self._stage.holds(layer) else self._whole
            self._layer, self._stage = layer, start.behind(layer)
        return self._stage

    def _finite(self, outputs):
        value = self._divergence.of(outputs)
        if not np.isfinite(value):
            raise AccnnError("the outputs of %s hold NaN or infinite values: check the parameters, `mean` and "
                             "`std`" % self._whole.model.prefix)
        return value


class _Stage:
    """A network, or what is left of one behind a layer, and all that it reads."""

    def __init__(self, model, shapes, batches):
        self.model, self._shapes, self._batches = model, shapes, batches

    def holds(self, name):
        """bool: whether a layer is in the network."""
        return any(node.name == name and not node.is_variable for node in self.model.graph.nodes)

    def outputs(self, model):
        """list of ndarray: of a network with the same inputs, for all images."""
        return [np.concatenate([array.asnumpy() for array in arrays]) for arrays in zip(*self._run(model))]

    def _run(self, model, symbol=None):
        """list of list of mx.nd.NDArray: the outputs of every batch."""
        size = len(next(iter(self._batches[0].values())))
        predictor = BoundNetwork(model, self._shapes, size, symbol)
        with compute_errors_as_sentences(model.prefix):
            found = [[output.copy() for output in predictor.forward(*predictor.arranged(batch))]
                     for batch in self._batches]
            for array in (array for arrays in found for array in arrays):
                array.wait_to_read()
        return found

    def ranges(self, model, exclude):
        """dict: minimum and maximum of the tensors that are INT8 where only `exclude` are not, on the first images."""
        batches = [{name: values.asnumpy() for name, values in batch.items()} for batch in self._batches[:_RANGED]]
        return minimum_and_maximum(partition(model, exclude), self._shapes, batches)

    def behind(self, name):
        """Return the stage that begins with a layer; this one where the cut would hold too much, or cut off a head."""
        graph = self.model.graph
        inside = depending_on(graph, [place for place, node in enumerate(graph.nodes)
                                      if node.name == name and not node.is_variable])
        entries = between(graph, inside, self._shapes)
        known = infer_shapes(self.model, self._shapes)
        shapes = [known.get(entry[:2], (0,)) for entry in entries]
        images = sum(len(next(iter(batch.values()))) for batch in self._batches)
        if (any(shape[0] != known.batch for shape in shapes) or any(head[0] not in inside for head in graph.heads) or
                4 * images * sum(int(np.prod(shape[1:])) for shape in shapes) > _MOST_HELD):
            return self
        maps = self._run(self.model, prune(Graph(graph.nodes, tuple(entries))).to_symbol())
        batches = [{START % place: array for place, array in enumerate(arrays)} for arrays in maps]
        return _Stage(rest(self.model, inside, entries, graph.heads),
                      {START % place: shape[1:] for place, shape in enumerate(shapes)}, batches)


def _batch(model, input_shapes, most):
    """int: images in a batch, whose feature maps stay in bounds."""
    each = sum(int(np.prod(shape[1:])) for (place, _), shape in infer_shapes(model, input_shapes).items()
               if not model.graph.nodes[place].is_variable)
    return max(1, min(most, int(_BATCH_BYTES // max(4 * each, 1))))


@contextlib.contextmanager
def _remedy_told():
    try:
        yield
    except Damaged as error:
        raise AccnnError("%s: remove it, or name another with `table`" % error) from error


def _parse(document):
    return {"made_for": dict(document["made_for"]), "divergences": _rows(document["divergences"]),
            "measured": {layer: dict(methods) for layer, methods in document.get("measured", {}).items()}}


def _rows(document):
    """The divergences of a file as :meth:`Sensitivity.add` keeps them, or a ValueError or TypeError."""
    for methods in document.values():
        for points in methods.values():
            numbers = [number for rank, value in points
                       for number in (rank if isinstance(rank, list) else [rank]) + [value]]
            if not numbers or not all(type(number) in (int, float) and 0 <= number < np.inf for number in numbers):
                raise ValueError
    return document

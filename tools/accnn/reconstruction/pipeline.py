"""Runs images through a network that is being rebuilt, a stage at a time, so that no stage is run twice."""
from math import prod

from accnn.core.compat import mx
from accnn.graph.cut import START, between, depending_on, leading_to, rest
from accnn.graph.rewrite import replace_layers
from accnn.graph.shapes import infer_shapes
from accnn.reconstruction.sampling import INPUT, Tap


def levels(graph, names):
    """Sort layers so that each comes after all those it depends on.

    Parameters
    ----------
    graph : Graph
    names : collection of str

    Returns
    -------
    list of list of str
        The layers of one list do not depend on each other, as those of parallel branches.
    """
    depth, sorted_names = [], []
    for node in graph.nodes:
        before = max((depth[position] for position, _, _ in node.inputs), default=0)
        chosen = not node.is_variable and node.name in names
        if chosen:
            while len(sorted_names) <= before:
                sorted_names.append([])
            sorted_names[before].append(node.name)
        depth.append(before + chosen)
    return sorted_names


DISK = 2e9  # bytes that what lies between two stages may take; else the stage before is run again


class PrefixRunner:
    """Samples what layers read in the accelerated network, layer after layer.

    What the rest of the network reads of the part that is finished is kept in files, and later passes start there.

    Parameters
    ----------
    model : Model
    images : ArrayImages or RecordImages
    input_shapes : dict
    sample : callable
        ``sample(model, images, input_shapes, taps, kept, sinks)``, see :func:`accnn.reconstruction.sampling.sample`.
    """

    def __init__(self, model, images, input_shapes, sample):
        self._model, self._images, self._shapes = model, images, input_shapes
        self._sample = sample

    def inputs(self, specs, done, waiting, sinks=None):
        """What layers read now.

        Parameters
        ----------
        specs : list of LayerSpec
            They do not depend on each other.
        done : dict of str to Replacement
            Of all chosen layers before them.
        waiting : collection of str
            The chosen layers that are not done, with those of `specs`.
        sinks : dict of str to object, optional
            By name of a layer: what takes its rows in the place of a file.

        Returns
        -------
        list of Samples, or of what took the rows
        """
        here = {node.name for node in self._model.graph.nodes}
        now = replace_layers(self._model, [item for name, item in done.items() if name in here])
        taps = [Tap(spec, INPUT) for spec in specs]
        open_nodes, heads = _open_nodes(now.graph, waiting)
        kept = self._kept(now, open_nodes)
        found = self._sample(now, self._images, self._shapes, taps, list(kept.items()),
                             {tap: sinks[tap.spec.name] for tap in taps if tap.spec.name in sinks} if sinks else None)
        if kept:
            before = self._images
            self._images = CachedFeatureMaps(found[len(taps):], self._images)
            self._shapes = {START % place: shape for place, shape in enumerate(kept.values())}
            self._model = rest(now, open_nodes, list(kept), [(head, 0, 0) for head in heads])
            if isinstance(before, CachedFeatureMaps):
                before.remove()
        return found[:len(taps)]

    def _kept(self, now, open_nodes):
        """dict of entry to shape: what open nodes read of finished ones; empty where that is too much to keep."""
        shapes = infer_shapes(now, self._shapes)
        found = {entry: shapes.get(entry[:2], (0,)) for entry in between(now.graph, open_nodes, self._shapes)}
        # Several rows of one image: nobody could cut them into batches again.
        if any(shape[0] != shapes.batch for shape in found.values()):
            return {}
        size = 4 * self._images.count * sum(prod(shape[1:]) for shape in found.values())
        return {entry: shape[1:] for entry, shape in found.items()} if size <= DISK else {}


class CachedFeatureMaps:
    """Feature maps of all images, in files: images for the rest of a network.

    Parameters
    ----------
    maps : list of Samples
        A row for every image.
    images : object with count and batch_size
    names : sequence of str, optional
        Of the inputs that they are for. Default: those of :func:`accnn.graph.cut.rest`.
    """

    def __init__(self, maps, images, names=None):
        self._maps = maps
        self.input_names = tuple(names or (START % place for place in range(len(maps))))
        self.count, self.batch_size = images.count, images.batch_size

    def batches(self, batch_size=None):
        """Yield (first image, dict of str to mx.nd.NDArray) in order."""
        first = 0
        for arrays in zip(*(maps.blocks(batch_size or self.batch_size) for maps in self._maps)):
            yield first, {name: mx.nd.array(array) for name, array in zip(self.input_names, arrays)}
            first += len(arrays[0])

    def remove(self):
        """Give the room on the disk back."""
        for maps in self._maps:
            maps.remove()


def _open_nodes(graph, waiting):
    """(open, heads): what depends on waiting layers and leads to one, and where these are."""
    heads = [position for position, node in enumerate(graph.nodes) if not node.is_variable and node.name in waiting]
    return depending_on(graph, heads) & leading_to(graph, heads), heads

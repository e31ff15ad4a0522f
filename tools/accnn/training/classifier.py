"""A new last layer, for other classes than the network knows."""
import re
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.cut import depending_on, leading_to
from accnn.graph.ir import Graph, prune
from accnn.graph.shapes import infer_shapes

_COUNTED = {"FullyConnected": "num_hidden", "Convolution": "num_filter", "Convolution_v1": "num_filter"}
_WEIGHT, _BIAS, _SCALE = "weight", "bias", "scale"
_SHAPED = ("Reshape", "broadcast_to")  # operators whose attribute `shape` may say how many classes there are


def with_classes(model, head, input_shapes, classes, seed=0):
    """Return the model with a new, random last layer; every other parameter is kept.

    Parameters
    ----------
    model : Model
    head : Head
    input_shapes : dict of str to tuple of int
        Without the batch.
    classes : int
    seed : int

    Returns
    -------
    Model
        Whose shapes MXNet infers, and whose output has `classes` numbers for an image where it had ``head.classes``.
        Where a mean or a product of several layers is the output, all of them are new. Of a layer whose weight is
        computed, such as one that is scaled to length 1, what it is computed from is new.

    Raises
    ------
    AccnnError
        What lies between the output and the layer before it is tied to the number of classes, or the layer shares a
        parameter with another one.
    """
    shapes, layers = infer_shapes(model, input_shapes), _last_layers(model, head)
    change, probe = (_Change(model, head, shapes, input_shapes, number, seed)
                     for number in (classes, classes + (classes == head.classes)))
    # One layer alone where that is enough: another one may have as many outputs for other reasons.
    for group in ([layers] if len(layers) == 1 else [[layer] for layer in layers] + [layers]):
        for spelt in (False, True):
            probed = probe.made(group, spelt)
            if probe.fits(probed):
                return change.made(group, spelt)
    if classes != head.classes:
        raise probe.refused(probed, layers)
    return change.made(layers, False)  # as many classes as before fit whatever is tied to them


def _last_layers(model, head):
    """list of int: the layers nearest to an output that have a row for each of its classes."""
    nodes, waiting, seen = model.graph.nodes, [head.node], set()
    found = []
    while waiting:
        position = waiting.pop()
        if position in seen:
            continue
        seen.add(position)
        if nodes[position].op in _COUNTED:
            found.append(position)
        else:
            waiting.extend(entry[0] for entry in nodes[position].inputs)
    if not found:
        raise AccnnError("`classes`: the output %s of %s has no fully connected or convolutional layer before it"
                         % (head.name, model.prefix))
    counting = [place for place in sorted(found) if _count(nodes[place]) == head.classes]
    node = nodes[max(found)]
    if not counting:
        raise AccnnError("`classes`: %s, the last layer of %s, gives %s numbers for the %d classes of %s: what "
                         "lies between them is tied to the old classes"
                         % (node.name, model.prefix, _count(node), head.classes, head.name))
    return counting


def _count(node):
    return attrs.integer(node, _COUNTED[node.op])


class _Change:
    """The number of classes of an output, from the one it is to another one."""

    def __init__(self, model, head, shapes, input_shapes, classes, seed):
        self._model, self._head, self._shapes, self._inputs = model, head, shapes, input_shapes
        self._old, self._new, self._seed = head.classes, classes, seed

    def made(self, layers, spelt):
        """Model: with the new number in some layers, and where `spelt` in shapes that are written out."""
        rows = _rows(self._model, layers, self._old)
        nodes = list(self._model.graph.nodes)
        for place in layers:
            nodes[place] = _with(nodes[place], _COUNTED[nodes[place].op], str(self._new))
        for place, (axis, _) in rows.items():
            nodes[place] = _relabelled(nodes[place], self._shape(place, axis))
        for place in self._behind(list(rows) + layers) if spelt else ():
            if nodes[place].op in _SHAPED:
                nodes[place] = _with(nodes[place], "shape", re.sub(
                    r"(?<![-\d])%d(?!\d)" % self._old, str(self._new), nodes[place].attrs.get("shape", "")))
        return replace(self._model, graph=Graph(tuple(nodes), self._model.graph.heads),
                       arg_params=dict(self._model.arg_params, **self._fresh(rows)))

    def _behind(self, places):
        """list of int: the nodes that read some, directly or not, and that the output reads; in order."""
        graph = self._model.graph
        return sorted(depending_on(graph, places) & leading_to(graph, [self._head.node]))

    def _fresh(self, rows):
        """A weight of He's normal distribution, a bias of zeros; numbers by which rows are scaled keep their mean."""
        random, fresh = np.random.RandomState(self._seed), {}
        for place, (axis, kind) in sorted(rows.items()):
            name, shape = self._model.graph.nodes[place].name, self._shape(place, axis)
            array = self._model.arg_params[name]
            if kind == _WEIGHT:
                values = random.standard_normal(shape) * np.sqrt(2.0 * self._old / array.size)
            else:
                values = np.full(shape, array.asnumpy().mean() if kind == _SCALE else 0.0)
            fresh[name] = mx.nd.array(values, dtype=array.dtype)
        return fresh

    def _shape(self, place, axis):
        was = self._model.arg_params[self._model.graph.nodes[place].name].shape
        return was[:axis] + (self._new,) + was[axis + 1:]

    def fits(self, changed):
        """Whether MXNet infers the shapes of a changed model, and the new number at the output."""
        try:
            found = infer_shapes(changed, self._inputs)
        except AccnnError:
            return False
        return found.get((self._head.node, 0)) == self._wanted(self._head.node)

    def _wanted(self, place):
        was = self._shapes.get((place, 0))
        return was and was[:1] + tuple(self._new if size == self._old else size for size in was[1:])

    def refused(self, changed, layers):
        """AccnnError: which operator stands against a change of the last layers."""
        for place in self._behind(layers):
            graph = prune(Graph(changed.graph.nodes, ((place, 0, 0),)))
            graph = Graph.from_symbol(graph.to_symbol())
            try:
                found = infer_shapes(replace(changed, graph=graph), self._inputs).get(graph.heads[0][:2])
            except AccnnError:
                found = None
            if found != self._wanted(place):
                node = changed.graph.nodes[place]
                return AccnnError("`classes`: between the output of %s and its last layer stands %s (%s), which is "
                                  "tied to the old classes" % (changed.prefix, node.name, node.op))
        # Not what this output reads, but another one.
        return AccnnError("`classes`: another output of %s than %s is tied to the old classes of its last layer %s"
                          % (changed.prefix, self._head.name, changed.graph.nodes[layers[-1]].name))


def _relabelled(node, shape):
    """A variable of another shape, which MXNet would believe to be the old one from what it says."""
    said = {key: value for key, value in node.attrs.items() if key.startswith("__") and key != "__init__"}
    if "__shape__" in said:  # behind an operator MXNet may not find it out otherwise
        said["__shape__"] = str(shape)
    return replace(node, attrs=said)


def _with(node, key, value):
    return replace(node, attrs=dict(node.attrs, **{key: value}))


def _rows(model, layers, old):
    """dict of int to (int, str): parameters with a row for each class: which axis, and the kind.

    Raises
    ------
    AccnnError
        Something beside these layers reads one of them.
    """
    graph, rows = model.graph, {}
    read = {entry[0]: kind for layer in layers for kind, entry in zip((_WEIGHT, _BIAS), graph.nodes[layer].inputs[1:])}
    for root, kind in read.items():
        for place in leading_to(graph, [root]):
            array = model.arg_params.get(graph.nodes[place].name)
            if array is not None and old in array.shape:
                scales = kind == _WEIGHT and place != root and array.size == old
                rows[place] = array.shape.index(old), _SCALE if scales else kind
    own, readers = depending_on(graph, rows) & leading_to(graph, read), graph.consumers()
    for place in sorted(own):
        if not own.union(layers).issuperset(readers[place]):
            raise AccnnError("the last layer %s of %s shares %s with another layer: it cannot be given other classes"
                             % (graph.nodes[layers[-1]].name, model.prefix, graph.nodes[place].name))
    return rows

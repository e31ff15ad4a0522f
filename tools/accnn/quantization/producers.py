"""Layers as matrices: what may be multiplied to the outputs of one, if those that read it undo it, and back."""
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from accnn.core.compat import mx
from accnn.graph import attrs
from accnn.graph.passing import NETWORK, all_readers, readers_through
from accnn.quantization.normalization import eps, scale_and_shift

_LAYERS = {"Convolution", "FullyConnected"}


@dataclass(frozen=True)
class Producer:
    """A layer with the BatchNorm that alone reads it, if there is one: ``matrix @ patch + offset``.

    Attributes
    ----------
    layer : int
        Position in the graph.
    norm : int or None
        Position of the BatchNorm.
    groups : int
    """

    layer: int
    norm: Optional[int]
    groups: int

    @property
    def entry(self):
        """(int, int): what readers see."""
        return (self.layer if self.norm is None else self.norm), 0

    def affine(self, model):
        """(matrix, offset): float64 arrays of shapes (R, D) and (R,), BatchNorm multiplied in."""
        weight, bias = _parameters(model, self.layer)
        matrix = _array(model, weight).reshape(_array(model, weight).shape[0], -1)
        offset = np.zeros(len(matrix)) if bias is None else _array(model, bias)
        if self.norm is None:
            return matrix, offset
        node = model.graph.nodes[self.norm]
        scale, shift = scale_and_shift(node, *(
            _array(model, model.graph.nodes[entry[0]].name) for entry in node.inputs[1:]))
        return scale[:, None] * matrix, scale * offset + shift

    def has_offset(self, model):
        """bool: whether there is a parameter that a new offset can be written to."""
        return self.norm is not None or _parameters(model, self.layer)[1] is not None

    def written(self, model, matrix, offset):
        """dict of str to NDArray: the parameters with which :meth:`affine` gives `matrix` and `offset`.

        A BatchNorm becomes one that only adds: its factors went into the weight.
        """
        weight, bias = _parameters(model, self.layer)
        new = {weight: np.reshape(matrix, _array(model, weight).shape)}
        if self.norm is None:
            if bias is not None:
                new[bias] = offset
            return _stored(new)
        node = model.graph.nodes[self.norm]
        gamma, beta, mean, var = (model.graph.nodes[entry[0]].name for entry in node.inputs[1:])
        if bias is not None:
            new[bias] = np.zeros(len(matrix))
        new.update({gamma: np.ones(len(matrix)), beta: offset, mean: np.zeros(len(matrix)),
                    var: np.full(len(matrix), 1 - eps(node))})
        return _stored(new)


@dataclass(frozen=True)
class Consumer:
    """A layer that reads channels `first` and following of what it reads.

    Attributes
    ----------
    layer : int
    first : int
    """

    layer: int
    first: int = 0

    def groups(self, model):
        """int: of the convolution."""
        return attrs.integer(model.graph.nodes[self.layer], "num_group", 1)

    def channels(self, model, count, width):
        """The weight as seen from the channels: float64 array of shape (channels, outputs, values).

        Parameters
        ----------
        count : int
            How many channels.
        width : int
            Channels of all that the layer reads: a fully connected one may read several values of each.
        """
        return self._by_channel(model, width)[self.first:self.first + count]

    def written(self, model, channels, width):
        """dict of str to NDArray: the weight with other values for these channels."""
        every = self._by_channel(model, width).copy()
        every[self.first:self.first + len(channels)] = channels
        weight = _parameters(model, self.layer)[0]
        groups, shape = self.groups(model), _array(model, weight).shape
        every = every.reshape(groups, width // groups, shape[0] // groups, -1).transpose(0, 2, 1, 3)
        return _stored({weight: every.reshape(shape)})

    def _by_channel(self, model, width):
        weight, groups = _array(model, _parameters(model, self.layer)[0]), self.groups(model)
        shaped = weight.reshape(groups, weight.shape[0] // groups, width // groups, -1)
        return shaped.transpose(0, 2, 1, 3).reshape(width, weight.shape[0] // groups, -1)


def producers(model):
    """list of Producer: every layer whose parameters are its own, in topological order."""
    readers = all_readers(model.graph)
    return [_with_norm(model, readers, place) for place, node in enumerate(model.graph.nodes)
            if node.op in _LAYERS and is_rewritable(model, readers, place)]


def is_rewritable(model, readers, place):
    """bool: whether a convolution or fully connected layer has float32 parameters that nothing else reads."""
    node = model.graph.nodes[place]
    return (node.op in _LAYERS and len(node.inputs) > 1 and attrs.layout(node)[:2] in ("", "NC")
            and _own(model, readers, node) and attrs.boolean(node, "flatten", True))


def with_params(model, new):
    """Model: the same network with some parameters replaced, arguments and auxiliary states."""
    return replace(model, arg_params=dict(model.arg_params, **{k: v for k, v in new.items() if k in model.arg_params}),
                   aux_params=dict(model.aux_params, **{k: v for k, v in new.items() if k in model.aux_params}))


def _with_norm(model, readers, place):
    groups = attrs.integer(model.graph.nodes[place], "num_group", 1)
    found = readers_through(model.graph, readers, (place, 0))
    if len(found) != 1 or found[0] == (NETWORK, 0) or found[0][1] != 0:
        return Producer(place, None, groups)
    node = model.graph.nodes[found[0][0]]
    plain = node.op == "BatchNorm" and attrs.integer(node, "axis", 1) == 1 and _own(model, readers, node) and \
        not any(readers.get((found[0][0], output)) for output in (1, 2))
    return Producer(place, found[0][0] if plain else None, groups)


def _own(model, readers, node):
    """Whether all parameters of a node are float32, stored, and read by it alone."""
    for entry in node.inputs[1:]:
        variable = model.graph.nodes[entry[0]]
        array = model.arg_params.get(variable.name, model.aux_params.get(variable.name))
        if not variable.is_variable or array is None or np.dtype(array.dtype) != np.float32:
            return False
        if len(readers[entry[:2]]) != 1:
            return False
    return True


def _parameters(model, place):
    names = [model.graph.nodes[entry[0]].name for entry in model.graph.nodes[place].inputs[1:]]
    return (names + [None])[:2]


def _array(model, name):
    stored = model.arg_params[name] if name in model.arg_params else model.aux_params[name]
    return stored.asnumpy().astype(np.float64)


def _stored(arrays):
    return {name: mx.nd.array(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}

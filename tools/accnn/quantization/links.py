"""Where a change of a layer's output can be undone by those who read it: nothing that mixes channels between."""
from dataclasses import dataclass
from typing import Tuple

from accnn.graph import attrs
from accnn.graph.passing import NETWORK, all_readers, readers_through
from accnn.quantization.producers import Consumer, Producer, is_rewritable, producers

_AT_WILL = {"max", "avg"}  # kinds of pooling that scale with what they read


@dataclass(frozen=True)
class Link:
    """A layer and all that read it.

    Attributes
    ----------
    producer : Producer
    consumers : tuple of Consumer
    widths : tuple of int
        Channels of all that each of them reads.
    entry : (int, int)
        What is quantized between: behind the nonlinearity, if there is one.
    is_linear : bool
        Nothing but copies and flattening lies between.
    outputs : int
        Channels of the producer.
    """

    producer: Producer
    consumers: Tuple[Consumer, ...]
    widths: Tuple[int, ...]
    entry: Tuple[int, int]
    is_linear: bool
    outputs: int


def links(model, shapes):
    """Find all links of a network.

    Parameters
    ----------
    model : Model
    shapes : Shapes
        See :func:`accnn.graph.shapes.infer_shapes`.

    Returns
    -------
    list of Link
        In topological order. Layers whose output, or what becomes of it, is an output of the network, is added to
        something or is read by another operator are not among them.
    """
    readers = all_readers(model.graph)
    found = (_link(model, shapes, readers, producer) for producer in producers(model))
    return [link for link in found if link is not None]


def _link(model, shapes, readers, producer):
    walk = _Walk(model, shapes, readers)
    if producer.entry not in shapes or len(shapes[producer.entry]) not in (2, 4):
        return None
    if not walk.follow(producer.entry, 0) or not walk.consumers:
        return None
    return Link(producer, tuple(walk.consumers), tuple(walk.widths), walk.entry or producer.entry,
                walk.entry is None and not walk.pools, shapes[producer.entry][1])


class _Walk:
    """Follows channels forward; where a reader is met that is not understood, the walk fails."""

    def __init__(self, model, shapes, readers):
        self._model, self._shapes, self._readers = model, shapes, readers
        self.consumers, self.widths, self.entry, self.pools = [], [], None, False

    def follow(self, entry, first):
        """bool: whether all that reads `entry`, whose channels from `first` on are meant, was understood."""
        found = readers_through(self._model.graph, self._readers, entry)
        return bool(found) and all(self._step(entry, reader, first) for reader in found)

    def _step(self, entry, reader, first):
        if reader[0] is NETWORK or entry not in self._shapes:
            return False
        place, slot = reader
        node = self._model.graph.nodes[place]
        if is_rewritable(self._model, self._readers, place):
            return slot == 0 and self._consume(entry, place, first)
        if node.op == "Concat":
            return attrs.integer(node, "dim", 1) == 1 and self._concat(entry, place, slot, first)
        if slot != 0 or not self._passes(node):
            return False
        if is_activation(node):
            self.entry = self.entry or (place, 0)
        self.pools |= node.op == "Pooling"
        return self.follow((place, 0), first)

    def _passes(self, node):
        """Whether an operator keeps channels apart and gives a positive multiple for a positive multiple."""
        if node.op == "Pooling":
            return node.attrs.get("pool_type", "max") in _AT_WILL and attrs.layout(node)[:2] in ("", "NC")
        return node.op == "Flatten" or is_activation(node)

    def _concat(self, entry, place, slot, first):
        entries = self._model.graph.nodes[place].inputs[:slot]
        shapes = [self._shapes.get(item[:2]) for item in entries + (entry,)]
        if None in shapes or self._channels(entry) != shapes[-1][1]:  # places of flattened maps are no channels
            return False
        self.pools = True  # others' channels lie beside: no mixing
        return self.follow((place, 0), first + sum(shape[1] for shape in shapes[:-1]))

    def _consume(self, entry, place, first):
        self.consumers.append(Consumer(place, first))
        shape = self._shapes[entry]
        weight = self._model.graph.nodes[self._model.graph.nodes[place].inputs[1][0]].name
        self.widths.append(self._channels(entry))
        return len(shape) in (2, 4) and self._model.arg_params[weight].size % self.widths[-1] == 0

    def _channels(self, entry):
        """Channels of what lies before the flattening."""
        node = self._model.graph.nodes[entry[0]]
        while node.op in ("Flatten", "_copy", "Dropout") or is_activation(node):
            entry = node.inputs[0][:2]
            node = self._model.graph.nodes[entry[0]]
        return self._shapes[entry][1]


def is_activation(node):
    """Whether ``f(s * x) = s * f(x)`` for every positive s, channel by channel."""
    if node.op == "Activation":
        return node.attrs.get("act_type") == "relu"
    return node.op == "relu" or node.op == "LeakyReLU" and node.attrs.get("act_type", "leaky") in (
        "leaky", "prelu", "rrelu")

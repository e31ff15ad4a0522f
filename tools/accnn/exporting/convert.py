"""A network converted: every node that the outputs need, in topological order."""
from collections import defaultdict, namedtuple
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.exporting import operators  # noqa: F401  (registers the converters)
from accnn.exporting.builder import Builder
from accnn.exporting.constants import computed, constant_nodes
from accnn.exporting.layer import Layer, Value, filled
from accnn.exporting.registry import CONVERTERS, inputs_read
from accnn.exporting.sizes import Shape, batches_of, entry_shapes, entry_types, is_parameter, parameter
from accnn.graph.inputs import input_names
from accnn.graph.ir import reached
from accnn.graph.labels import check_shapes, unlabelled
from accnn.graph.outputs import distinct
from accnn.graph.quantized import in_int8, is_fused
from accnn.graph.shapes import infer_shapes, with_batch

Tensor = namedtuple("Tensor", "name shape dtype")


@dataclass(frozen=True)
class Converted:
    """A network as ONNX.

    Attributes
    ----------
    builder : Builder
    inputs, outputs : tuple of Tensor
    batches : tuple of int
        Examples that the shapes were inferred for; a single one is the only batch that the file takes.
    inner : dict of (int, int) to str
        The tensor of every entry that an operator computes, in topological order.
    """

    builder: Builder
    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    batches: Tuple[int, ...]
    inner: dict

    @property
    def is_open(self):
        """bool: whether the file takes any batch."""
        return len(self.batches) > 1

    @property
    def is_quantized(self):
        """bool: whether there are INT8 tensors."""
        return any(record.op == "QuantizeLinear" for record in self.builder.nodes)


def convert(model, input_shapes, opset, batch_size=None, rounds_sums=False):
    """Convert a network.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    opset : int
    batch_size : int, optional
        Fix the batch.
    rounds_sums : bool
        Of INT8 networks: round what a convolution gives before another tensor is added to it, which MXNet does not.

    Returns
    -------
    Converted

    Raises
    ------
    AccnnError
        Names the node, its operator or attribute, and what to do.
    """
    _refuse_half(model)
    infer_shapes(model, input_shapes)  # says which parameter does not fit
    batches = batches_of(model, input_shapes, batch_size)
    conversion = _Conversion(model, entry_shapes(model, input_shapes, batches), Builder(opset, rounds_sums),
                             _labels(model, input_shapes, batches[0]))
    conversion.check(input_shapes, batches)
    conversion.run()
    if not conversion.fed:
        raise AccnnError("%s: its outputs depend on no input, so there is nothing to export: choose other `outputs`"
                         % model.prefix)
    return Converted(conversion.builder, tuple(conversion.fed), tuple(conversion.heads()), batches, conversion.inner)


def _labels(model, input_shapes, batch):
    """dict of str to float: labels that nobody gives, and what is read in their place, where anything reads them."""
    names = [name for name in input_names(model, input_shapes)[1] if name not in input_shapes]
    values = unlabelled(model, model.symbol, with_batch(input_shapes, batch)).values if names else {}
    return {name: values.get(name, 0.0) for name in names}


def _refuse_half(model):
    kinds = {np.dtype(array.dtype).name: name for name, array in model.arg_params.items()}
    wrong = [name for kind, name in kinds.items() if kind not in ("float32", "float64", "int32", "int64", "uint8",
                                                                 "int8")]
    if wrong:
        raise AccnnError("%s: the parameter %r is of half precision, which cannot be exported: save the network "
                         "with parameters of float32, or export the checkpoint that it was made from"
                         % (model.prefix, wrong[0]))


class _Conversion:
    """The state of a conversion."""

    def __init__(self, model, shapes, builder, labels):
        self._model, self._shapes, self.builder, self._labels = model, shapes, builder, labels
        self._types, self._values = entry_types(model), {}
        self._constant = constant_nodes(model, shapes, _needed(model.graph))
        self._needed = _needed(model.graph, self._constant) - self._constant
        self._outputs = defaultdict(list)
        for entry in sorted(shapes):
            self._outputs[entry[0]].append(shapes[entry])
        inside = model.graph.internals
        self._names = dict(zip(inside.entries, inside.symbol.list_outputs()))
        self._head_names = distinct(model.symbol.list_outputs())
        self.inner, self.fed = {}, []

    # ---- what stands in the way

    def check(self, input_shapes, batches):
        """Refuse what cannot be converted, before anything is."""
        for position in sorted(self._needed):
            node = self._model.graph.nodes[position]
            if not node.is_variable and node.op not in CONVERTERS:
                raise self._unknown(node)
        lacking = self._lacking()
        if lacking:
            check_shapes(self._model, self._model.symbol, with_batch(input_shapes, batches[0]))
            raise AccnnError("%s: nothing says the shape of %r: give `input_shape`" % (self._model.prefix, lacking))

    def _lacking(self):
        read = [entry[:2] for position in sorted(self._needed)
                for entry in inputs_read(self._model.graph.nodes[position])]
        return next((self._names.get(entry, "") for entry in read if entry not in self._shapes), None)

    def _unknown(self, node):
        read = [self._names[entry[:2]] for entry in node.inputs
                if not is_parameter(self._model, self._model.graph.nodes[entry[0]])]
        if in_int8(node) or is_fused(node):
            return AccnnError("%s: %r is a %s, which cannot be exported: export the float32 checkpoint that it was "
                              "made from" % (self._model.prefix, node.name, node.op))
        remedy = "export what it reads, with `outputs=%s`, and do its work outside" % ",".join(read) if read else \
            "put an input in its place in the symbol JSON"
        return AccnnError("%s: %r is a %s, which cannot be exported: %s"
                          % (self._model.prefix, node.name, node.op, remedy))

    # ---- the nodes

    def run(self):
        """Convert every node that is needed."""
        nodes = self._model.graph.nodes
        for name in [node.name for node in nodes if node.is_variable] + self._head_names:
            self.builder.unique(name)
        self._fold()
        # The labels last of all variables: they are made of the number of examples, which an input says.
        for position in sorted(self._needed, key=self._turn):
            if nodes[position].is_variable:
                self._variable(position)
            else:
                self._operator(position)

    def _turn(self, position):
        node = self._model.graph.nodes[position]
        return (2 if not node.is_variable else 1 if node.name in self._labels else 0), position

    def _fold(self):
        """Compute what does not depend on the input and is read by what does, or is an output."""
        nodes = self._model.graph.nodes
        read = [entry[:2] for position in sorted(self._needed)
                for entry in inputs_read(nodes[position])]
        entries = list(dict.fromkeys(entry for entry in read + [head[:2] for head in self._model.graph.heads]
                                     if entry[0] in self._constant))
        for entry, array in computed(self._model, self._shapes, entries).items():
            name = self.builder.unique(self._names[entry] + "_constant")
            self._values[entry] = Value(name, self._shapes[entry], array.dtype, array)

    def _variable(self, position):
        node, entry = self._model.graph.nodes[position], (position, 0)
        if is_parameter(self._model, node):
            array = parameter(self._model, node.name)
            self._values[entry] = Value(node.name, Shape(array.shape), np.dtype(array.dtype), array)
            return
        self._values[entry] = Value(node.name, self._shapes[entry], self._types[entry])
        if node.name in self._labels:
            layer = Layer(self.builder, node, [], [self._shapes[entry]], self._types[entry], self._model.prefix)
            self._values[entry].name = filled(layer, self._labels[node.name])
            return
        self.fed.append(Tensor(node.name, self._shapes[entry], self._types[entry]))
        if self.builder.batch_from is None and 1 in self._shapes[entry].factors:
            self.builder.batch_from = node.name, self._shapes[entry].factors.index(1)

    def _operator(self, position):
        node, since = self._model.graph.nodes[position], len(self.builder.nodes)
        layer = Layer(self.builder, node, [self._values[entry[:2]] for entry in inputs_read(node)],
                      self._outputs[position], self._types[position, 0], self._model.prefix)
        found = CONVERTERS[node.op](layer)
        for output, tensor in enumerate(found if isinstance(found, list) else [found]):
            if tensor is not None and (position, output) in self._names:  # others nothing can read
                self._keep((position, output), tensor, since)

    def _keep(self, entry, tensor, since):
        """Note what holds an entry, under the entry's own name where the node computed it."""
        if isinstance(tensor, Value):  # passed on
            self._values[entry] = tensor
            self.inner[entry] = tensor.name
            return
        heads = [head[:2] for head in self._model.graph.heads]
        wanted = self._head_names[heads.index(entry)] if entry in heads else self.builder.unique(self._names[entry])
        name = wanted if self.builder.rename(tensor, wanted, since) else tensor
        self._values[entry] = Value(name, self._shapes[entry], self._types[entry])
        self.inner[entry] = name

    # ---- the outputs

    def heads(self):
        """Yield the outputs, each of its own name."""
        for (position, output, _), name in zip(self._model.graph.heads, self._head_names):
            entry = (position, output)
            value = self._values.get(entry)
            if value is None:
                node = self._model.graph.nodes[position]
                raise AccnnError("%s: output %d of %r (%s) has no form in ONNX: choose other `outputs`"
                                 % (self._model.prefix, output, node.name, node.op))
            if value.array is not None:
                self.builder.parameter(value.name, value.array)
            if value.name != name or value.array is not None or name in [one.name for one in self.fed]:
                name = name if value.name != name else self.builder.unique(name + "_output")
                self.builder.copy(value.name, name)
            yield Tensor(name, self._shapes[entry], value.dtype)


def _needed(graph, known=()):
    """set of int: the nodes that the heads need at inference, what only the `known` ones need left out."""
    def before(position):
        return [] if position in known else [producer for producer, _, _ in inputs_read(graph.nodes[position])]

    return reached([head[0] for head in graph.heads], before)

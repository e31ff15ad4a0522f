"""Networks in bfloat16: convolutions and fully connected layers, and what lies between them, with half of the bits.

MXNet's own ``amp.convert_model`` rounds the arrays that it is given, casts to float32 and back between layers, and
parts a convolution from its ReLU where an identity lies between them. What it makes cannot be loaded again where
``save_checkpoint`` drops the casts, its default; :func:`accnn.save_model` keeps them.
"""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.layers import BF16, FP32
from accnn.graph import attrs
from accnn.graph.ir import Graph, Node, moved, prune
from accnn.graph.passing import CASTS
from accnn.graph.precision import refuse_half
from accnn.graph.quantized import refuse_quantized
from accnn.quantization.fusing import free_name, refuse_unknown, without_identities
from accnn.quantization.int8_graph import LayerPrecision
from accnn.quantization.normalization import with_folded_normalization
from accnn.quantization.supported import convolution_refusal

NAME = "bfloat16"
DTYPE = np.dtype([(NAME, np.uint16)])  # as MXNet 1.9.1 calls it
_FULL_NUMBER, _HALF_NUMBER = "0", "12"  # of the types, in MXNet's symbols
LAYERS = ("Convolution", "FullyConnected", "Deconvolution")
_KEEPING = {"Flatten", "Concat", "elemwise_add"}  # compute in the type of what they read
_LEAKY = "leaky"


def to_bfloat16(model, exclude=()):
    """Return a model that computes in bfloat16 what oneDNN computes faster there; everything else stays float32.

    Layers, and pooling, sums, concatenations and rectifiers that read their outputs, are bfloat16; BatchNorm behind a
    convolution becomes a part of its weights. Inputs, outputs and the parameters of all other operators are float32.
    Identities, such as those that keep the name of a layer's output behind a chain, are taken out.

    Parameters
    ----------
    model : Model
        Float32; neither it nor its arrays are changed.
    exclude : iterable of str
        Layers that stay in float32.

    Returns
    -------
    Model
        Of the same inputs and outputs. Saved with its casts, it loads in plain MXNet; the file has half the size.

    Raises
    ------
    AccnnError
        The model is quantized, or in half precision already; it has no operator of a name in `exclude`.
    """
    exclude = set(exclude)
    refuse(model, exclude)
    plain = with_folded_normalization(replace(model, graph=without_identities(model.graph)), exclude)
    return _Conversion(plain, exclude).model()


def refuse(model, exclude=()):
    """Raise the AccnnError of :func:`to_bfloat16` for what it does not convert, without any work."""
    refuse_quantized(model)
    refuse_half(model)
    refuse_unknown(model, sorted(exclude))


def is_bfloat16(model):
    """bool: a network that casts to bfloat16."""
    return any(node.op in CASTS and node.attrs.get("dtype") == NAME for node in model.graph.nodes)


def layer_precisions(model, exclude=()):
    """Say of every layer in which precision it is computed.

    Parameters
    ----------
    model : Model
        The original.
    exclude : iterable of str
        As it was given to :func:`to_bfloat16`.

    Returns
    -------
    list of LayerPrecision
    """
    exclude = set(exclude)
    reasons = [(node.name, "it is excluded" if node.name in exclude else _refusal(node))
               for node in model.graph.nodes if node.op in LAYERS]
    return [LayerPrecision(name, FP32 if reason else BF16, reason or "") for name, reason in reasons]


class _Conversion:
    """Writes the nodes of a graph anew, with casts where bfloat16 meets float32."""

    def __init__(self, model, exclude):
        self._model, self._graph, self._exclude = model, model.graph, exclude
        self._names = {node.name for node in self._graph.nodes}
        self._stored = self._only_layers_read()
        self._nodes, self._place, self._half, self._casts = [], {}, set(), {}

    def model(self):
        for position, node in enumerate(self._graph.nodes):
            self._place[position] = self._variable(node) if node.is_variable else self._operator(node)
        found = {head: self._output(head) for head in dict.fromkeys(self._graph.heads)}
        heads = tuple(found[head] for head in self._graph.heads)
        arrays = dict(self._model.arg_params)
        arrays.update((name, mx.nd.amp_cast(arrays[source], dtype=DTYPE)) for name, source in self._stored.items())
        graph = Graph.from_symbol(prune(Graph(tuple(self._nodes), heads)).to_symbol())
        return replace(self._model, graph=graph, arg_params=arrays)

    def _variable(self, node):
        if node.name not in self._stored:
            return self._append(node)
        return self._append(_of_type(node, _HALF_NUMBER), half=True)

    def _operator(self, node):
        entries = [self._where(entry) for entry in node.inputs]
        half = self._is_half(node) or _keeps_type(node) and any(entry[0] in self._half for entry in entries)
        entries = [self._cast(entry, half) for entry in entries]
        return self._append(moved(node, dict(zip(node.inputs, entries)).__getitem__), half)

    def _where(self, entry):
        return (self._place[entry[0]],) + tuple(entry[1:])

    def _cast(self, entry, half):
        """The entry in the type that is wanted, by a cast where it has the other one."""
        if (entry[0] in self._half) == half:
            return entry
        if entry not in self._casts:
            source, dtype = self._nodes[entry[0]], NAME if half else "float32"
            name = free_name("%s_%s" % (source.name, dtype), self._names)
            cast = Node("amp_cast", name, {"dtype": dtype}, (entry,))
            if half and self._is_parameter(source):  # stored in both, not cast in every pass
                self._stored[name], cast = source.name, _of_type(Node("null", name, {}), _HALF_NUMBER)
                self._nodes[entry[0]] = self._of_known_kind(source)  # which followed from the layer that reads it
            self._casts[entry] = self._append(cast, half)
        return self._casts[entry], 0, 0

    def _of_known_kind(self, node):
        known = replace(node, attrs=dict(node.attrs, __shape__=str(self._model.arg_params[node.name].shape)))
        return _of_type(known, _FULL_NUMBER)

    def _is_parameter(self, node):
        array = self._model.arg_params.get(node.name) if node.is_variable else None
        return array is not None and array.dtype == np.float32

    def _output(self, head):
        """The output in float32; a cast behind an operator takes over its name."""
        entry = self._where(head)
        cast = self._cast(entry, half=False)
        if cast != entry and entry[1] == 0:
            node, name = self._nodes[entry[0]], self._nodes[entry[0]].name
            self._nodes[entry[0]] = replace(node, name=self._nodes[cast[0]].name)
            self._nodes[cast[0]] = replace(self._nodes[cast[0]], name=name)
        return cast

    def _append(self, node, half=False):
        self._nodes.append(node)
        if half:
            self._half.add(len(self._nodes) - 1)
        return len(self._nodes) - 1

    def _is_half(self, node):
        return node.op in LAYERS and node.name not in self._exclude and not _refusal(node)

    def _only_layers_read(self):
        """dict of str to str: parameters that only layers in bfloat16 read, by the names they are stored under."""
        nodes = self._graph.nodes
        others, layers = {head[0] for head in self._graph.heads}, set()
        for node in nodes:
            for slot, entry in enumerate(node.inputs):
                (layers if slot and self._is_half(node) else others).add(entry[0])
        found = [nodes[position].name for position in layers - others if self._is_parameter(nodes[position])]
        return dict(zip(found, found))


def _of_type(variable, number):
    """The variable as of one of MXNet's numbered types."""
    return replace(variable, attrs=dict(variable.attrs, __dtype__=number))


def _refusal(node):
    """str or None: why a layer stays float32."""
    if node.op == "Deconvolution":
        return "transposed convolutions stay float32"
    return convolution_refusal(node) if node.op == "Convolution" else None


def _keeps_type(node):
    """bool: an operator that oneDNN computes in bfloat16 where its input is, no worse than a rounding."""
    if node.op == "Activation":
        return node.attrs.get("act_type") == "relu"
    if node.op == "LeakyReLU":
        return node.attrs.get("act_type", _LEAKY) == _LEAKY
    if node.op == "Pooling":
        return node.attrs.get("pool_type", "max") == "max" or attrs.boolean(node, "global_pool")
    return node.op in _KEEPING

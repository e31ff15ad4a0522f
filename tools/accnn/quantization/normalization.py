"""BatchNorm made a part of the weights of the convolution in front of it, as it computes at inference."""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.graph import attrs
from accnn.graph.ir import GraphWriter, Node, moved, prune
from accnn.quantization.fusing import free_name

_EPS = 1e-3  # MXNet's default


def with_folded_normalization(model, exclude=()):
    """Return `model` with convolution and BatchNorm as one convolution, where nothing else reads between them.

    It is called as the BatchNorm was. With W and b of the convolution, ``s = gamma / sqrt(var + eps)``: W becomes
    ``s W``, b becomes ``s (b - mean) + beta``.

    Parameters
    ----------
    model : Model
        Float32; not changed.
    exclude : iterable of str
        Convolutions that stay as they are.

    Returns
    -------
    Model
    """
    found = _pairs(model, set(exclude))
    if not found:
        return model
    written, arrays = GraphWriter(), dict(model.arg_params)
    names = {node.name for node in model.graph.nodes} | set(arrays)

    for position, node in enumerate(model.graph.nodes):
        layer = found.get(position)
        written.put(position, moved(node, written.where) if layer is None else
                    _folded(model, model.graph.nodes[layer], node, written, arrays, names))
    graph = prune(written.graph(model.graph.heads))
    read = set(graph.variables())
    return replace(model, graph=graph, arg_params={name: array for name, array in arrays.items() if name in read},
                   aux_params={name: array for name, array in model.aux_params.items() if name in read})


def _pairs(model, exclude):
    """dict of int to int: position of a BatchNorm -> that of its convolution."""
    graph, readers = model.graph, model.graph.consumers()
    outside = {head[0] for head in graph.heads}
    found = {}
    for position, node in enumerate(graph.nodes):
        if node.op == "BatchNorm":
            layer = node.inputs[0][0]
            alone = readers[layer] == [position] and layer not in outside and graph.nodes[layer].name not in exclude
            if alone and graph.nodes[layer].op == "Convolution" and _is_plain(model, position, readers[position]) and \
                    _owns_weights(model, layer, readers):
                found[position] = layer
    return found


def _is_plain(model, position, behind):
    """Whether a BatchNorm is over channels, its statistics are stored, and only its first output is read."""
    graph, node = model.graph, model.graph.nodes[position]
    entries = [entry for reader in behind for entry in graph.nodes[reader].inputs] + list(graph.heads)
    names = [graph.nodes[entry[0]].name for entry in node.inputs[1:]]
    return attrs.integer(node, "axis", 1) == 1 and all(entry[1] == 0 for entry in entries if entry[0] == position) and \
        all(name in model.arg_params for name in names[:2]) and all(name in model.aux_params for name in names[2:])


def _owns_weights(model, layer, readers):
    variables = [entry[0] for entry in model.graph.nodes[layer].inputs[1:]]
    return all(readers[variable] == [layer] and model.graph.nodes[variable].name in model.arg_params
               for variable in variables)


def _folded(model, layer, norm, written, arrays, names):
    """The convolution in the place of a BatchNorm; its arrays go into `arrays`, a bias that it lacks into `written`."""
    inputs = [model.graph.nodes[entry[0]].name for entry in layer.inputs[1:]]
    weight, *bias = (arrays[name].asnumpy() for name in inputs)
    norm_inputs = [model.graph.nodes[entry[0]].name for entry in norm.inputs[1:]]
    stored = dict(model.arg_params, **model.aux_params)
    scale, shift = scale_and_shift(norm, *(stored[name].asnumpy().astype(np.float64) for name in norm_inputs))
    arrays[inputs[0]] = mx.nd.array(weight * scale.reshape((-1,) + (1,) * (weight.ndim - 1)))
    entries = list(map(written.where, layer.inputs))
    if not bias:
        inputs.append(free_name(norm.name + "_bias", names))
        entries.append(written.add(Node("null", inputs[1], {})))
    arrays[inputs[1]] = mx.nd.array(shift + scale * (bias[0] if bias else 0))
    return replace(layer, name=norm.name, inputs=tuple(entries), attrs=dict(layer.attrs, no_bias="False"))


def scale_and_shift(norm, gamma, beta, mean, variance):
    """What a BatchNorm multiplies by, and what it then adds, at inference.

    Parameters
    ----------
    norm : Node
    gamma, beta, mean, variance : ndarray, shape (channels,)

    Returns
    -------
    scale, shift : ndarray of float64, shape (channels,)
    """
    gamma = np.ones_like(beta) if attrs.boolean(norm, "fix_gamma", True) else gamma
    scale = gamma / np.sqrt(variance.astype(np.float64) + eps(norm))
    return scale, beta - mean * scale


def eps(norm):
    """float: what a BatchNorm adds to the variance."""
    return attrs.number(norm, "eps", _EPS)

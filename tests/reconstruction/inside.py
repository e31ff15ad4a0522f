"""Every value inside a network, from an executor that fuses nothing; and patches cut out one by one."""
import numpy as np

from accnn.core.compat import mx
from accnn.graph.ir import Graph


def values(model, monkeypatch, **inputs):
    """dict: (node, output) -> ndarray, of all entries of the graph."""
    symbol = model.symbol.get_internals()
    with monkeypatch.context() as unfused:
        unfused.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
        executor = symbol.simple_bind(mx.cpu(), grad_req="null", **{name: x.shape for name, x in inputs.items()})
    executor.copy_params_from(model.arg_params, model.aux_params, allow_extra_params=True)
    for name, array in inputs.items():
        executor.arg_dict[name][:] = array
    found = [output.asnumpy() for output in executor.forward(is_train=False)]
    return dict(zip([head[:2] for head in Graph.from_symbol(symbol).heads], found))


def around(model, monkeypatch, names, **inputs):
    """dict: layer -> (what it reads, what it answers)."""
    found = values(model, monkeypatch, **inputs)
    return {node.name: (found[node.inputs[0][:2]], found[place, 0])
            for place, node in enumerate(model.graph.nodes) if node.name in names and not node.is_variable}


def patch(image, part, place):
    """(groups, values) of one place of a 2-D convolution."""
    (top, left), (down, right), (kh, kw) = part.pad, part.dilate, part.kernel
    padded = np.pad(image, ((0, 0), (top, top), (left, left)))
    width = part.out_shape(image.shape)[2]
    y, x = place // width * part.stride[0], place % width * part.stride[1]
    cut = padded[:, y:y + down * (kh - 1) + 1:down, x:x + right * (kw - 1) + 1:right]
    return cut.reshape(part.groups, -1)


def answers(patches, weight, bias, groups):
    """(rows, outputs): weights times patches, group by group."""
    weights = weight.reshape(groups, len(weight) // groups, -1)
    return np.concatenate([patches[:, group] @ weights[group].T for group in range(groups)], axis=1) + bias

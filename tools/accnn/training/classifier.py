"""A new last layer, for other classes than the network knows."""
from dataclasses import replace

import numpy as np

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.ir import Graph

_COUNTED = {"FullyConnected": "num_hidden", "Convolution": "num_filter"}
_BETWEEN = {"Flatten", "Reshape", "Pooling", "Activation", "LeakyReLU", "Dropout", "_copy", "identity", "Cast",
            "amp_cast", "BlockGrad", "mean", "squeeze", "SoftmaxOutput", "Softmax", "softmax",
            "SoftmaxActivation", "log_softmax"}


def with_classes(model, head, classes, seed=0):
    """Return the model with a new, random last layer; every other parameter is kept.

    Parameters
    ----------
    model : Model
    head : Head
    classes : int
    seed : int

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        What lies between the output and the layer before it is tied to the number of classes.
    """
    graph = model.graph
    position = _last_layer(model, head.node)
    node = graph.nodes[position]
    if attrs.integer(node, "num_group", 1) != 1:
        raise AccnnError("the last layer %s of %s is grouped: it cannot be given other classes"
                         % (node.name, model.prefix))
    parameters = [entry[0] for entry in node.inputs[1:]]
    readers = graph.consumers()
    for place in parameters:
        if len(readers[place]) > 1 or graph.nodes[place].name not in model.arg_params:
            raise AccnnError("the last layer %s of %s shares %s with another layer: it cannot be given other classes"
                             % (node.name, model.prefix, graph.nodes[place].name))
    new_nodes = list(graph.nodes)
    new_nodes[position] = replace(node, attrs=dict(node.attrs, **{_COUNTED[node.op]: str(classes)}))
    for place in parameters:  # these say the old shape, which MXNet would believe
        new_nodes[place] = replace(graph.nodes[place], attrs={
            key: value for key, value in graph.nodes[place].attrs.items() if key.startswith("__") and key not in
            ("__shape__", "__init__")})
    names = [graph.nodes[place].name for place in parameters]
    fresh = _fresh(model, names, classes, seed)
    return replace(model, graph=Graph(tuple(new_nodes), graph.heads), arg_params=dict(model.arg_params, **fresh))


def _last_layer(model, position):
    nodes = model.graph.nodes
    while nodes[position].op not in _COUNTED:
        node = nodes[position]
        if node.op not in _BETWEEN:
            raise AccnnError("--num-classes: between the output of %s and its last layer stands %s (%s), which is tied "
                             "to the old classes" % (model.prefix, node.name, node.op))
        position = node.inputs[0][0]
    return position


def _fresh(model, names, classes, seed):
    """A weight of He's normal distribution, and a bias of zeros."""
    random = np.random.RandomState(seed)
    weight = model.arg_params[names[0]]
    shape = (classes,) + tuple(weight.shape[1:])
    values = random.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
    fresh = {names[0]: mx.nd.array(values, dtype=weight.dtype)}
    if len(names) > 1:
        fresh[names[1]] = mx.nd.zeros(classes, dtype=model.arg_params[names[1]].dtype)
    return fresh

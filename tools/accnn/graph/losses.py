"""Operators that train: what they compute at inference, with neither a label nor a gradient of their own."""
from accnn.graph import attrs
from accnn.graph.ir import Node

SOFTMAX, SIGMOID, IDENTITY = "softmax", "sigmoid", "_copy"
_COMPUTED = {"SoftmaxOutput": SOFTMAX, "Softmax": SOFTMAX, "LogisticRegressionOutput": SIGMOID,
             "LinearRegressionOutput": IDENTITY, "MAERegressionOutput": IDENTITY, "SVMOutput": IDENTITY,
             "MakeLoss": IDENTITY, "make_loss": IDENTITY, "IdentityAttachKLSparseReg": IDENTITY}


def is_loss(node):
    """Whether an operator's gradient is that of a loss, whatever follows it."""
    return node.op in _COMPUTED


def at_inference(node):
    """Node: what a loss computes in the forward pass, under its name; any other node as it is."""
    if not is_loss(node):
        return node
    channels = _COMPUTED[node.op] == SOFTMAX and attrs.boolean(node, "multi_output")
    return Node(_COMPUTED[node.op], node.name, {"axis": "1"} if channels else {}, node.inputs[:1])

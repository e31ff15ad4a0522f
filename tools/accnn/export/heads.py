"""Operators at which training ends: what they compute at inference, without their labels."""
from accnn.export.activation import over_example
from accnn.export.registry import converts


@converts("SoftmaxOutput", "Softmax", inputs=1)
def softmax_output(layer):
    """Softmax over the channels with `multi_output`, over the last axis with `preserve_shape`, else the whole example."""
    if layer.boolean("multi_output"):
        return layer.add("Softmax", layer.x, axis=1)
    if layer.boolean("preserve_shape"):
        return layer.add("Softmax", layer.x, axis=layer.x.ndim - 1)
    return over_example(layer)


@converts("LogisticRegressionOutput", inputs=1)
def logistic(layer):
    """The logistic function."""
    return layer.add("Sigmoid", layer.x)


@converts("LinearRegressionOutput", "MAERegressionOutput", "SVMOutput", inputs=1)
def regression(layer):
    """What they read."""
    return layer.x


@converts("MakeLoss", "make_loss", "IdentityAttachKLSparseReg", inputs=1)
def loss(layer):
    """What they read."""
    return layer.x

"""Operators at which training ends: what they compute at inference, without their labels."""
from accnn.exporting.registry import converts

_ONEDNN = (1, 2, 4)  # numbers of axes for which MXNet lets oneDNN compute a softmax


@converts("SoftmaxOutput", inputs=1)
def softmax_output(layer):
    """Softmax of the channels with `multi_output`, of the last axis with `preserve_shape`, else of the example.

    Of the example MXNet makes the last axis, too, at inference on a CPU, where oneDNN computes it.
    """
    if layer.boolean("multi_output"):
        return layer.add("Softmax", layer.x, axis=1)
    if layer.boolean("preserve_shape") or layer.x.ndim in _ONEDNN:
        return layer.add("Softmax", layer.x, axis=layer.x.ndim - 1)
    return layer.reshape(layer.add("Softmax", layer.add("Flatten", layer.x, axis=1), axis=1), layer.x.shape)


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

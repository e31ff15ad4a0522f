"""The two groups of layers that the older networks are made of, named as Caffe names them."""
from accnn.core.compat import mx


def conv_relu(data, suffix, **convolution):
    """Return conv<suffix> followed by relu<suffix>."""
    conv = mx.sym.Convolution(data, name="conv" + suffix, **convolution)
    return mx.sym.Activation(conv, act_type="relu", name="relu" + suffix)


def classifier(features, num_classes):
    """Return fc6 and fc7 of 4096 units with ReLU and dropout, fc8 and the softmax over `features`.

    `features` has to be flat already, shape (batch, length).
    """
    data = features
    for suffix in ("6", "7"):
        data = mx.sym.FullyConnected(data, num_hidden=4096, name="fc" + suffix)
        data = mx.sym.Activation(data, act_type="relu", name="relu" + suffix)
        data = mx.sym.Dropout(data, p=0.5, name="drop" + suffix)
    data = mx.sym.FullyConnected(data, num_hidden=num_classes, name="fc8")
    return mx.sym.SoftmaxOutput(data, name="softmax")

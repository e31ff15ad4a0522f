"""AlexNet as released with Caffe (bvlc_alexnet): two groups in conv2, conv4 and conv5.

A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012.
"""
from accnn.core.compat import mx
from model_zoo.symbols._layers import classifier, conv_relu

IMAGE_SHAPE = (3, 227, 227)


def get_symbol(num_classes=1000):
    """Return the network as a symbol.

    Parameters
    ----------
    num_classes : int, default=1000

    Returns
    -------
    mx.sym.Symbol
    """
    data = mx.sym.var("data")
    data = conv_relu(data, "1", kernel=(11, 11), stride=(4, 4), num_filter=96)
    data = _pool(_normalise(data, "1"), "1")
    data = conv_relu(data, "2", kernel=(5, 5), pad=(2, 2), num_filter=256, num_group=2)
    data = _pool(_normalise(data, "2"), "2")
    data = conv_relu(data, "3", kernel=(3, 3), pad=(1, 1), num_filter=384)
    data = conv_relu(data, "4", kernel=(3, 3), pad=(1, 1), num_filter=384, num_group=2)
    data = conv_relu(data, "5", kernel=(3, 3), pad=(1, 1), num_filter=256, num_group=2)
    data = _pool(data, "5")
    return classifier(mx.sym.Flatten(data, name="flatten"), num_classes)


def _normalise(data, suffix):
    return mx.sym.LRN(data, nsize=5, alpha=1e-4, beta=0.75, knorm=1, name="norm" + suffix)


def _pool(data, suffix):
    return mx.sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pool_type="max", name="pool" + suffix)

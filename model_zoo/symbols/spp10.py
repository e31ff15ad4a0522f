"""SPP-10: seven convolutions, a spatial pyramid pooling and three fully connected layers.

X. Zhang, J. Zou, K. He, J. Sun, "Accelerating very deep convolutional networks for classification
and detection", arXiv:1505.06798, Table 1; the network is "SPPnet (OverFeat-7)" of K. He et al.,
arXiv:1406.4729. The table gives sizes but no paddings: those here are the ones that yield its
sizes from a 224x224 image.
"""
from accnn.core.compat import mx
from model_zoo.symbols._layers import classifier, conv_relu

IMAGE_SHAPE = (3, 224, 224)

# The pyramid sits on maps of 18x18; each level divides them into bins x bins cells of equal size.
MAP_SIDE = 18
PYRAMID_BINS = (6, 3, 2, 1)


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
    data = conv_relu(data, "1", kernel=(7, 7), stride=(2, 2), num_filter=96)
    data = _pool_rounding_up(data, "pool1", 3)
    data = conv_relu(data, "2", kernel=(5, 5), pad=(1, 1), num_filter=256)
    data = _pool_rounding_up(data, "pool2", 2)
    for layer in range(3, 8):
        data = conv_relu(data, str(layer), kernel=(3, 3), pad=(1, 1), num_filter=512)
    return classifier(_pyramid(data), num_classes)


def _pool_rounding_up(data, name, side):
    # 109 -> 37 and 35 -> 18 only come out when a last, incomplete window counts, as it does in Caffe.
    return mx.sym.Pooling(data, kernel=(side, side), stride=(side, side), pool_type="max",
                          pooling_convention="full", name=name)


def _pyramid(data):
    """Return the maxima of all cells of all levels, flattened: 50 cells x 512 maps."""
    return mx.sym.concat(*[_level(data, bins) for bins in PYRAMID_BINS], dim=1, name="spp")


def _level(data, bins):
    name = "spp_%dx%d" % (bins, bins)
    side = MAP_SIDE // bins
    pooled = mx.sym.Pooling(data, kernel=(side, side), stride=(side, side), pool_type="max", name=name)
    return mx.sym.Flatten(pooled, name=name + "_flatten")

"""VGG-16 (configuration D), with the layer names of the Caffe release.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556.
"""
from accnn.core.compat import mx
from model_zoo.symbols._layers import classifier, conv_relu

IMAGE_SHAPE = (3, 224, 224)

# One entry a stage: (convolutions, filters); every stage ends in a pooling that halves the image.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


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
    for stage, (convolutions, filters) in enumerate(STAGES, start=1):
        for layer in range(1, convolutions + 1):
            data = conv_relu(data, "%d_%d" % (stage, layer), kernel=(3, 3), pad=(1, 1), num_filter=filters)
        data = mx.sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool%d" % stage)
    return classifier(mx.sym.Flatten(data, name="flatten"), num_classes)

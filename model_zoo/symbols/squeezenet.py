"""SqueezeNet 1.0, with the layer names of the MXNet model converted from Caffe.

F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size", arXiv:1602.07360.
"""
from accnn.core.compat import mx

IMAGE_SHAPE = (3, 224, 224)

# Fire modules in order, as filters of (squeeze, each of the two expansions).
FIRE = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
POOLED_AFTER_FIRE = (4, 8)


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
    data = mx.sym.Convolution(data, kernel=(7, 7), stride=(2, 2), num_filter=96, name="conv1")
    data = _pool(mx.sym.Activation(data, act_type="relu", name="relu_conv1"), "pool1")
    for number, (squeeze, expand) in FIRE.items():
        data = _fire(data, "fire%d" % number, squeeze, expand)
        if number in POOLED_AFTER_FIRE:
            data = _pool(data, "pool%d" % number)
    return _classifier(mx.sym.Dropout(data, p=0.5, name="drop9"), num_classes)


def _fire(data, name, squeeze, expand):
    """Return two expansions, 1x1 and 3x3, side by side on one 1x1 squeeze."""
    squeezed = _conv_relu(data, name, "conv1x1_1", squeeze)
    return mx.sym.concat(_conv_relu(squeezed, name, "conv1x1_2", expand),
                         _conv_relu(squeezed, name, "conv3x3_2", expand, kernel=(3, 3), pad=(1, 1)),
                         dim=1, name=name + "_concat")


def _conv_relu(data, fire, layer, filters, kernel=(1, 1), pad=(0, 0)):
    conv = mx.sym.Convolution(data, kernel=kernel, pad=pad, num_filter=filters, name="%s_%s" % (fire, layer))
    return mx.sym.Activation(conv, act_type="relu", name="%s_relu_%s" % (fire, layer))


def _pool(data, name):
    return mx.sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name=name)


def _classifier(data, num_classes):
    # The padding of this 1x1 convolution is not a slip: the released model has it.
    data = mx.sym.Convolution(data, kernel=(1, 1), pad=(1, 1), num_filter=num_classes, name="conv_final")
    data = mx.sym.Activation(data, act_type="relu", name="relu_conv_final")
    data = mx.sym.Pooling(data, kernel=(1, 1), global_pool=True, pool_type="avg", name="pool_final")
    return mx.sym.SoftmaxOutput(mx.sym.Flatten(data, name="flatten"), name="softmax")

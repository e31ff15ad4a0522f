"""ResNet-50 v1 (a unit's stride sits in its first 1x1), with the names of MXNet's classic symbol.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", arXiv:1512.03385.
"""
from accnn.core.compat import mx

IMAGE_SHAPE = (3, 224, 224)

# One entry a stage: (units, filters that leave a unit).
STAGES = ((3, 256), (4, 512), (6, 1024), (3, 2048))


def get_symbol(num_classes=1000):
    """Return the network as a symbol.

    Parameters
    ----------
    num_classes : int, default=1000

    Returns
    -------
    mx.sym.Symbol
    """
    data = _stem(mx.sym.var("data"))
    for stage, (units, filters) in enumerate(STAGES, start=1):
        for unit in range(1, units + 1):
            stride = 2 if stage > 1 and unit == 1 else 1
            data = _unit(data, "stage%d_unit%d" % (stage, unit), filters, stride, projected=unit == 1)
    data = mx.sym.Pooling(data, kernel=(7, 7), global_pool=True, pool_type="avg", name="pool1")
    data = mx.sym.Flatten(data, name="flatten0")
    data = mx.sym.FullyConnected(data, num_hidden=num_classes, name="fc1")
    return mx.sym.SoftmaxOutput(data, name="softmax")


def _stem(data):
    data = _conv(data, "conv0", 64, kernel=7, stride=2)
    data = _relu(_norm(data, "bn0"), "relu0")
    return mx.sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="pool0")


def _unit(data, name, filters, stride, projected):
    """Return the bottleneck 1x1, 3x3, 1x1 plus its input, projected where the shapes differ."""
    narrow = filters // 4
    body = _relu(_norm(_conv(data, name + "_conv1", narrow, 1, stride), name + "_bn1"), name + "_relu1")
    body = _relu(_norm(_conv(body, name + "_conv2", narrow, 3), name + "_bn2"), name + "_relu2")
    body = _norm(_conv(body, name + "_conv3", filters, 1), name + "_bn3")
    if projected:
        data = _norm(_conv(data, name + "_conv1sc", filters, 1, stride), name + "_sc")
    return _relu(mx.sym.elemwise_add(body, data, name=name + "_plus"), name + "_relu3")


def _conv(data, name, filters, kernel, stride=1):
    half = kernel // 2
    return mx.sym.Convolution(data, num_filter=filters, kernel=(kernel, kernel), stride=(stride, stride),
                              pad=(half, half), no_bias=True, name=name)


def _norm(data, name):
    # The operator's default, fix_gamma=True, would ignore the stored gamma.
    return mx.sym.BatchNorm(data, fix_gamma=False, eps=2e-5, momentum=0.9, name=name)


def _relu(data, name):
    return mx.sym.Activation(data, act_type="relu", name=name)

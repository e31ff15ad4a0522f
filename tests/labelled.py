"""Networks for training that read their labels in other ways than a loss of the label itself."""
from accnn.core.compat import mx
from networks import random_model

S = mx.sym
SHAPE, CLASSES = (3, 12, 12), 5


def features():
    x = S.Convolution(S.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="conv1")
    x = S.Activation(x, act_type="relu", name="relu1")
    x = S.Convolution(x, kernel=(3, 3), stride=(2, 2), num_filter=8, name="conv2")
    return S.Activation(x, act_type="relu", name="relu2")


def scores(width=CLASSES, name="fc"):
    return S.FullyConnected(features(), num_hidden=width, name=name)


def label():
    return S.Variable("softmax_label")


def reshaped():
    """As in apache/mxnet#2217 and many recurrent examples."""
    return S.SoftmaxOutput(scores(), S.Reshape(label(), shape=(-1,)), name="softmax")


def four_letters():
    """As in OCR examples: a label of four numbers, and four rows an image."""
    shared = features()
    letters = S.Concat(*(S.FullyConnected(shared, num_hidden=CLASSES, name="letter%d" % i) for i in range(4)), dim=0)
    return S.SoftmaxOutput(letters, S.Reshape(S.transpose(label()), shape=(-1,)), name="softmax")


def passed_on():
    """As metrics that read the label from an output want it."""
    said = label()
    return S.Group([S.SoftmaxOutput(scores(), said, name="softmax"), S.BlockGrad(said, name="labels")])


def loss_by_hand():
    p = S.softmax(scores(), name="prob")
    loss = S.sum(S.one_hot(label(), depth=CLASSES) * S.log(p + 1e-12), axis=1) * -1
    return S.Group([S.BlockGrad(p, name="blocked"), S.MakeLoss(loss, name="loss")])


def arcface():
    """An embedding, cosines with the classes' directions, and a margin for the class that the label says."""
    said, embedding = label(), S.BatchNorm(scores(6, "pre_fc1"), fix_gamma=True, name="fc1")
    weight = S.L2Normalization(S.Variable("fc7_weight", shape=(CLASSES, 6)), mode="instance", name="directions")
    cosines = S.FullyConnected(S.L2Normalization(embedding, mode="instance", name="unit") * 8, weight, no_bias=True,
                               num_hidden=CLASSES, name="fc7")
    margin = S.one_hot(said, depth=CLASSES, on_value=4.0, off_value=0.0, name="margin")
    return S.SoftmaxOutput(cosines - margin, said, name="softmax")


def picked():
    """ArcFace's other form, where no loss tells the shape of the label."""
    cosines, said = scores(), label()
    own = S.pick(cosines, said, axis=1, keepdims=True)
    return S.softmax(S.broadcast_add(cosines, S.broadcast_mul(S.one_hot(said, depth=CLASSES), own * -0.5)),
                     name="prob")


NETWORKS = {make.__name__: make for make in (reshaped, four_letters, passed_on, loss_by_hand, arcface, picked)}


def model(name, seed=0):
    """Model with random parameters, none of them for a label."""
    symbol = NETWORKS[name]()
    known = {"softmax_label": (4,) if name == "four_letters" else ()}
    made = random_model(symbol, seed, data=SHAPE, **known)
    return made

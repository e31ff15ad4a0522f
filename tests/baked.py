"""Small networks whose graph holds a batch, splits it, or does not take one example; with random parameters."""
import numpy as np

from accnn.core.compat import mx
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph

sym = mx.sym
SENTENCE, WORD = 56, 30


def model_at(symbol, batch, seed=0, **shapes):
    """Model of `symbol` with random parameters, whose shapes are inferred at `batch`."""
    rng = np.random.RandomState(seed)
    found, _, _ = symbol.infer_shape(**{name: (batch,) + shape for name, shape in shapes.items()})
    return Model(Graph.from_symbol(symbol), {
        name: mx.nd.array(rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1)))
        for name, shape in zip(symbol.list_arguments(), found) if name not in shapes and "label" not in name})


def text_net(held_by, batch, classes=5):
    """A sentence classifier after Kim (2014), 10 filters over 3, 4 and 5 words each.

    `held_by` says where the batch is written down: 'reshape', 'hint', 'label' or 'state'.
    """
    data = sym.Variable("data", **({"shape": (batch, 1, SENTENCE, WORD)} if held_by == "hint" else {}))
    pooled = []
    for words in (3, 4, 5):
        maps = sym.Convolution(data, kernel=(words, WORD), num_filter=10, name="conv%d" % words)
        pooled.append(sym.Pooling(sym.Activation(maps, act_type="relu"), kernel=(SENTENCE - words + 1, 1),
                                  pool_type="max"))
    x = sym.Concat(*pooled, dim=1)
    x = sym.Reshape(x, shape=(batch, 30)) if held_by in ("reshape", "hint") else sym.Flatten(x)
    if held_by == "state":
        begin = sym.FullyConnected(sym.zeros(shape=(batch, 16)), num_hidden=16, name="h2h")
        x = sym.tanh(sym.FullyConnected(x, num_hidden=16, name="i2h") + begin)
    label = sym.Variable("softmax_label", **({"shape": (batch,)} if held_by == "label" else {}))
    return sym.SoftmaxOutput(sym.FullyConnected(x, num_hidden=classes, name="fc"), label, name="softmax")


def text_model(held_by, batch):
    """:func:`text_net` with random parameters."""
    return model_at(text_net(held_by, batch), batch, data=(1, SENTENCE, WORD))


def conv(data, name, filters=4):
    """A 3x3 convolution that keeps the size."""
    return sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=filters, name=name)


def halved(data, convention="valid"):
    """Maximum over 2x2."""
    return sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention=convention)


def front():
    """A convolution and pooling to half the size."""
    return halved(conv(sym.Variable("data"), "c1"))


def classes(data, name="fc"):
    """A fully connected layer of 5 units."""
    return sym.FullyConnected(data, num_hidden=5, name=name)

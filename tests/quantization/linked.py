"""Small random networks with every kind of link between layers."""
import numpy as np

from accnn.core.compat import mx
from networks import random_model


def conv(data, name, filters, kernel=1, **options):
    """A convolution that keeps the size of its maps."""
    return mx.sym.Convolution(data, kernel=(kernel, kernel), pad=(kernel // 2,) * 2, num_filter=filters, name=name,
                              **options)


def norm(data, name, **options):
    """A BatchNorm whose gamma counts."""
    return mx.sym.BatchNorm(data, fix_gamma=options.pop("fix_gamma", False), name=name, **options)


def relu(data):
    """A ReLU."""
    return mx.sym.Activation(data, act_type="relu")


def linear_chain(groups=(1, 1), normalised=False, first_bias=True, seed=0, copied=False):
    """Model: two convolutions with nothing, or a BatchNorm, between, and a nonlinear end."""
    x = conv(mx.sym.Variable("data"), "first", 16, 3, num_group=groups[0], no_bias=not first_bias)
    x = norm(x, "norm") if normalised else x
    x = mx.sym.identity(x, name="same") if copied else x
    x = relu(conv(x, "second", 16, 3, num_group=groups[1]))
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, name="fc")
    return random_model(mx.sym.SoftmaxOutput(x, name="softmax"), seed, data=(8, 6, 6))


def uneven(model, names=("first_weight",), seed=3):
    """Model: some layers' outputs of very different sizes, as INT8 fears."""
    arrays = dict(model.arg_params)
    for name in names:
        shape = arrays[name].shape
        factors = np.exp(np.random.RandomState(seed).uniform(-2, 2, shape[0])).reshape((-1,) + (1,) * (len(shape) - 1))
        arrays[name] = mx.nd.array(arrays[name].asnumpy() * factors)
    return type(model)(model.graph, arrays, model.aux_params)

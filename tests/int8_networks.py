"""Small networks with what MXNet's quantization meets, and running them in float32 and in INT8."""
import numpy as np

from accnn.core.compat import mx
from accnn.quantization.int8_graph import partition, quantize
from accnn.quantization.ranges import minimum_and_maximum
from accnn.runtime.predictor import Predictor
from reference import relative_error

S = mx.sym
SIDE = 14


def conv(x, name, width=8, kernel=3, **more):
    return S.Convolution(x, kernel=(kernel, kernel), pad=(kernel // 2,) * 2, num_filter=width, name=name, **more)


def relu(x, name):
    return S.Activation(x, act_type="relu", name=name)


def leaky(x, name="leaky"):
    return S.LeakyReLU(x, act_type="leaky", slope=0.2, name=name)


def norm(x, name="norm"):
    return S.BatchNorm(x, fix_gamma=False, name=name)


def fc(x, name, width=6, **more):
    return S.FullyConnected(x, num_hidden=width, name=name, **more)


def pool(x, kind, name="pool", **more):
    return S.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type=kind, name=name, **more)


def forward(model, **inputs):
    """list of ndarray: what a model answers at its third pass, by accnn's own Predictor, behind one of fewer rows."""
    shapes = {name: array.shape[1:] for name, array in inputs.items()}
    predictor = Predictor(model, shapes, len(next(iter(inputs.values()))))
    arrays = [mx.nd.array(array) for array in predictor.arranged(inputs)]
    for first in (arrays, [array[1:] / 2 for array in arrays]):
        for output in predictor.forward(*first):
            output.wait_to_read()
    return [output.asnumpy() for output in predictor.forward(*arrays)]


def ranges(model, exclude=(), **inputs):
    """dict: thresholds of a model from one batch."""
    return minimum_and_maximum(partition(model, exclude), {name: array.shape[1:] for name, array in inputs.items()},
                               [inputs])


def in_int8(model, exclude=(), **inputs):
    """Model: quantized with the ranges of one batch."""
    return quantize(model, ranges(model, exclude, **inputs), exclude)


def errors(model, other, **inputs):
    """list of float: the relative error of every head."""
    return [relative_error(right, found) for right, found in zip(forward(model, **inputs), forward(other, **inputs))]


def gaussian(*shape, seed=1):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)

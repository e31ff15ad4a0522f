"""What no INT8 network can be made of is told in a sentence, before anything is computed."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.quantization.bfloat16 import to_bfloat16
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.int8 import Int8Config, make_int8
from mxnet_int8 import quantized
from networks import chain_model, chain_net, random_input, random_model

SHAPES = {"data": (3, 12, 12)}
LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")


def refused(model, original=None, exclude=()):
    images = ArrayImages({"data": random_input(20, 3, 12, 12)}, 10)
    with pytest.raises(AccnnError) as caught:
        make_int8(model, images, SHAPES, original, Int8Config(kinds=("naive",), exclude=exclude))
    return str(caught.value)


def scaled(model, **factors):
    arrays = {name: array * factors.get(name, 1) for name, array in model.arg_params.items()}
    return type(model)(model.graph, arrays, model.aux_params)


def rooted():
    """A network whose output is the root of negative numbers."""
    layer = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="conv")
    return random_model(mx.sym.sqrt(layer, name="root"), data=(3, 12, 12))


def other():
    layer = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="conv")
    return random_model(layer, data=(3, 12, 12))


def unquantizable():
    layer = mx.sym.Deconvolution(mx.sym.Variable("data"), kernel=(2, 2), num_filter=4, name="up")
    return random_model(mx.sym.Pooling(layer, kernel=(2, 2), pool_type="max"), data=(3, 12, 12))


@pytest.mark.parametrize("made, said", [
    (lambda: refused(chain_model(), exclude=LAYERS), "can be INT8: conv1, conv2, conv3, fc1, ...: it is excluded"),
    (lambda: refused(unquantizable()), "it has no convolution or fully connected layer"),
    (lambda: refused(random_model(chain_net(), dtype="float16", data=(3, 12, 12))), "half precision"),
    (lambda: refused(to_bfloat16(chain_model())), "half precision"),
    (lambda: refused(chain_model(), quantized(chain_model(), random_input(8, 3, 12, 12))), "is an INT8 network"),
    (lambda: refused(chain_model(), other()), "has the outputs conv_output of 4,10,10, but"),
    (lambda: refused(scaled(chain_model(), conv1_weight=1e30)), "which is too large to compute with"),
    (lambda: refused(rooted()), "the output 'root_output' of"),
], ids=["excluded", "no layer", "float16", "bfloat16", "INT8 original", "other original", "huge", "NaN"])
def test_refused(made, said):
    assert said in made()


def test_constant_and_dead_channels_become_int8():
    model = scaled(chain_model(), conv2_weight=mx.nd.array(np.repeat([1, 0], 6).reshape(12, 1, 1, 1)))
    model = scaled(model, conv3_weight=0, conv3_bias=0)
    images = ArrayImages({"data": random_input(20, 3, 12, 12)}, 10)
    made = make_int8(model, images, SHAPES, config=Int8Config(kinds=("naive",)))
    assert [one.precision for one in made.precisions] == ["int8"] * 5 and made.errors["softmax_output"] < 0.02

"""The symbols against what their papers and their well-known releases say."""
import ast

import numpy as np
import pytest

from accnn.core.compat import mx
from model_zoo.initialise import random_parameters
from model_zoo.symbols import SYMBOLS, alexnet, resnet50, spp10, squeezenet, vgg16

# The published counts of trainable numbers; spp10's follows from Table 1: seven convolutions and
# three fully connected layers of 25600 x 4096, 4096 x 4096 and 4096 x 1000.
PARAMETERS = {"alexnet": 60965224, "resnet50": 25557032, "squeezenet": 1248424, "vgg16": 138357544,
              "spp10": 3 * 96 * 49 + 96 + 96 * 256 * 25 + 256 + 256 * 512 * 9 + 4 * 512 * 512 * 9 + 5 * 512
              + 25600 * 4096 + 4096 * 4096 + 2 * 4096 + 4096 * 1000 + 1000}


def output_shapes(module):
    internals = module.get_symbol().get_internals()
    _, shapes, _ = internals.infer_shape(data=(1,) + module.IMAGE_SHAPE)
    return {name[:-len("_output")]: shape for name, shape in zip(internals.list_outputs(), shapes)
            if name.endswith("_output")}


def weight_shapes(module):
    symbol = module.get_symbol()
    shapes, _, _ = symbol.infer_shape(data=(1,) + module.IMAGE_SHAPE)
    return {name[:-len("_weight")]: shape for name, shape in zip(symbol.list_arguments(), shapes)
            if name.endswith("_weight")}


def macs(module):
    """Return the multiply-adds of each layer: one use of every weight at every output position."""
    outputs = output_shapes(module)
    return {name: int(np.prod(shape)) * int(np.prod(outputs[name][2:]))
            for name, shape in weight_shapes(module).items()}


def attributes(module, layer):
    return module.get_symbol().get_internals()[layer + "_output"].list_attr()


@pytest.mark.parametrize("name", sorted(SYMBOLS))
def test_every_symbol_keeps_the_contract(name):
    symbol = SYMBOLS[name].get_symbol(num_classes=7)
    arguments = symbol.list_arguments()
    shapes, outputs, _ = symbol.infer_shape(data=(2,) + SYMBOLS[name].IMAGE_SHAPE)
    assert symbol.list_outputs() == ["softmax_output"] and outputs == [(2, 7)]
    assert arguments[0] == "data" and arguments[-1] == "softmax_label" and len(set(arguments)) == len(arguments)
    assert shapes[-1] == (2,)
    assert symbol.tojson() == SYMBOLS[name].get_symbol(num_classes=7).tojson(), "names must not depend on a counter"


@pytest.mark.parametrize("name", sorted(SYMBOLS))
def test_parameters_are_as_many_as_published(name):
    module = SYMBOLS[name]
    symbol = module.get_symbol()
    shapes, _, _ = symbol.infer_shape(data=(1,) + module.IMAGE_SHAPE)
    assert sum(int(np.prod(shape)) for argument, shape in zip(symbol.list_arguments(), shapes)
               if argument not in ("data", "softmax_label")) == PARAMETERS[name]


# --- spp10: Table 1 of Zhang et al. ------------------------------------------------------------

TABLE_1 = [  # layer, kernel, channels, filters, stride, output, complexity in %
    ("conv1", 7, 3, 96, 2, 109, 3.8), ("pool1", 3, None, 96, 3, 37, None),
    ("conv2", 5, 96, 256, 1, 35, 17.3), ("pool2", 2, None, 256, 2, 18, None),
    ("conv3", 3, 256, 512, 1, 18, 8.8), ("conv4", 3, 512, 512, 1, 18, 17.5), ("conv5", 3, 512, 512, 1, 18, 17.5),
    ("conv6", 3, 512, 512, 1, 18, 17.5), ("conv7", 3, 512, 512, 1, 18, 17.5)]


@pytest.mark.parametrize("layer, kernel, channels, filters, stride, output, complexity", TABLE_1)
def test_spp10_row_of_table_1(layer, kernel, channels, filters, stride, output, complexity):
    written = attributes(spp10, layer)
    assert ast.literal_eval(written["kernel"]) == (kernel, kernel)
    assert ast.literal_eval(written.get("stride", "(1, 1)")) == (stride, stride)
    assert output_shapes(spp10)[layer] == (1, filters, output, output)
    if complexity is not None:
        assert weight_shapes(spp10)[layer] == (filters, channels, kernel, kernel)
        costs = {name: cost for name, cost in macs(spp10).items() if name.startswith("conv")}
        assert round(100.0 * costs[layer] / sum(costs.values()), 1) == complexity


def test_spp10_pyramid_and_classifier():
    shapes = output_shapes(spp10)
    levels = [shapes["spp_%dx%d" % (bins, bins)] for bins in (6, 3, 2, 1)]
    assert levels == [(1, 512, bins, bins) for bins in (6, 3, 2, 1)]
    assert shapes["spp"] == (1, 50 * 512)
    assert [shapes[name] for name in ("fc6", "fc7", "fc8")] == [(1, 4096), (1, 4096), (1, 1000)]


def test_spp10_pyramid_takes_the_maxima_of_its_cells():
    maps = np.random.RandomState(0).uniform(size=(1, 512, 18, 18)).astype(np.float32)
    executor = spp10._pyramid(mx.sym.var("data")).simple_bind(mx.cpu(), grad_req="null", data=maps.shape)
    wanted = [maps.reshape(1, 512, bins, 18 // bins, bins, 18 // bins).max(axis=(3, 5)).reshape(1, -1)
              for bins in (6, 3, 2, 1)]
    np.testing.assert_array_equal(executor.forward(data=mx.nd.array(maps))[0].asnumpy(), np.concatenate(wanted, axis=1))


# --- the others ------------------------------------------------------------------------------

# Table 5 of Zhang et al.: share of each convolution of VGG-16 in %.
TABLE_5 = {"conv1_1": 0.6, "conv1_2": 12.0, "conv2_1": 6.0, "conv2_2": 12.0, "conv3_1": 6.0, "conv3_2": 12.1,
           "conv3_3": 12.1, "conv4_1": 6.0, "conv4_2": 12.1, "conv4_3": 12.1, "conv5_1": 3.0, "conv5_2": 3.0,
           "conv5_3": 3.0}


def test_vgg16_layers_and_cost():
    costs = macs(vgg16)
    assert list(costs) == list(TABLE_5) + ["fc6", "fc7", "fc8"]
    convolutions = {name: cost for name, cost in costs.items() if name.startswith("conv")}
    assert sum(convolutions.values()) == 15346630656
    assert sum(costs.values()) == 15470264320
    for name, cost in convolutions.items():
        assert 100.0 * cost / sum(convolutions.values()) == pytest.approx(TABLE_5[name], abs=0.06)


def test_vgg16_names():
    internals = vgg16.get_symbol().get_internals().list_outputs()
    for name in ("relu1_1", "relu5_3", "pool1", "pool5", "flatten", "relu6", "drop7", "softmax"):
        assert name + "_output" in internals
    assert {"conv1_1_weight", "conv1_1_bias", "fc6_weight", "fc8_bias"} <= set(internals)


def test_alexnet_groups_and_cost():
    costs = macs(alexnet)
    # output positions x filters x kernel x input channels of one group
    assert costs == {"conv1": 55 * 55 * 96 * 11 * 11 * 3, "conv2": 27 * 27 * 256 * 5 * 5 * 48,
                     "conv3": 13 * 13 * 384 * 3 * 3 * 256, "conv4": 13 * 13 * 384 * 3 * 3 * 192,
                     "conv5": 13 * 13 * 256 * 3 * 3 * 192, "fc6": 9216 * 4096, "fc7": 4096 * 4096, "fc8": 4096 * 1000}
    assert [attributes(alexnet, "conv%d" % layer).get("num_group", "1") for layer in range(1, 6)] == list("12122")
    assert [name for name in output_shapes(alexnet) if name.startswith("norm")] == ["norm1", "norm2"]


def test_squeezenet_cost():
    expected = {"conv1": 109 ** 2 * 96 * 147, "conv_final": 15 ** 2 * 512 * 1000}
    inputs = {2: 96, 3: 128, 4: 128, 5: 256, 6: 256, 7: 384, 8: 384, 9: 512}
    sides = {2: 54, 3: 54, 4: 54, 5: 27, 6: 27, 7: 27, 8: 27, 9: 13}
    for number, (squeeze, expand) in squeezenet.FIRE.items():
        positions = sides[number] ** 2
        expected["fire%d_conv1x1_1" % number] = positions * inputs[number] * squeeze
        expected["fire%d_conv1x1_2" % number] = positions * squeeze * expand
        expected["fire%d_conv3x3_2" % number] = positions * squeeze * expand * 9
    assert macs(squeezenet) == expected


def test_resnet50_cost_and_names():
    expected = {"conv0": 112 ** 2 * 64 * 147, "fc1": 2048 * 1000}
    before = 64
    for stage, (units, filters) in enumerate(((3, 256), (4, 512), (6, 1024), (3, 2048)), start=1):
        positions, narrow = (56 // 2 ** (stage - 1)) ** 2, filters // 4
        for unit in range(1, units + 1):
            name = "stage%d_unit%d_conv" % (stage, unit)
            expected.update({name + "1": positions * before * narrow, name + "2": positions * narrow ** 2 * 9,
                             name + "3": positions * narrow * filters})
            if unit == 1:
                expected[name + "1sc"] = positions * before * filters
            before = filters
    found = macs(resnet50)
    assert found == expected
    assert sum(found.values()) == pytest.approx(3.86e9, rel=1e-3)
    arguments = resnet50.get_symbol().list_arguments()
    assert not [name for name in arguments if "conv" in name and name.endswith("_bias")]
    assert {"stage4_unit3_bn3_gamma", "stage2_unit1_sc_beta", "bn0_gamma"} <= set(arguments)
    assert attributes(resnet50, "bn0")["fix_gamma"] == "False"


# Large images only where the network needs them: the fully connected layers would cost seconds.
FORWARD = [("alexnet", (3, 67, 67)), ("resnet50", (3, 64, 64)), ("squeezenet", (3, 224, 224)), ("vgg16", (3, 32, 32))]


@pytest.mark.parametrize("name, image_shape", FORWARD)
def test_forward_pass_gives_probabilities(name, image_shape):
    symbol = SYMBOLS[name].get_symbol(num_classes=10)
    found = forward(symbol, image_shape)
    assert found.shape == (2, 10)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(found) > 0


def test_forward_pass_of_spp10s_features():
    features = forward(spp10.get_symbol().get_internals()["spp_output"], spp10.IMAGE_SHAPE)
    assert features.shape == (2, 25600) and features.max() > 0


def forward(symbol, image_shape):
    arg_params, aux_params = random_parameters(symbol, image_shape, seed=3)
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=(2,) + image_shape)
    executor.copy_params_from(arg_params, aux_params)
    images = np.random.RandomState(0).uniform(-1, 1, (2,) + image_shape)
    result = executor.forward(is_train=False, data=mx.nd.array(images))[0].asnumpy()
    assert np.isfinite(result).all()
    return result

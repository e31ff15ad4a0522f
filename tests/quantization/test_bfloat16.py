"""Networks converted to bfloat16: the same answers but for rounding, the caller's arrays as they were."""
from dataclasses import replace

import numpy as np
import pytest

from accnn.core import amx
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model, load_model, save_model
from accnn.graph.ir import Graph
from accnn.quantization.bfloat16 import layer_precisions, to_bfloat16
from accnn.quantization.normalization import with_folded_normalization
from accnn.runtime.predictor import Predictor
from networks import chain_net, outputs, random_input, random_model, residual_net

pytestmark = pytest.mark.skipif(not amx.isa().startswith("AVX512"), reason="oneDNN has no bfloat16 kernels here")


def answers(model, shapes, batch=2, seed=3):
    """dict of str to ndarray: of a random batch."""
    rng, network = np.random.RandomState(seed), Predictor(model, shapes, batch)
    arrays = [mx.nd.array(rng.uniform(-1, 1, (batch,) + shapes[name])) for name in network.inputs]
    return {name: output.asnumpy() for name, output in zip(network.output_shapes, network.forward(*arrays))}


def operators(model):
    return [node.op for node in model.graph.nodes if not node.is_variable]


def close(model, shapes, tolerance=0.03):
    """The converted model, whose outputs are float32, have their names, and are the same but for rounding."""
    before = {name: array.asnumpy() for name, array in dict(model.arg_params, **model.aux_params).items()}
    converted = to_bfloat16(model)
    expected, found = answers(model, shapes), answers(converted, shapes)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - values).max() <= tolerance * np.abs(values).max()
    after = dict(model.arg_params, **model.aux_params)
    assert all(np.array_equal(values, after[name].asnumpy()) for name, values in before.items())
    return converted


def test_layers_and_what_is_between_them_are_computed_in_bfloat16():
    model = random_model(chain_net(), data=(3, 12, 12))
    converted = close(model, {"data": (3, 12, 12)})
    casts = [node for node in converted.graph.nodes if node.op == "amp_cast"]
    assert [node.attrs["dtype"] for node in casts] == ["bfloat16", "float32"]  # in front of the first, behind the last
    assert converted.arg_params["conv1_weight"].dtype == np.dtype([("bfloat16", np.uint16)])


def test_batch_normalization_becomes_a_part_of_the_weights_where_it_can():
    converted = close(random_model(residual_net(), data=(3, 12, 12)), {"data": (3, 12, 12)})
    assert "elemwise_add" in operators(converted)


@pytest.mark.parametrize("fix_gamma", [True, False])
@pytest.mark.parametrize("no_bias", [True, False])
def test_folded_normalization_answers_the_same_in_float32(fix_gamma, no_bias):
    data = mx.sym.Variable("data")
    net = mx.sym.Convolution(data, kernel=(3, 3), num_filter=6, no_bias=no_bias, num_group=3, name="c")
    net = mx.sym.BatchNorm(net, fix_gamma=fix_gamma, eps=1e-2, name="n")
    model = random_model(mx.sym.Activation(net, act_type="relu", name="r"), data=(6, 8, 8))
    folded = with_folded_normalization(model)
    assert operators(folded) == ["Convolution", "Activation"] and not folded.aux_params
    before, after = (answers(one, {"data": (6, 8, 8)})["r_output"] for one in (model, folded))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    assert operators(with_folded_normalization(model, ["c"])) == operators(model)


def read_twice(conv, norm):
    return mx.sym.Group([norm, mx.sym.sum(conv, name="s")])


def statistics_read(conv, norm):
    return mx.sym.Group([norm[0], norm[1]])


@pytest.mark.parametrize("ends", [read_twice, statistics_read])
def test_normalization_stays_where_more_is_read(ends):
    conv = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c")
    norm = mx.sym.BatchNorm(conv, name="n", output_mean_var=ends is statistics_read)
    model = random_model(ends(conv, norm), data=(3, 8, 8))
    assert operators(with_folded_normalization(model)) == operators(model)
    close(model, {"data": (3, 8, 8)})


def test_several_inputs_heads_and_shared_weights():
    one, two, weight = mx.sym.Variable("one"), mx.sym.Variable("two"), mx.sym.Variable("w")
    convs = [mx.sym.Convolution(data, weight, kernel=(3, 3), pad=(1, 1), num_filter=8, no_bias=True, name=name)
             for data, name in ((one, "a"), (two, "b"))]
    both = mx.sym.Concat(*convs, name="both")
    side = mx.sym.Deconvolution(both, kernel=(2, 2), stride=(2, 2), num_filter=4, name="up")
    net = mx.sym.Group([convs[0], mx.sym.LeakyReLU(both, act_type="prelu", name="p"), side,
                        mx.sym.sum(weight, name="norm"), mx.sym.softmax(mx.sym.FullyConnected(both, num_hidden=3,
                                                                                              name="f"), name="s")])
    model = random_model(net, one=(4, 6, 6), two=(4, 6, 6))
    converted = close(model, {"one": (4, 6, 6), "two": (4, 6, 6)})
    assert converted.arg_params["w"].dtype == np.float32  # `norm` reads it too
    assert {name for name, array in converted.arg_params.items() if array.dtype != np.float32} == {
        "f_weight", "f_bias", "w_bfloat16"}
    assert [(one.layer, one.precision) for one in layer_precisions(model)] == [
        ("a", "bf16"), ("b", "bf16"), ("up", "fp32"), ("f", "bf16")]


def test_identities_that_carry_a_name_are_gone_unless_they_are_an_output():
    conv = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 1), num_filter=4, name="c_v")
    kept = mx.sym.identity(conv, name="c")
    relu = mx.sym.Activation(kept, act_type="relu", name="r")
    model = random_model(relu, data=(3, 8, 8))
    assert "_copy" not in operators(close(model, {"data": (3, 8, 8)}))
    tapped = random_model(mx.sym.Group([relu, kept]), data=(3, 8, 8))
    assert list(answers(close(tapped, {"data": (3, 8, 8)}), {"data": (3, 8, 8)})) == ["r_output", "c_output"]


def test_an_output_that_is_given_twice_keeps_its_name():
    conv = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 1), num_filter=4, name="c")
    model = random_model(mx.sym.Group([conv, mx.sym.relu(conv, name="r"), conv]), data=(3, 8, 8))
    converted = to_bfloat16(model)
    assert converted.symbol.list_outputs() == model.symbol.list_outputs() == ["c_output", "r_output", "c_output"]
    first, _, last = outputs(converted, data=random_input(1, 3, 8, 8))
    assert np.array_equal(first, last) and first.dtype == np.float32


def test_layers_that_are_left_out_stay_float32():
    model = random_model(chain_net(), data=(3, 12, 12))
    converted = to_bfloat16(model, ["conv1"])
    assert converted.arg_params["conv1_weight"] is model.arg_params["conv1_weight"]
    assert {one.layer: one.reason for one in layer_precisions(model, ["conv1"])}["conv1"] == "it is excluded"


def test_what_is_saved_loads_in_plain_mxnet(tmp_path):
    model, shapes = random_model(residual_net(), data=(3, 12, 12)), {"data": (3, 12, 12)}
    converted = to_bfloat16(model)
    save_model(converted, str(tmp_path / "half"))
    symbol, args, states = mx.model.load_checkpoint(str(tmp_path / "half"), 1)
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", (2, 3, 12, 12))], for_training=False)
    module.set_params(args, states)
    data = np.random.RandomState(3).uniform(-1, 1, (2, 3, 12, 12))
    module.forward(mx.io.DataBatch([mx.nd.array(data)]), is_train=False)
    found = module.get_outputs()[0].asnumpy()
    assert np.array_equal(found, answers(converted, shapes)["fc_output"])
    assert np.array_equal(found, answers(load_model(str(tmp_path / "half")), shapes)["fc_output"])
    assert args["stem_weight"].dtype == converted.arg_params["stem_weight"].dtype != np.float32


def test_one_dimension_stays_float32():
    model = random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3,), num_filter=4, name="c"), data=(3, 8))
    assert operators(to_bfloat16(model)) == ["Convolution"]
    assert layer_precisions(model)[0].reason == "it is a 1-D convolution"


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(AccnnError, match="no layer 'conv9': did you mean conv3"):
        to_bfloat16(random_model(chain_net(), data=(3, 12, 12)), ("conv9",))


def test_what_is_in_half_precision_already_is_refused():
    net = mx.sym.amp_cast(mx.sym.Variable("data"), dtype="float16")
    with pytest.raises(AccnnError, match="half precision already"):
        to_bfloat16(Model(Graph.from_symbol(net), {}))
    model = random_model(chain_net(), data=(3, 12, 12))
    with pytest.raises(AccnnError, match="half precision already"):
        to_bfloat16(to_bfloat16(model))
    with pytest.raises(AccnnError, match="half precision already"):
        to_bfloat16(replace(model, arg_params={name: array.astype("float16")
                                               for name, array in model.arg_params.items()}))


@pytest.mark.parametrize("name, side", [("cifar_resnet20", 32), ("vgg16_cifar10", 32), ("mtcnn_det1", 24),
                                        ("mtcnn_det2", 24), ("mtcnn_det3", 48), ("retinaface_mnet_16", 64)])
def test_real_networks(shared, name, side):
    close(load_model("%s/models/%s" % (shared, name)), {"data": (3, side, side)}, 0.08)

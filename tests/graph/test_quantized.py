"""INT8 networks seen as the float ones that they were made from, and what is found wrong in their files."""
import json

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.check import check_model
from accnn.graph.checkpoint import examine, load_model, save_model
from accnn.graph.cut import count_macs
from accnn.graph.inputs import input_names, resolve_input_shapes
from accnn.graph.quantized import is_quantized
from accnn.graph.shapes import infer_shapes
from accnn.graph.specs import layer_specs
from mxnet_int8 import quantized
from networks import chain_model, chain_net, outputs, random_input, random_model, residual_net, saved

X = random_input(16, 3, 12, 12)


def branches():
    """Branches that are joined, one layer without a bias, average pooling, an activation that INT8 does not have."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, no_bias=True, name="c1")
    left = mx.sym.Activation(mx.sym.Convolution(x, kernel=(1, 1), num_filter=8, name="c2"), act_type="relu", name="r2")
    right = mx.sym.Activation(mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=8, name="c3"),
                              act_type="sigmoid", name="r3")
    x = mx.sym.Pooling(mx.sym.Concat(left, right, name="join"), kernel=(2, 2), stride=(2, 2), pool_type="avg",
                       name="pool")
    x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=8, num_group=4, name="c4")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, no_bias=True, name="f")
    return random_model(x, data=(3, 12, 12))


NETWORKS = {"chain": chain_model, "residual": lambda: random_model(residual_net(), data=(3, 12, 12)),
            "branches": branches}
CASES = [(kind, how) for kind in NETWORKS for how in ({}, {"excluded_op_names": ["_sg_mkldnn_fully_connected"]},
                                                      {"quantize_granularity": "channel-wise"})]


@pytest.mark.parametrize("kind, how", CASES, ids=lambda value: value if isinstance(value, str) else "+".join(value))
def test_the_float_view_is_the_float_network(kind, how, tmp_path):
    """Layers, shapes, multiply-adds, outputs; and numbers, where all weights are stored as floats."""
    model = NETWORKS[kind]()
    made = load_model(saved(quantized(model, X, **how), tmp_path / "q"))
    assert is_quantized(made.graph) and not is_quantized(made.float_view.graph) and model.float_view is model
    assert resolve_input_shapes(made) == resolve_input_shapes(model)
    shapes, found = {"data": (3, 12, 12)}, layer_specs(made.float_view, {"data": (3, 12, 12)})
    layers = layer_specs(model, shapes)
    assert [(spec.name, spec.op, spec.part, spec.in_shape) for spec in found] == \
        [(spec.name, spec.op, spec.part, spec.in_shape) for spec in layers]
    assert count_macs(found) == count_macs(layers) > 0
    assert made.float_view.symbol.list_outputs() == model.symbol.list_outputs()
    if all(array.dtype == np.float32 for array in made.arg_params.values()):
        for some, wanted in zip(outputs(made.float_view, data=X), outputs(model, data=X)):
            np.testing.assert_allclose(some, wanted, rtol=1e-4, atol=1e-5)


def test_a_network_that_is_fused_and_still_float(tmp_path):
    model = random_model(residual_net(), data=(3, 12, 12))
    mx.model.save_checkpoint(str(tmp_path / "f"), 1, model.symbol.get_backend_symbol("MKLDNN"), model.arg_params,
                             model.aux_params)
    made = load_model(str(tmp_path / "f"))
    np.testing.assert_allclose(outputs(made.float_view, data=X)[0], outputs(model, data=X)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(AccnnError, match="is fused for oneDNN .*accelerate or fine-tune the float32 checkpoint"):
        layer_specs(made, {"data": (3, 12, 12)})


def test_its_layers_are_neither_replaced_nor_trained():
    with pytest.raises(AccnnError, match="is an INT8 network .*: accelerate or fine-tune the float32 checkpoint that "
                                         "it was made from, then quantize the result"):
        layer_specs(quantized(chain_model(), X), {"data": (3, 12, 12)})


# ---- symbol and parameters that do not belong together

@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    return saved(quantized(chain_model(), X), tmp_path_factory.mktemp("int8") / "q")


def changed(prefix, folder, change):
    """Prefix of a copy whose parameters, a dict by 'arg:name', were changed."""
    arrays = mx.nd.load(prefix + "-0001.params")
    change(arrays)
    mx.nd.save(str(folder / "q-0001.params"), arrays)
    with open(prefix + "-symbol.json") as symbol, open(str(folder / "q-symbol.json"), "w") as copy:
        copy.write(symbol.read())
    return str(folder / "q")


def lost(name):
    return lambda arrays: arrays.pop("arg:" + name)


def other(name, array):
    return lambda arrays: arrays.update({"arg:" + name: array})


WRONG = [
    (lost("conv2_weight"), "has no parameter 'conv2_weight', which the layer 'conv2' needs"),
    (lost("fc1_weight_quantize"), "has no parameter 'fc1_weight_quantize', which the layer 'fc1' needs"),
    (lost("fc1_weight_quantize_min"), "has no parameter 'fc1_weight_quantize_min', which the layer '.*' needs"),
    (lost("fc2_bias_quantize_max"), "has no parameter 'fc2_bias_quantize_max', which the layer '.*' needs"),
    (other("conv2_weight", mx.nd.zeros((12, 8, 5, 5))), r"'conv2_weight' has the shape \(12, 8, 5, 5\)"),
    (other("fc2_weight_quantize", mx.nd.zeros((7, 6), dtype="int8")), r"'fc2_weight_quantize' has the shape \(7, 6\)"),
    (other("fc1_weight_quantize", mx.nd.zeros((16, 576))), "another type than the symbol needs .*another symbol"),
    (other("conv2_weight", mx.nd.zeros((12, 8, 3, 3), dtype="int32")), "another type than the symbol needs"),
]


@pytest.mark.parametrize("change, sentence", WRONG, ids=[sentence.split(",")[0] for _, sentence in WRONG])
def test_parameters_that_do_not_belong_to_the_symbol(prefix, tmp_path, change, sentence):
    with pytest.raises(AccnnError, match=sentence):
        load_model(changed(prefix, tmp_path, change))


def test_a_missing_range_is_no_input(prefix, tmp_path):
    made = load_model(changed(prefix, tmp_path, lost("fc1_weight_quantize_min")), inputs=["fc1_weight_quantize_min"])
    with pytest.raises(AccnnError, match="'fc1_weight_quantize_min', which the layer"):
        input_names(made)


@pytest.mark.parametrize("ends", [("-symbol.json", "-0001.params"), ("-0001.params", "-symbol.json")])
def test_the_files_of_the_float_network_beside_those_of_the_int8_one(prefix, tmp_path, ends):
    float_prefix = saved(chain_model(), tmp_path / "float")
    for end, source in zip(ends, (prefix, float_prefix)):
        with open(source + end, "rb") as given, open(str(tmp_path / "q") + end, "wb") as copy:
            copy.write(given.read())
    with pytest.raises(AccnnError, match="has no parameter 'fc1_weight.*another symbol or epoch"):
        load_model(str(tmp_path / "q"))


def test_of_another_shape_where_only_the_input_tells(prefix):
    """The range of a weight has one number, or one for every channel: MXNet's inference knows."""
    made = load_model(prefix)
    made.arg_params["fc1_weight_quantize_min"] = mx.nd.zeros((3,))
    with pytest.raises(AccnnError, match=r"'fc1_weight_quantize_min' of .* has the shape \(3,\)"):
        infer_shapes(made, resolve_input_shapes(made)[0])


@pytest.mark.parametrize("op, kept", [("_sg_mkldnn_fully_connected", -1), ("_sg_mkldnn_fully_connected", -2),
                                      ("_sg_mkldnn_conv", -1), ("_sg_mkldnn_conv", 2),
                                      ("_contrib_quantized_flatten", -1)])
def test_an_operator_that_lacks_an_input(prefix, tmp_path, op, kept):
    """Of fully connected layers MXNet does not count them, and would read what lies behind."""
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    node = next(node for node in document["nodes"] if node["op"] == op)
    node["inputs"] = node["inputs"][:kept]
    with open(str(tmp_path / "q-symbol.json"), "w") as handle:
        json.dump(document, handle)
    _, found = examine(str(tmp_path / "q"))
    assert [one.severity for one in found] == ["error"] and node["name"] in found[0].what


def test_what_check_says(prefix):
    model, found = examine(prefix)
    assert [one.severity for one in found] == ["note"] and not model.remarks
    assert check_model(quantized(chain_model(), X)) and is_quantized(model.graph)
    save_model(model, prefix + "-again")
    assert load_model(prefix + "-again").symbol.tojson() == model.symbol.tojson()


def test_labels_of_any_name_are_labels_still():
    net = chain_net().get_internals()["fc2_output"]
    model = random_model(mx.sym.SoftmaxOutput(net, mx.sym.Variable("prob1_label"), name="prob1"), data=(3, 12, 12))
    assert input_names(quantized(model, X)) == (["data"], ["prob1_label"])

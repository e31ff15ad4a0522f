"""INT8 weights are stored as such, mean what MXNet would make of the float32 ones, and load in plain MXNet."""
import os
import re
import runpy

import numpy as np
import pytest

import accnn
from accnn.core.compat import mx
from accnn.graph.checkpoint import Model, load_model, save_model
from accnn.graph.ir import Graph
from accnn.quantization.int8_graph import partition, quantize
from accnn.quantization.stored import quantized_weights
from int8_networks import SIDE, conv, forward, gaussian, in_int8, norm, ranges, relu
from networks import chain_model, random_model

S = mx.sym
X = gaussian(4, 3, SIDE, SIDE)
R1 = relu(norm(conv(S.Variable("data"), "c1", 16)), "r1")
SYMBOLS = {
    "signed": conv(conv(S.Variable("data"), "c1"), "c2"), "BatchNorm": conv(R1, "c2"),
    "fix_gamma": conv(relu(S.BatchNorm(conv(R1, "c2"), eps=1e-5, name="b"), "r2"), "c3"),
    "no bias": conv(relu(norm(conv(R1, "c2", no_bias=True), "n2"), "r2"), "c3", no_bias=True),
    "residual": relu(conv(R1, "c2", 16) + R1, "r2"), "depthwise": conv(R1, "c2", 16, num_group=16)}
DOCUMENT = os.path.join(os.path.dirname(accnn.__file__), "docs", "quantization.md")


def again(whole, scales):
    """What MXNet makes of ``whole * scales``: with 127.5 steps to the largest weight, to the nearest, -128 to 127."""
    weights = whole * scales[:, None]
    largest = np.abs(weights).max(axis=1, keepdims=True)
    return np.clip(np.rint(weights * (np.float32(127.5) / largest)), -128, 127), largest


@pytest.mark.parametrize("per_tensor", [False, True])
def test_whole_numbers_and_scales(per_tensor):
    weights = np.random.RandomState(0).standard_normal((3000, 5)).astype(np.float32)
    weights[:, 0] = np.where(np.arange(3000) % 3, 1, -1) * np.abs(weights).max(axis=1) * 1.001
    weights[::7, 1] = -weights[::7, 0] * 0.998  # 127 and -127 in one channel
    whole, scales = quantized_weights(weights, per_tensor)
    assert whole.dtype == np.int8 and (len(set(scales)) == 1) == per_tensor
    assert np.abs(whole * scales[:, None] - weights).max() <= 1.01 * np.abs(weights).max() / 127.5
    if not per_tensor:
        found, largest = again(whole.astype(np.float32), scales)
        np.testing.assert_array_equal(found, whole)
        np.testing.assert_allclose(largest[:, 0], np.abs(weights).max(axis=1), rtol=1e-6)


def test_a_channel_of_zeros():
    whole, scales = quantized_weights(np.zeros((2, 3), np.float32))
    assert not whole.any() and (scales > 0).all()


@pytest.mark.parametrize("symbol", SYMBOLS.values(), ids=list(SYMBOLS))
def test_answers_are_those_of_the_float_form(symbol):
    """MXNet's second pass over what its first one made, with the parameters as they were: weights are float32."""
    model = random_model(symbol, data=X.shape[1:])
    found = ranges(model, data=X)
    contrib = mx.contrib.quantization
    inner, _ = contrib._quantize_symbol(partition(model).model.symbol, mx.cpu(), quantized_dtype="auto")
    inner = contrib._calibrate_quantized_sym(inner, found).get_backend_symbol("MKLDNN_QUANTIZE")
    right = forward(Model(Graph.from_symbol(inner), model.arg_params, model.aux_params), data=X)
    made, unstored = [forward(quantize(model, found, stored=stored), data=X) for stored in (True, False)]
    assert np.isclose(right[0], unstored[0], rtol=1e-5).mean() > 0.9999
    assert np.isclose(right[0], made[0], rtol=1e-5).mean() > 0.99
    assert np.abs(right[0] - made[0]).max() < 0.02 * np.abs(right[0]).max()


def test_what_is_saved(tmp_path):
    model = random_model(conv(relu(norm(conv(S.Variable("data"), "c1", 64)), "r"), "c2", 64), data=X.shape[1:])
    save_model(model, str(tmp_path / "float"))
    save_model(in_int8(model, data=X), str(tmp_path / "int8"))
    arrays = mx.nd.load(str(tmp_path / "int8-0001.params"))
    assert arrays["arg:c2_weight_quantize"].dtype == np.int8 and "arg:c2_weight" not in arrays
    sizes = [os.path.getsize(str(tmp_path / name)) for name in ("int8-0001.params", "float-0001.params")]
    assert sizes[0] < 0.3 * sizes[1]


def test_the_example_of_the_documentation_runs_in_plain_mxnet(tmp_path, monkeypatch):
    model = chain_model(side=SIDE)
    made = in_int8(model, data=X)
    save_model(made, str(tmp_path / "vgg16-int8"))
    np.save(str(tmp_path / "images.npy"), X)
    monkeypatch.chdir(tmp_path)
    with open(DOCUMENT, encoding="utf-8") as handle:
        blocks = re.findall(r"```python\n(.*?)```", handle.read(), re.S)
    example = next(block for block in blocks if "accnn" not in block)
    assert len(example.strip().splitlines()) <= 10
    (tmp_path / "example.py").write_text(example + "\nnp.save('answers.npy', answers)\n")
    runpy.run_path("example.py")
    np.testing.assert_array_equal(np.load("answers.npy"), forward(made, data=X)[0])


@pytest.mark.parametrize("loading", ["Module.load", "simple_bind", "SymbolBlock"])
def test_other_ways_of_plain_mxnet_to_load(tmp_path, loading):
    model = random_model(conv(relu(conv(S.Variable("data"), "c1"), "r"), "c2"), data=X.shape[1:])
    made, prefix = in_int8(model, data=X), str(tmp_path / "net")
    save_model(made, prefix)
    np.testing.assert_array_equal(LOADING[loading](prefix), forward(made, data=X)[0])


def by_module(prefix):
    module = mx.mod.Module.load(prefix, 1, label_names=None)
    module.bind([("data", X.shape)], for_training=False)
    module.forward(mx.io.DataBatch([mx.nd.array(X)]), is_train=False)
    return module.get_outputs()[0].asnumpy()


def by_executor(prefix):
    symbol, arg_params, aux_params = mx.model.load_checkpoint(prefix, 1)
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=X.shape)
    executor.copy_params_from(arg_params, aux_params)
    return executor.forward(data=mx.nd.array(X))[0].asnumpy()


def by_gluon(prefix):
    block = mx.gluon.SymbolBlock(mx.sym.load(prefix + "-symbol.json"), [mx.sym.var("data")])
    block.load_parameters(prefix + "-0001.params", cast_dtype=True)
    return block(mx.nd.array(X)).asnumpy()


LOADING = {"Module.load": by_module, "simple_bind": by_executor, "SymbolBlock": by_gluon}


def test_real_weights(shared):
    model = load_model(shared + "/models/vgg16_cifar10")
    made = quantize(model, dict.fromkeys(ranges(model, data=gaussian(2, 3, 32, 32)), (-4, 4)))
    small = [array for name, array in made.arg_params.items() if name.endswith("weight_quantize")]
    assert len(small) == 16 and {array.dtype for array in small} == {np.int8}
    assert partition(model).kept == {}

"""INT8 networks as ONNX: onnxruntime, and OpenVINO where it is there, answer what MXNet answers, in INT8."""
import json
import os

import numpy as np
import pytest

from accnn import AccnnError, engines, export, export_onnx
from accnn.core.compat import mx
from accnn.core.libraries import missing
from accnn.exporting import parity, registry
from accnn.exporting.session import Session
from accnn.graph.checkpoint import save_model
from accnn.quantization.int8_graph import quantize
from int8_networks import SIDE, conv, fc, forward, gaussian, in_int8, leaky, norm, pool, ranges, relu
from mxnet_int8 import quantized
from networks import chain_model, random_model
from pictures import packed

onnx = pytest.importorskip("onnx", reason="needs pip install '.[onnx]'")
pytest.importorskip("onnxruntime", reason="needs pip install '.[onnx]'")
S = mx.sym
X = gaussian(4, 3, SIDE, SIDE)
SHAPES = {"data": X.shape[1:]}
R1 = relu(norm(conv(S.Variable("data"), "c1", 16)), "r1")
SYMBOLS = {
    "signed": conv(conv(S.Variable("data"), "c1"), "c2"),
    "no bias": conv(relu(norm(conv(R1, "c2", no_bias=True), "n2"), "r2"), "c3", no_bias=True),
    "residual": relu(conv(R1, "c2", 16) + R1, "r2"),
    "two convolutions added": conv(relu(conv(R1, "c2", 16) + conv(R1, "c3", 16), "r2"), "c4"),
    "depthwise": conv(R1, "c2", 16, num_group=16), "grouped": conv(R1, "c2", 16, num_group=4),
    "grouped, signed": conv(relu(conv(conv(R1, "c0", 16), "c2", 16, num_group=4), "r2"), "c3"),
    "fully connected": fc(relu(fc(R1, "f1"), "r2"), "f2"), "no bias, fully connected": fc(R1, "f1", no_bias=True),
    "max": conv(pool(R1, "max"), "c2"), "avg": conv(pool(R1, "avg"), "c2"), "flatten": fc(pool(R1, "max"), "f1"),
    "Concat": conv(S.Concat(R1, conv(R1, "c3")), "c4"), "leaky": conv(leaky(conv(R1, "c2")), "c3"),
    "clip": conv(S.clip(conv(R1, "c2"), a_min=0, a_max=1), "c3"), "BatchNorm": conv(norm(pool(R1, "max"), "n2"), "c2"),
    "float between": conv(S.sigmoid(conv(R1, "c2")), "c3")}


@pytest.mark.parametrize("symbol", SYMBOLS.values(), ids=list(SYMBOLS))
def test_every_number_is_mxnets_but_for_ties(symbol, tmp_path):
    made, path = in_int8(random_model(symbol, **SHAPES), data=X), str(tmp_path / "net.onnx")
    agreement, = export_onnx(made, path, SHAPES).agreement.values()
    assert agreement["relative_error"] < 2e-3
    onnx.checker.check_model(onnx.load(path), full_check=True)
    kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1}
    assert kinds == {onnx.TensorProto.INT8}
    for name in ("onnxruntime", "openvino"):
        if engines.get(name).available() is None:
            network = engines.get(name).load(made, SHAPES, len(X), precision="int8")
            assert parity.relative_error(network(X)[0], forward(made, data=X)[0]) < 0.02, name


def test_layers_run_in_int8():
    ran = {name: engines.get("onnxruntime").load(in_int8(random_model(SYMBOLS[name], **SHAPES), data=X), SHAPES,
                                                 len(X), precision="int8").ran
           for name in ("signed", "grouped", "fully connected", "avg", "Concat", "clip")}
    assert ran == {"signed": "int8 in 2 of 2 layers", "grouped": "int8 in 2 of 2 layers",
                   "fully connected": "int8 in 3 of 3 layers", "avg": "int8 in 2 of 2 layers",
                   "Concat": "int8 in 3 of 3 layers", "clip": "int8 in 3 of 3 layers"}


def test_rounded_sums_keep_residual_networks_in_int8(tmp_path):
    for name, layers in (("residual", 2), ("two convolutions added", 4)):
        made, path = in_int8(random_model(SYMBOLS[name], **SHAPES), data=X), str(tmp_path / "net.onnx")
        agreement, = export_onnx(made, path, SHAPES, round_sums=True).agreement.values()
        assert 2e-3 < agreement["relative_error"] < 0.03
        assert operators(path).count("QLinearConv") == layers and "QLinearAdd" in operators(path)
        export_onnx(made, path, SHAPES)
        assert operators(path).count("QLinearConv") < layers


def test_rounded_sums_of_a_float32_network_are_refused(tmp_path):
    with pytest.raises(AccnnError, match="`round_sums` is for INT8 networks, and .* leave it out"):
        export_onnx(random_model(SYMBOLS["residual"], **SHAPES), tmp_path / "net.onnx", SHAPES, round_sums=True)
    assert not os.listdir(tmp_path)


def operators(path):
    """list of str: those of the graph that onnxruntime makes of a file."""
    Session(path, "network", 1, "", path + ".fused")
    return [node.op_type for node in onnx.load(path + ".fused").graph.node]


def test_other_forms_of_weights(tmp_path):
    model = random_model(fc(relu(fc(R1, "f1"), "r2"), "f2"), **SHAPES)
    found = ranges(model, data=X)
    for number, how in enumerate((dict(stored=False), dict(dense_channels=True))):
        done = export_onnx(quantize(model, found, **how), str(tmp_path / ("%d.onnx" % number)), SHAPES)
        assert done.agreement["f2_output"]["relative_error"] < 2e-3


def test_a_channel_of_zeros_keeps_its_bias(tmp_path):
    model = random_model(conv(R1, "c2"), **SHAPES)
    weight = model.arg_params["c2_weight"].asnumpy()
    weight[3] = 0
    model.arg_params["c2_weight"][:], model.arg_params["c2_bias"][:] = mx.nd.array(weight), 0.5
    made = in_int8(model, data=X)
    network = engines.get("onnxruntime").load(made, SHAPES, len(X), precision="int8")
    assert np.abs(network(X)[0][:, 3] - 0.5).max() < 0.05
    assert np.abs(network(X)[0] - forward(made, data=X)[0]).max() < 0.05


def test_mxnets_own_call(tmp_path):
    model = chain_model(side=SIDE)
    done = export_onnx(quantized(model, X), str(tmp_path / "net.onnx"), SHAPES)
    assert done.agreement["softmax_output"]["relative_error"] < 2e-3


def test_what_differs_is_named(tmp_path, monkeypatch):
    right = registry.CONVERTERS["_contrib_quantized_pooling"]

    def wrong(layer):
        tensor, *limits = right(layer)
        return [layer.add("Mul", tensor, np.array(1.2, np.float32))] + limits

    monkeypatch.setitem(registry.CONVERTERS, "_contrib_quantized_pooling", wrong)
    with pytest.raises(AccnnError, match="differs from MXNet's by a relative error of .* where 0.05 is allowed: the "
                                         "first node whose output differs is 'quantized_pool' "):
        export_onnx(in_int8(random_model(SYMBOLS["max"], **SHAPES), data=X), str(tmp_path / "net.onnx"), SHAPES)
    assert os.listdir(str(tmp_path)) == []


def test_answers_that_differ_too_often_are_refused():
    one = parity.Parity()
    rows = np.full((200, 10), 0.099999)
    rows[:, 0] = 0.100001
    other = rows.copy()
    other[:20, [0, 1]] = other[:20, [1, 0]]
    one.add(other, rows)
    assert "the same answer as MXNet's on 90.0% of 200 examples, where 95% are wanted" in one.refusal(parity.EXACT)
    assert one.relative_error < 1e-4 and one.report()["divergence"] < 1e-6


def test_no_range_and_no_converter(tmp_path, monkeypatch):
    symbol, _ = mx.contrib.quantization._quantize_symbol(conv(R1, "c2").get_backend_symbol("MKLDNN_QUANTIZE"), mx.cpu(),
                                                         quantized_dtype="auto")
    model = random_model(conv(R1, "c2"), **SHAPES)
    graph = type(model.graph).from_symbol(symbol)
    with pytest.raises(AccnnError, match="'data_quantize' .* finds the range of an INT8 tensor while it runs"):
        export_onnx(type(model)(graph, model.arg_params, model.aux_params), str(tmp_path / "net.onnx"), SHAPES)
    monkeypatch.delitem(registry.CONVERTERS, "_contrib_quantized_pooling")
    with pytest.raises(AccnnError, match="'quantized_pool' is a _contrib_quantized_pooling, which cannot be exported: "
                                         "export the float32 checkpoint that it was made from"):
        export_onnx(in_int8(random_model(SYMBOLS["max"], **SHAPES), data=X), str(tmp_path / "net.onnx"), SHAPES)


def test_the_script_tells_how_well_engines_agree(tmp_path, capsys):
    save_model(in_int8(chain_model(side=SIDE), data=X), str(tmp_path / "net"))
    out, rec = str(tmp_path / "net.onnx"), packed(tmp_path / "images")
    words = ["-m", str(tmp_path / "net"), "--save-model", out, "--data-calib", rec, "--calib-images", "20",
             "--input-shape", "3,%d,%d" % (SIDE, SIDE), "--rgb-mean", "128", "--rgb-std", "70"]
    assert export.main(words) == 0
    assert "softmax_output: relative error" in capsys.readouterr().out
    assert export.main(words + ["--json"]) == 0
    found = json.loads(capsys.readouterr().out)["agreement"]["softmax_output"]
    assert found["rows"] == 20 and found["same_top1"] == 1 and found["divergence"] < 1e-4


@pytest.mark.skipif(missing("openvino") is not None, reason="needs pip install '.[openvino]'")
def test_openvino_runs_it_in_int8_without_nncf():
    made = in_int8(random_model(SYMBOLS["residual"], **SHAPES), data=X)
    assert engines.get("openvino").load(made, SHAPES, 4, precision="int8").ran.startswith("int8 in 2 of 2 layers")

"""Whole networks as ONNX: real ones, accelerated ones, Gluon's, and what public reports tell of other exporters."""
import os

import numpy as np
import pytest

from accnn import Accelerator, export_onnx, load_model
from accnn.core.compat import mx
from accnn.exporting import file
from accnn.methods import names
from accnn.reconstruction.images import ArrayImages
from networks import chain_model, outputs, random_input, random_model, residual_net

onnx = pytest.importorskip("onnx", reason="needs pip install '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install '.[onnx]'")
S = mx.sym


def computed(path, **inputs):
    """list of ndarray: what onnxruntime computes from a file."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)


def exported(symbol, tmp_path, **shapes):
    """Export a network with random parameters; return it and the loaded file."""
    model, path = random_model(symbol, **shapes), str(tmp_path / "net.onnx")
    export_onnx(model, path, shapes)
    return model, onnx.load(path)


# ---- what is written

def test_the_file(tmp_path):
    model, path = chain_model(), str(tmp_path / "net.onnx")
    done = export_onnx(model, path)
    read = onnx.load(path)
    onnx.checker.check_model(path, full_check=True)
    assert [one.name for one in list(read.graph.input) + list(read.graph.output)] == ["data", "softmax_output"]
    assert {one.name for one in read.graph.initializer} >= {"conv1_weight", "fc2_bias"}
    assert read.opset_import[0].version == 17 and read.producer_name == "accnn" and file.is_ours(path)
    assert {one.key: one.value for one in read.metadata_props}["input_shape:data"] == "3,12,12"
    assert done.inputs == {"data": (None, 3, 12, 12)} and done.outputs == {"softmax_output": (None, 5)}
    assert done.bytes == os.path.getsize(path) and done.batches == (1, 2)
    for size in (1, 5):
        data = random_input(size, 3, 12, 12)
        np.testing.assert_allclose(computed(path, data=data)[0], outputs(model, data=data)[0], atol=1e-5)


def test_the_same_bytes_twice_and_a_model_that_stays_as_it_was(tmp_path):
    model = chain_model()
    before = {name: array.asnumpy() for name, array in model.arg_params.items()}
    for name in "ab":
        export_onnx(model, str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for name, array in model.arg_params.items():
        np.testing.assert_array_equal(array.asnumpy(), before[name])
        np.testing.assert_array_equal(array[:1].asnumpy(), before[name][:1])  # MXNet slices no array in oneDNN's order


def test_a_fixed_batch_other_outputs_and_real_images(tmp_path):
    path = str(tmp_path / "net.onnx")
    images = ArrayImages({"data": random_input(5, 3, 12, 12)}, 64)
    done = export_onnx(chain_model(), path, batch_size=2, outputs=["relu1", "fc1"], images=images)
    assert done.inputs == {"data": (2, 3, 12, 12)} and done.images == 4
    assert done.outputs == {"relu1_output": (2, 8, 12, 12), "fc1_output": (2, 16)}


def test_constants_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "LARGEST", 1000)  # instead of 2 GB
    model, path = chain_model(), str(tmp_path / "net.onnx")
    done = export_onnx(model, path)
    assert sorted(os.listdir(tmp_path)) == ["net.onnx", "net.onnx.data"] and file.is_ours(path)
    assert done.bytes == sum(os.path.getsize(tmp_path / name) for name in os.listdir(tmp_path))
    data = random_input(2, 3, 12, 12)
    np.testing.assert_allclose(computed(path, data=data)[0], outputs(model, data=data)[0], atol=1e-5)


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_other_opsets(tmp_path, opset):
    export_onnx(random_model(residual_net(), data=(3, 8, 8)), str(tmp_path / "net"), {"data": (3, 8, 8)}, opset=opset)
    assert onnx.load(str(tmp_path / "net")).opset_import[0].version == opset


# ---- networks

SHARED = {"cifar_resnet20": (3, 32, 32), "mtcnn_det1": (3, 20, 26), "mtcnn_det2": None, "mtcnn_det3": None,
          "retinaface_mnet_16": (3, 64, 96), "squeezenet_v1.0": (3, 227, 227), "vgg16_cifar10": None}


@pytest.mark.parametrize("name", SHARED)
def test_real_checkpoints(shared, tmp_path, name):
    shapes = {"data": SHARED[name]} if SHARED[name] else None
    done = export_onnx(load_model(os.path.join(shared, "models", name)), str(tmp_path / "net.onnx"), shapes)
    assert max(done.differences.values()) < 1e-4 and done.batches == (1, 2)


@pytest.mark.parametrize("method", names())
def test_accelerated_networks(tmp_path, method):
    fc, accelerator = method.startswith("fc"), Accelerator(chain_model())
    plan = accelerator.select_ranks(1.005 if fc else 1.2, method=method, fc=fc, exclude=["conv*"] if fc else [])
    model = accelerator.accelerate(plan)
    assert len(model.graph.nodes) > len(chain_model().graph.nodes)
    export_onnx(model, str(tmp_path / "net.onnx"))


@pytest.mark.parametrize("name", ["mobilenet0.25", "mobilenetv2_0.25", "squeezenet1.1", "resnet18_v2"])
def test_some_of_gluons(tmp_path, name):
    net = mx.gluon.model_zoo.vision.get_model(name)  # tests/benchmarks/export_gluon_zoo.py takes all of them
    side = 224 if name.startswith("squeeze") else 32
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.zeros((1, 3, side, side)))
    net.export(str(tmp_path / "net"))
    export_onnx(load_model(tmp_path / "net"), str(tmp_path / "net.onnx"), {"data": (3, side, side)})


def test_a_gluon_lstm(tmp_path):
    net = mx.gluon.rnn.LSTM(5, 2, bidirectional=True)
    net.initialize()
    net.hybridize()
    net(mx.nd.zeros((4, 2, 3)))
    net.export(str(tmp_path / "net"))
    done = export_onnx(load_model(tmp_path / "net"), str(tmp_path / "net.onnx"), {"data0": (2, 3)})
    assert done.inputs["data1"] == (4, 2, 5)


def conv(x, width, kernel=3, act=True, **said):
    x = S.Convolution(x, kernel=(kernel, kernel), num_filter=width, **said)
    return S.Activation(x, act_type="relu") if act else x


def pooled(x, height=2, width=2):
    return S.Pooling(x, kernel=(height, width), stride=(height, width), pool_type="max")


@pytest.mark.parametrize("states", ["zeros", "inputs"])
def test_a_recurrent_reader_of_text_lines(tmp_path, states):
    """Columns of a map are steps of time; what begins the recurrence has the batch as its second axis."""
    x = pooled(conv(pooled(conv(S.Variable("data"), 8, pad=(1, 1))), 12, pad=(1, 1)), height=8)
    x = S.transpose(S.squeeze(x, axis=2), axes=(2, 0, 1))
    begin = [S.zeros((2, 0, 6)), S.zeros((2, 0, 6))] if states == "zeros" else [S.Variable("h"), S.Variable("c")]
    x = S.RNN(x, S.Variable("rnn_parameters"), *begin, mode="lstm", state_size=6, num_layers=1, bidirectional=True)
    x = S.Reshape(S.FullyConnected(S.Reshape(x, shape=(-3, -2)), num_hidden=7), shape=(6, -1, 7))
    model = random_model(S.softmax(x), data=(3, 16, 24))
    model.arg_params.pop("h", None), model.arg_params.pop("c", None)
    done = export_onnx(model, str(tmp_path / "net.onnx"), {"data": (3, 16, 24)})
    assert list(done.outputs.values()) == [(6, None, 7)]
    assert done.inputs.get("h") == (None if states == "zeros" else (2, None, 6))


def test_a_u_net(tmp_path):
    x, skips = S.Variable("data"), []
    for width in (4, 8):
        skips.append(conv(x, width))
        x = pooled(skips[-1])
    for width, skip in zip((8, 4), skips[::-1]):
        x = S.Deconvolution(x, kernel=(2, 2), stride=(2, 2), num_filter=width)
        x = conv(S.Concat(S.Crop(skip, x, center_crop=True), x), width, pad=(1, 1))
    exported(S.SoftmaxOutput(conv(x, 2, 1, act=False), multi_output=True), tmp_path, data=(3, 20, 24))


def test_a_face_network_with_a_margin_needs_no_label(tmp_path):
    x = S.L2Normalization(S.FullyConnected(conv(S.Variable("data"), 4), num_hidden=8), name="embedding")
    label = S.Variable("softmax_label")
    scores = S.FullyConnected(x, S.L2Normalization(S.Variable("fc7_weight", shape=(5, 8))), num_hidden=5, no_bias=True)
    scores = scores - S.broadcast_mul(S.one_hot(label, depth=5), S.expand_dims(S.pick(scores, label, axis=1), 1))
    net = S.Group([S.BlockGrad(x), S.SoftmaxOutput(scores, label, name="softmax")])
    _, read = exported(net, tmp_path, data=(3, 6, 6))
    assert [one.name for one in read.graph.input] == ["data"]


def test_a_detector_whole_and_up_to_its_last_operator(tmp_path):
    x, parts = conv(S.Variable("data"), 4, stride=(2, 2)), {}
    for name, count in (("classes", 3), ("places", 4)):
        y = S.transpose(conv(x, 3 * count, act=False, pad=(1, 1)), axes=(0, 2, 3, 1))
        parts[name] = S.Reshape(y, shape=(0, -1, count)) if name == "classes" else S.Flatten(y, name="places")
    scores = S.softmax(S.transpose(parts["classes"], axes=(0, 2, 1)), axis=1, name="scores")
    anchors = S.contrib.MultiBoxPrior(x, sizes=(0.2, 0.3), ratios=(1, 2), name="anchors")
    model = random_model(S.contrib.MultiBoxDetection(scores, parts["places"], anchors, name="found"), data=(3, 16, 16))
    done = export_onnx(model, str(tmp_path / "net.onnx"), {"data": (3, 16, 16)})
    assert done.outputs["found_output"] == (None, 147, 6)
    done = export_onnx(model, str(tmp_path / "net.onnx"), {"data": (3, 16, 16)},
                       outputs=["scores_output", "places_output", "anchors_output"])
    assert done.outputs["anchors_output"] == (1, 147, 4)


# ---- what public reports tell

def test_fix_gamma_counts_over_a_stored_gamma(tmp_path):
    model, read = exported(S.BatchNorm(S.Variable("data"), fix_gamma=True, name="bn"), tmp_path, data=(4, 3, 3))
    assert np.abs(model.weight("bn_gamma") - 1).max() > 0.1
    assert "bn_gamma" not in {one.name for one in read.graph.initializer}


@pytest.mark.parametrize("width", [4, 5])
def test_prelu_on_maps_as_wide_as_there_are_channels(tmp_path, width):
    exported(S.LeakyReLU(S.Variable("data"), act_type="prelu", name="prelu"), tmp_path, data=(4, 6, width))


def test_a_fully_connected_layer_reads_a_map(tmp_path):
    exported(S.FullyConnected(S.Convolution(S.Variable("data"), kernel=(3, 3), num_filter=4), num_hidden=3), tmp_path,
             data=(3, 6, 6))


def test_nodes_of_one_name(tmp_path):
    x = S.Variable("data")
    once = S.elemwise_add(x, x, name="_plus0")
    twice = S.elemwise_add(once, x, name="_plus0")
    _, read = exported(S.Group([once, twice, twice, x]), tmp_path, data=(3,))
    found = [one.name for one in read.graph.output]
    assert len(set(found)) == 4 and found[:3] == ["_plus0_output:0", "_plus0_output:1", "_plus0_output:2"]


def test_average_pooling_at_the_border(tmp_path):
    """3x3/2, padded by 1, on 4x4: `full` has a third window, which reaches behind the padding."""
    pool = S.Pooling(S.Variable("data"), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg",
                     pooling_convention="full")
    exported(pool, tmp_path, data=(1, 4, 4))
    data = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    expected = [[(0 + 1 + 4 + 5) / 9, (1 + 2 + 3 + 5 + 6 + 7) / 9, (3 + 7) / 6],
                [(4 + 5 + 8 + 9 + 12 + 13) / 9, (5 + 6 + 7 + 9 + 10 + 11 + 13 + 14 + 15) / 9, (7 + 11 + 15) / 6],
                [(12 + 13) / 6, (13 + 14 + 15) / 6, 15 / 4]]
    np.testing.assert_allclose(computed(str(tmp_path / "net.onnx"), data=data)[0][0, 0], expected, rtol=1e-6)


def test_max_pooling_full_on_112(tmp_path):
    pool = S.Pooling(S.Variable("data"), kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    _, read = exported(pool, tmp_path, data=(2, 112, 112))
    assert [one.dim_value for one in read.graph.output[0].type.tensor_type.shape.dim][2:] == [56, 56]


@pytest.mark.parametrize("kind", [{}, {"multi_output": True}, {"preserve_shape": True}])
def test_the_head_of_a_fully_convolutional_network(tmp_path, kind):
    score = S.Convolution(S.Variable("data"), kernel=(3, 3), num_filter=5)
    _, read = exported(S.SoftmaxOutput(score, name="softmax", **kind), tmp_path, data=(3, 8, 9))
    assert [one.name for one in read.graph.input] == ["data"]

"""quantize.py: what it writes, what it says, what it refuses. Nothing here asserts how long anything takes."""
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import accnn as package
from accnn import acc_conv, check, quantize, score
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from accnn.graph.quantized import is_quantized
from accnn.planning.plan import Plan, Row
from accnn.runtime.predictor import Predictor
from mxnet_int8 import module_outputs, quantized
from networks import chain_model, outputs, random_input, random_model, saved
from pictures import items, packed, read
from processes import stop

SHAPE, MEAN, STD = (3, 12, 12), (120.0, 125.0, 130.0), (60.0, 61.0, 62.0)
COLOURS = ["--rgb-mean", "120,125,130", "--rgb-std", "60,61,62"]
SCRIPT = os.path.abspath(quantize.__file__)
FILES = ["new-0001.params", "new-plan.json", "new-symbol.json"]


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("images") / "calib", items(40))


@pytest.fixture
def quantizing(prefix, rec, tmp_path, monkeypatch):
    """Run quantize.py in an empty folder; return its exit code."""
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*words, model=prefix, colours=COLOURS):
        return quantize.main(["-m", model, "--data-calib", rec, "--save-model", "new", "--thresholds", "naive",
                              "--keep-weights"] + colours + list(words))
    return run


def contents():
    return {name: open(name, "rb").read() for name in sorted(os.listdir("."))}


def test_what_is_written_runs_in_plain_mxnet(quantizing, prefix, rec, capsys):
    assert quantizing("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(os.listdir(".")) == FILES == sorted(told["written"].values())
    images, _ = read(rec, SHAPE, MEAN, STD)
    symbol, args, aux = mx.model.load_checkpoint("new", 1)
    found, = module_outputs(symbol, args, aux, images, 8)
    wanted, = outputs(load_model(prefix), data=images)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 0 < error < 0.02 and found.argmax(axis=1).tolist() == wanted.argmax(axis=1).tolist()
    assert told["errors"]["softmax_output"] < 0.02 and told["held"] > 0 and told["divergence"] >= 0
    assert [layer["precision"] for layer in told["layers"]] == ["int8"] * 5
    with open("new-plan.json") as handle:
        kept = json.load(handle)
    assert kept["layers"] == told["layers"] and kept["made_by"]["seed"] == 0


def test_the_table_has_a_row_a_layer_and_reasons(quantizing, capsys):
    assert quantizing("--exclude", "conv1", "--dry-run") == 0
    text = capsys.readouterr().out
    assert os.listdir(".") == []
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert re.search(r"fp32 +- .*left in float32: .*excluded", rows["conv1"])
    assert re.search(r"int8 +naive +0 to \d", rows["conv2"]) and "gives float32" in rows["fc2"]
    assert "4 of 5 layers in INT8" in text and "images held aside" in text


def test_only_some_layers(quantizing, capsys):
    assert quantizing("--layers", "conv*", "--exclude", "conv3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {layer["layer"] for layer in told["layers"] if layer["precision"] == "int8"} == {"conv1", "conv2"}
    assert all(layer["reason"] for layer in told["layers"] if layer["precision"] == "fp32")


@pytest.fixture
def split(prefix, tmp_path):
    """Prefix of the network with conv2 split."""
    accelerator = package.Accelerator(load_model(prefix), {"data": SHAPE})
    return saved(accelerator.accelerate(Plan((Row("conv2", "Convolution", "vh", 6),))), tmp_path / "split")


@pytest.mark.parametrize("words, in_int8", [
    (["--exclude", "conv2"], {"conv1", "conv3", "fc1", "fc2"}), (["--layers", "conv2"], {"conv2_v", "conv2_h"}),
    (["--exclude", "conv2_h"], {"conv1", "conv2_v", "conv3", "fc1", "fc2"})])
def test_the_name_of_a_split_layer_stands_for_its_chain(quantizing, split, capsys, words, in_int8):
    assert quantizing("--dry-run", "--json", *words, model=split) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {layer["layer"] for layer in layers if layer["precision"] == "int8"} == in_int8


def test_a_limit_that_no_layer_meets_is_a_target_missed(quantizing, capsys):
    assert quantizing("--limit", "1e-9") == 1
    said = capsys.readouterr().err
    assert re.search(r"no layer of .*net can be INT8 .*(conv|fc)\d, which costs least, .*larger --limit", said)
    assert os.listdir(".") == []


@pytest.mark.parametrize("words", [["--thresholds", "entropy"], ["--thresholds", "auto"], []])
def test_same_command_same_bytes(quantizing, words):
    assert quantizing("--no-timing", *words) == 0
    before = contents()
    assert quantizing("--no-timing", *words) == 0  # what it made itself is replaced without asking
    assert contents() == before and sorted(before) == FILES


def test_with_all_that_makes_it_better(prefix, rec, tmp_path, capsys):
    words = ["-m", prefix, "--data-calib", rec, "--save-model", str(tmp_path / "new"), "--json"] + COLOURS
    assert quantize.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] and told["divergence"] <= told["steps"][0]["before"] * (1 + 1e-6)


def test_an_accelerated_network_is_solved_for_what_the_original_answers(prefix, rec, tmp_path, capsys):
    """The error is told against that one, and parts without a nonlinearity have thresholds, too."""
    assert acc_conv.main(["-m", prefix, "--layer", "conv2", "--K", "6", "--save-model", str(tmp_path / "vh")]) == 0
    capsys.readouterr()
    words = ["-m", str(tmp_path / "vh"), "--original", prefix, "--data-calib", rec, "--json", "--save-model",
             str(tmp_path / "q")] + COLOURS
    assert quantize.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert layers["conv2_v"]["gives"] == "conv2_v_output" and layers["conv2_v"]["range"][0] < 0
    assert layers["conv2_h"]["gives"] == "relu2_output" and layers["conv2_h"]["range"][0] == 0
    solved = next(step for step in told["steps"] if step["step"] == "chains solved behind INT8")
    assert told["divergence"] < 1.5 * min(solved["before"], solved["after"])  # what follows looks at another network
    assert told["made_by"]["original"] == prefix


def detector():
    """Two heads, a label of a name of its own, PReLU, a sum that is read twice, a transposed convolution."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="c1")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="p1")
    y = mx.sym.Activation(x + mx.sym.Convolution(x, kernel=(1, 1), num_filter=8, name="c2"), act_type="relu", name="r2")
    maps = mx.sym.Deconvolution(y, kernel=(2, 2), stride=(2, 2), num_filter=4, name="up")
    pooled = mx.sym.Pooling(y, global_pool=True, kernel=(1, 1), pool_type="avg", name="pool")
    scores = mx.sym.FullyConnected(pooled, num_hidden=5, name="scores")
    return mx.sym.Group([maps, mx.sym.SoftmaxOutput(scores, mx.sym.Variable("prob1_label"), name="prob1")])


def test_a_detector(rec, tmp_path, capsys):
    """Where MXNet's own call fails; outputs and their names stay, layers that cost too much stay in float32."""
    prefix = saved(random_model(detector(), data=SHAPE), tmp_path / "d")
    words = ["-m", prefix, "--data-calib", rec, "--input-shape", "3,12,12", "--save-model", str(tmp_path / "q")]
    assert quantize.main(words + COLOURS + ["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {layer["layer"]: layer for layer in told["layers"]}
    assert set(rows) == {"c1", "c2", "up", "scores"} and "transposed" in rows["up"]["reason"]
    assert max(told["errors"].values()) <= 0.02 and "int8" in {row["precision"] for row in rows.values()}
    images, _ = read(rec, SHAPE, MEAN, STD)
    symbol, args, aux = mx.model.load_checkpoint(str(tmp_path / "q"), 1)
    assert symbol.list_outputs() == ["up_output", "prob1_output"]
    for found, wanted in zip(module_outputs(symbol, args, aux, images, 8), outputs(load_model(prefix), data=images)):
        assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)
    assert quantize.main(words + COLOURS + ["--exclude", "up", "--exclude", "scores", "--limit", "0.5"]) == 0


@pytest.mark.timed
def test_timed_against_the_network_it_was_made_from(quantizing, capsys):
    assert quantizing("--json", "--threads", "1", "--repeats", "2") == 0
    told = json.loads(capsys.readouterr().out)
    run = told["measured"]["runs"][0]
    assert run["measured"]["median"] > 0 and run["threads"] == run["batch_size"] == 1
    assert told["measured"]["theoretical"]["ratio"] == 1
    assert told["file_bytes"]["after"] == os.path.getsize("new-0001.params")


def test_downstream(quantizing, prefix, rec, capsys):
    assert quantizing() == 0
    assert check.main(["-m", "new"]) == 0
    capsys.readouterr()
    assert score.main(["-m", "new", "--baseline", prefix, "--data-val", rec, "--json"] + COLOURS) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"]["images"] == 40 and told["paired"]


# ---- refused

def test_an_int8_checkpoint(quantizing, tmp_path, capsys):
    q = saved(quantized(chain_model(), random_input(8, *SHAPE)), tmp_path / "q")
    sentence = refused([], lambda *words: quantizing(*words, model=q), capsys)
    assert sentence.endswith("the float32 checkpoint that it was made from, then quantize the result")


def refused(words, run, capsys):
    before = contents()
    assert run(*words) == 2
    assert contents() == before
    sentences = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(sentences) == 1
    return sentences[0]


REFUSED = [
    (["--exclude", "conv4"], "no convolution or fully connected layer that matches 'conv4': did you mean conv"),
    (["--layers", "c0nv2"], "matches 'c0nv2': did you mean conv2"),
    (["--calib-images", "15"], "15 images are too few to choose thresholds by: give at least 16"),
    (["--calib-images", "0"], "--calib-images"),
    (["--thresholds", "median"], "choose from 'auto', 'naive'"),
    (["--limit", "0"], "--limit 0"),
    (["--seed", "-1"], "--seed -1"),
    (["--input-shape", "3,40,40"], "fc1_weight"),
    (["--input-shape", "1,12,12"], "conv1_weight"),
    (["--exclude", "*"], "can be INT8: conv1, conv2, conv3, fc1, ...: it is excluded"),
    (["--original", "nowhere"], "nowhere-symbol.json does not exist"),
    (["--original-epoch", "3"], "--original"),
    (["--load-epoch", "4"], "net-0004.params does not exist"),
    (["--data-calib", "nowhere.rec"], "nowhere.rec"),
    (["--save-model", "nowhere/new"], "no folder"),
]


@pytest.mark.parametrize("words, sentence", REFUSED, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_one_sentence(quantizing, capsys, words, sentence):
    assert re.search(sentence, refused(words, quantizing, capsys))


def test_a_full_disk(quantizing, capsys):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, old[1]))
    try:
        assert "cannot be written" in refused([], quantizing, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_what_others_made_is_not_replaced(quantizing, capsys):
    for name in FILES:
        with open(name, "w") as handle:
            handle.write("{}")
        assert "there already" in refused([], quantizing, capsys)
        assert quantizing("--force", "--dry-run") == 0 and contents()[name] == b"{}"
        capsys.readouterr()
        os.remove(name)


def test_responses_that_are_no_numbers(rec, tmp_path, capsys, monkeypatch):
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c1")
    net = mx.sym.Convolution(mx.sym.log(net, name="log"), kernel=(3, 3), num_filter=4, name="c2")
    prefix = saved(random_model(mx.sym.FullyConnected(net, num_hidden=5, name="fc"), data=SHAPE), tmp_path / "nan")
    monkeypatch.chdir(tmp_path)
    words = ["-m", prefix, "--data-calib", rec, "--save-model", "new"] + COLOURS
    assert re.search("log_output.*NaN|NaN.*log", refused(words, lambda *some: quantize.main(list(some)), capsys))


def test_constant_and_dead_channels(rec, tmp_path):
    """A channel that never answers, one that always answers the same, and a layer of nothing but zeros."""
    model = chain_model()
    for name, channel, value in (("conv1", 0, -9.0), ("conv2", 3, 2.0)):
        weight, bias = model.arg_params[name + "_weight"].asnumpy(), model.arg_params[name + "_bias"].asnumpy()
        weight[channel], bias[channel] = 0, value
        model.arg_params.update({name + "_weight": mx.nd.array(weight), name + "_bias": mx.nd.array(bias)})
    model.arg_params["fc1_bias"] = mx.nd.zeros(16) - 5
    model.arg_params["fc1_weight"] *= 0
    prefix = saved(model, tmp_path / "dead")
    for words in (["--keep-weights"], []):
        assert quantize.main(["-m", prefix, "--data-calib", rec, "--save-model", str(tmp_path / "new")] + words +
                             COLOURS) == 0
        images, _ = read(rec, SHAPE, MEAN, STD)
        found, = module_outputs(*mx.model.load_checkpoint(str(tmp_path / "new"), 1), images=images, batch_size=8)
        np.testing.assert_allclose(found, outputs(model, data=images)[0], atol=0.02)


def test_interrupted_nothing_is_left(prefix, rec, tmp_path, bare_environment):
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["-m", prefix, "--data-calib", rec, "--save-model", "new", "--no-timing"] + COLOURS
    child = subprocess.Popen([sys.executable, SCRIPT] + words, cwd=str(folder), env=bare_environment,
                             stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while child.poll() is None and b"libmxnet" not in (pathlib.Path("/proc") / str(child.pid) / "maps").read_bytes():
        time.sleep(0.05)  # by then it listens to signals
    code, said = stop(child, signal.SIGINT), child.communicate()[1]
    left = [name for name in os.listdir(folder) if not name.startswith(".")]
    if left:  # a busy machine may deliver the signal when all is written
        assert sorted(left) == ["new-0001.params", "new-plan.json", "new-symbol.json"] and code in (0, 130)
    else:
        assert code == 130 and b"nothing half-written" in said, said


# ---- from Python

def test_two_inputs_from_python():
    net = mx.sym.Concat(mx.sym.Flatten(mx.sym.Activation(mx.sym.Convolution(
        mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="c1"), act_type="relu")), mx.sym.Variable("extra"))
    model = random_model(mx.sym.FullyConnected(net, num_hidden=3, name="two"), data=(3, 8, 8), extra=(5,))
    images = {"data": random_input(32, 3, 8, 8), "extra": random_input(32, 5, seed=2)}
    made = package.quantize(model, images, kinds=("naive",))
    assert is_quantized(made.graph) and not is_quantized(model.graph)
    network = Predictor(made, {name: array.shape[1:] for name, array in images.items()}, 32)
    found = network.forward(*(mx.nd.array(images[name]) for name in network.inputs))[0].asnumpy()
    wanted = outputs(model, **images)[0]
    assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)


@pytest.mark.parametrize("images, sentence", [
    ({"data": np.zeros((32, 3, 12, 10), "float32")}, "shape"),
    ({"data": np.zeros((32, 1, 12, 12), "float32")}, "shape"),
    ({"data": np.zeros((8, 3, 12, 12), "float32")}, "8 images are too few"),
])
def test_images_of_another_shape_from_python(images, sentence):
    with pytest.raises(package.AccnnError, match=sentence):
        package.quantize(chain_model(), images, {"data": SHAPE})

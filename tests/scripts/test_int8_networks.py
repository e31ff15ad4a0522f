"""INT8 checkpoints in every script: scored and timed as plain MXNet runs them, refused in one sentence elsewhere."""
import json
import os

import numpy as np
import pytest

from accnn import acc_conv, acc_fc, accnn, benchmark, check, fine_tune, rank_selection, score, two_pass
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.int8 import make_int8
from accnn.reconstruction.int8_config import Int8Config
from accnn.timing import client, networks
from mxnet_int8 import module_outputs, quantized
from networks import chain_model, random_input, random_model, saved
from pictures import packed, read

SHAPE, MEAN, STD = (3, 12, 12), (120.0, 125.0, 130.0), (60.0, 61.0, 62.0)
COLOURS = ["--rgb-mean", "120,125,130", "--rgb-std", "60,61,62"]
CALIB = random_input(16, *SHAPE)


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("images") / "val")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Prefixes of an INT8 network and of the one that it was made from."""
    folder, model = tmp_path_factory.mktemp("int8"), chain_model()
    return saved(quantized(model, CALIB), folder / "q"), saved(model, folder / "float")


@pytest.fixture
def found(capsys):
    def run(script, *arguments):
        assert script.main(list(arguments) + ["--json"]) == 0
        return json.loads(capsys.readouterr().out)
    return run


@pytest.mark.parametrize("batch_size", [7, 23])
def test_scored_as_a_module_scores(pair, rec, found, tmp_path, batch_size):
    images, labels = read(rec, SHAPE, MEAN, STD)
    answers, = module_outputs(*mx.model.load_checkpoint(pair[0], 1), images=images, batch_size=batch_size)
    before, = module_outputs(*mx.model.load_checkpoint(pair[1], 1), images=images, batch_size=batch_size)
    told = found(score, "-m", pair[0], "--baseline", pair[1], "--data-val", rec, "--batch-size", str(batch_size),
                 "--confusion", str(tmp_path / "c.csv"), "--top-k", "1,2", *COLOURS)
    labels, counts = np.array(labels, int), np.zeros((5, 5), int)
    np.add.at(counts, (labels, answers.argmax(axis=1)), 1)
    assert (np.loadtxt(str(tmp_path / "c.csv"), delimiter=",", dtype=int) == counts).all()
    place = (-answers).argsort(axis=1).argsort(axis=1)[np.arange(23), labels]
    assert [told["model"]["top"][k]["right"] for k in "12"] == [(place < 1).sum(), (place < 2).sum()]
    wanted = -np.log(answers[np.arange(23), labels].astype(np.float64) + 1e-12).mean()
    assert told["model"]["cross_entropy"] == pytest.approx(wanted, rel=1e-6)
    assert told["baseline"]["top"]["1"]["right"] == (before.argmax(axis=1) == labels).sum()


def two_heads():
    """A network whose outputs MXNet's own quantization calls otherwise: maps, and scores without a softmax."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="c1")
    x = mx.sym.Activation(x, act_type="relu", name="r1")
    maps = mx.sym.Convolution(x, kernel=(1, 1), num_filter=4, name="boxes")
    return mx.sym.Group([maps, mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, name="scores")])


def test_fidelity_of_outputs_that_have_other_names(rec, found, tmp_path):
    model = random_model(two_heads(), data=SHAPE)
    q, p = saved(quantized(model, CALIB), tmp_path / "q"), saved(model, tmp_path / "p")
    assert mx.model.load_checkpoint(q, 1)[0].list_outputs() != mx.model.load_checkpoint(p, 1)[0].list_outputs()
    images, _ = read(rec, SHAPE, MEAN, STD)
    after, before = (module_outputs(*mx.model.load_checkpoint(prefix, 1), images=images, batch_size=23)
                     for prefix in (q, p))
    told = found(score, "-m", q, "--baseline", p, "--data-val", rec, "--fidelity", *COLOURS)
    errors = [np.linalg.norm((a - b).astype(float)) / np.linalg.norm(b.astype(float)) for a, b in zip(after, before)]
    told = told["fidelity"]["relative_error"]
    assert told == pytest.approx(dict(zip(["boxes_output", "scores_output"], errors)), rel=1e-4)
    told = found(score, "-m", q, "--baseline", p, "--data-val", rec, "--output", "scores", *COLOURS)
    assert told["model"]["images"] == 23


def test_timed_beside_the_network_it_was_made_from(pair, found, monkeypatch, capsys):
    monkeypatch.setattr(client, "_ask", lambda job, _=None: networks.measure(job))
    words = ["-m", pair[0], "--baseline", pair[1], "--threads", "1", "--repeats", "2", "--warm-up", "1", "--layers"]
    told = found(benchmark, *words)
    macs = told["theoretical"]
    assert macs["macs_before"] == macs["macs_after"] > 0 and macs["ratio"] == 1 and not macs["uncounted"]
    assert told["runs"][0]["measured"]["median"] > 0
    assert {row["status"] for row in told["runs"][0]["layers"]["rows"]} == {"not compared"}
    assert benchmark.main(words) == 0
    text = capsys.readouterr().out
    assert "not compared: conv1, conv2, conv3, fc1, fc2: an INT8 network is timed as a whole" in text
    assert found(benchmark, "-m", pair[0], "--threads", "1", "--repeats", "2")["theoretical"]["macs_after"] == \
        macs["macs_after"]


def test_checked(pair, capsys):
    assert check.main(["-m", pair[0]]) == 0
    assert "epoch 1: 9 operators" in capsys.readouterr().out


REFUSING = [(accnn, []), (accnn, ["--config", "missing.json"]), (rank_selection, []),
            (acc_conv, ["--layer", "conv2", "--K", "3"]), (acc_fc, ["--layer", "fc1", "--K", "3"]),
            (two_pass, ["--data-train", "REC"]), (fine_tune, ["--data-train", "REC", "--num-epochs", "1"])]


@pytest.mark.parametrize("script, words", REFUSING, ids=lambda value: getattr(value, "__name__", None))
def test_refused_where_it_would_be_changed(pair, rec, tmp_path, capsys, script, words):
    words = [rec if word == "REC" else word for word in words]
    if "--config" in words:
        words[-1] = str(tmp_path / "plan.json")
        with open(words[-1], "w") as handle:
            json.dump({"conv_params": {"conv2": 3}}, handle)
    before, saving = sorted(os.listdir(tmp_path)), ["--save-model", str(tmp_path / "new")]
    if script is rank_selection:
        saving = ["--output", str(tmp_path / "new.json")]
    elif script is fine_tune:
        saving = ["--model-prefix", str(tmp_path / "new")]
    assert script.main(["--pretrained-model" if script is fine_tune else "-m", pair[0]] + words + saving) == 2
    sentences = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and sentences[0].endswith(
        "accelerate or fine-tune the float32 checkpoint that it was made from, then quantize the result")
    assert "is an INT8 network ('data_quantize' is a _contrib_quantize_v2)" in sentences[0]
    assert sorted(os.listdir(tmp_path)) == before


def test_a_real_network_to_the_image_as_a_module_gives_it(shared, found, tmp_path):
    """500 images, an odd batch: the same answers, and so the same counts."""
    rec, shape = os.path.join(shared, "data", "cifar10_val_5000.rec"), (3, 32, 32)
    model_prefix = os.path.join(shared, "models", "cifar_resnet20")
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    images, labels = first_images(rec, 500, mean, std)
    prefix = saved(quantized(load_model(model_prefix), images[:64]), tmp_path / "q")
    answers, = module_outputs(*mx.model.load_checkpoint(prefix, 1), images=images, batch_size=64)
    told = found(score, "-m", prefix, "--data-val", rec, "--max-num-examples", "500", "--batch-size", "64",
                 "--input-shape", "3,32,32", "--confusion", str(tmp_path / "c.csv"),
                 "--rgb-mean", ",".join(map(str, mean)), "--rgb-std", ",".join(map(str, std)))
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, answers.argmax(axis=1)), 1)
    assert (np.loadtxt(str(tmp_path / "c.csv"), delimiter=",", dtype=int) == counts).all()
    wanted = -np.log(answers[np.arange(500), labels].astype(np.float64) + 1e-12).mean()
    assert told["model"]["cross_entropy"] == pytest.approx(wanted, rel=1e-6) and shape == images.shape[1:]


def test_every_head_of_a_detector_is_within_the_limit_on_other_images(shared, tmp_path):
    """In plain MXNet, and the table says of every layer that is not INT8 which output it costs what."""
    rec, prefix = os.path.join(shared, "data", "imagenet_sample_600.rec"), os.path.join(shared, "models", "mtcnn_det2")
    images = small_images(rec, 180, 24)
    model = load_model(prefix, 1)
    config = Int8Config(equalise=False, rotate=False, resolve=False, kinds=("naive",))
    made = make_int8(model, ArrayImages({"data": images[:120]}, 40), {"data": (3, 24, 24)}, config=config)
    true, found = (module_outputs(*mx.model.load_checkpoint(one, 1), images=images[120:], batch_size=20)
                   for one in (prefix, saved(made.model, tmp_path / "q")))
    errors = [np.linalg.norm(after - before) / np.linalg.norm(before) for before, after in zip(true, found)]
    assert len(errors) == 2 and 0 < max(errors) < 0.02
    assert {one.layer for one in made.precisions if one.precision == "fp32"} == {one.layer for one in made.excluded}
    assert made.excluded and all("costs the output 'conv5_2_output' up to" in one.reason for one in made.excluded)
    assert len(made.excluded) < len(made.precisions)


def small_images(rec, count, side):
    """Photos of which the shorter side is `side`, cut in the middle, as MTCNN wants them."""
    reader = mx.recordio.MXIndexedRecordIO(rec[:-len("rec")] + "idx", rec, "r")
    found = []
    for key in list(reader.keys)[:count]:
        pixels = mx.image.resize_short(mx.image.imdecode(mx.recordio.unpack(reader.read_idx(key))[1]), side, 3)
        found.append((mx.image.center_crop(pixels, (side, side))[0].asnumpy().transpose(2, 0, 1) - 127.5) / 128)
    return np.array(found, np.float32)


def first_images(rec, count, mean, std):
    """(images, labels) by MXNet's reader of indexed files, and plain NumPy."""
    reader = mx.recordio.MXIndexedRecordIO(rec[:-len("rec")] + "idx", rec, "r")
    pairs = [mx.recordio.unpack_img(reader.read_idx(key)) for key in list(reader.keys)[:count]]
    images = np.stack([((pixels[:, :, ::-1].astype(np.float32) - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)
                       for _, pixels in pairs])
    return images, np.array([int(head.label) for head, _ in pairs])

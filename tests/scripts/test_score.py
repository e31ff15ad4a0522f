"""score.py as people run it: right figures, and one sentence for everything else."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from accnn import engines, score
from accnn.core.compat import mx
from accnn.graph.checkpoint import save_model
from baked import SENTENCE, WORD, text_model
from int8_networks import in_int8
from networks import chain_model, outputs, random_model, saved
from pictures import items, packed, read
from processes import Forked, stop

SHAPE, MEAN, STD = (3, 12, 12), (120.0, 125.0, 130.0), (60.0, 61.0, 62.0)
COLOURS = ["--rgb-mean", "120,125,130", "--rgb-std", "60,61,62"]


@pytest.fixture
def rec(tmp_path):
    return packed(tmp_path / "val")


@pytest.fixture
def scored(capsys):
    def run(*arguments):
        assert score.main(list(arguments) + ["--json"]) == 0
        return json.loads(capsys.readouterr().out)
    return run


def truth(model, rec):
    """(probabilities, labels): by OpenCV, NumPy and one forward pass."""
    images, labels = read(rec, SHAPE, MEAN, STD)
    return outputs(model, data=images)[0].astype(np.float64), np.array(labels, int)


@pytest.mark.parametrize("batch_size", ["1", "7", "64"])
def test_figures(prefix, rec, scored, batch_size, tmp_path):
    answers, labels = truth(chain_model(), rec)
    found = scored("-m", prefix, "--data-val", rec, "--batch-size", batch_size, "--top-k", "1,3", "--per-class",
                   "--confusion", str(tmp_path / "c.csv"), *COLOURS)
    place = (-answers).argsort(axis=1).argsort(axis=1)[np.arange(23), labels]
    assert found["model"]["images"] == 23
    assert [found["model"]["top"][k]["right"] for k in "13"] == [(place < 1).sum(), (place < 3).sum()]
    wanted = -np.log(answers[np.arange(23), labels] + 1e-12).mean()
    assert found["model"]["cross_entropy"] == pytest.approx(wanted, rel=1e-3)
    matrix = np.loadtxt(str(tmp_path / "c.csv"), delimiter=",", dtype=int)
    assert matrix.sum() == 23 and [row["right"][0] for row in found["per_class"]] == list(np.diag(matrix))
    assert np.trace(matrix) == found["model"]["top"]["1"]["right"]
    assert all(value > 0 for value in found["images_per_second"].values())


@pytest.mark.parametrize("engine", engines.names())
def test_images_tell_the_ranges_of_int8(prefix, rec, scored, engine):
    if engines.get(engine).refuse("int8"):
        pytest.skip(engines.get(engine).refuse("int8"))
    words = ["-m", prefix, "--data-val", rec, *COLOURS]
    found = scored(*words, "--engine", engine, "--precision", "int8", "--data-calib", rec, "--calib-images", "20")
    assert found["ran"]["model"]["ran"].startswith("int8 in 5 of 5 layers")
    assert abs(found["model"]["cross_entropy"] - scored(*words)["model"]["cross_entropy"]) < 0.02


@pytest.mark.parametrize("engine", sorted(set(engines.names()) - {"mxnet"}))
def test_an_int8_checkpoint_in_any_engine(prefix, rec, scored, engine, tmp_path):
    if engines.get(engine).available():
        pytest.skip(engines.get(engine).available())
    save_model(in_int8(chain_model(), data=read(rec, SHAPE, MEAN, STD)[0]), str(tmp_path / "int8"))
    words = ["-m", str(tmp_path / "int8"), "--data-val", rec, *COLOURS]
    here, there = scored(*words), scored(*words, "--engine", engine)
    assert there["ran"]["model"]["ran"].startswith("int8 in 5 of 5 layers")
    assert there["model"]["top"] == here["model"]["top"]
    assert there["model"]["cross_entropy"] == pytest.approx(here["model"]["cross_entropy"], rel=1e-3)


@pytest.mark.parametrize("engine, precision", [("mxnet", "bf16"), ("onnxruntime", None), ("openvino", "fp32"),
                                               ("openvino", "bf16")])
def test_any_engine_gives_the_same_answers(prefix, rec, scored, engine, precision):
    why = engines.get(engine).refuse(precision or "fp32")
    if why:
        pytest.skip(why)
    words = ["-m", prefix, "--data-val", rec, "--batch-size", "7", "--top-k", "1,3", *COLOURS]
    plain = scored(*words)
    found = scored(*words, "--engine", engine, *(["--precision", precision] if precision else []))
    assert found["ran"]["model"]["engine"] == engine and found["ran"]["model"]["ran"].startswith(precision or "fp32")
    assert found["model"]["images"] == 23 and "ran" not in plain
    near = 0.05 if precision == "bf16" else 1e-4
    assert found["model"]["cross_entropy"] == pytest.approx(plain["model"]["cross_entropy"], rel=near)
    if precision != "bf16":
        assert found["model"]["top"] == plain["model"]["top"]


@pytest.mark.parametrize("words, said", [
    (["--engine", "onnxruntime", "--precision", "bf16"], "no precision 'bf16'|cannot be imported"),
    (["--engine", "openvino", "--gpus", "0"], "--gpus is for MXNet"), (["--engine", "tvm"], "invalid choice: 'tvm'"),
    (["--precision", "int8"], "INT8 needs the range of every tensor"),
    (["--data-calib", "images.rec"], "--data-calib tells the ranges of INT8 tensors: give --precision int8")])
def test_what_an_engine_does_not_run_is_one_sentence(prefix, rec, capsys, words, said):
    assert score.main(["-m", prefix, "--data-val", rec] + words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.search(said, captured.err.splitlines()[-1])


def test_outputs_of_two_networks_compared_in_an_engine(prefix, rec, scored):
    found = scored("-m", prefix, "--baseline", prefix, "--data-val", rec, "--fidelity", "--precision", "bf16")
    assert list(found["fidelity"]["relative_error"].values()) == [0.0] and set(found["ran"]) == {"model", "baseline"}


def test_a_matrix_takes_the_place_of_a_matrix_or_of_anything_when_forced(prefix, rec, scored, tmp_path):
    path, words = tmp_path / "c.csv", ["-m", prefix, "--data-val", rec, "--confusion", str(tmp_path / "c.csv")]
    path.write_text("1,2\n3,4\n")
    scored(*words)
    wanted = path.read_text()
    path.write_text("name,score\n")
    scored(*words, "--force")
    assert path.read_text() == wanted


@pytest.mark.parametrize("held_by, batch", [("reshape", 50), ("label", 20), ("state", 12)])
def test_a_network_that_holds_its_batch_scores_every_record_once(held_by, batch, scored, tmp_path, capsys):
    model, shape = text_model(held_by, batch), (1, SENTENCE, WORD)
    rec = packed(tmp_path / "texts", items(67, height=SENTENCE, width=WORD, channels=1))
    asked = ["-m", saved(model, tmp_path / "net"), "--data-val", rec, "--input-shape", "1,56,30", "--rgb-mean", "127",
             "--rgb-std", "60"]
    found = scored(*asked)
    images, labels = read(rec, shape, (127,), (60,))
    full = np.resize(images, (-(-67 // batch) * batch,) + shape)
    answers = np.concatenate([outputs(model, data=full[first:first + batch])[0]
                              for first in range(0, len(full), batch)])[:67].astype(np.float64)
    chosen = answers[np.arange(67), np.array(labels, int)]
    # Scoring needs no label, so that one of a fixed shape holds no batch.
    assert found["data"]["batch_size"] == (64 if held_by == "label" else batch) and found["model"]["images"] == 67
    assert found["model"]["top"]["1"]["right"] == (answers.argmax(axis=1) == labels).sum()
    assert found["model"]["cross_entropy"] == pytest.approx(-np.log(chosen + 1e-12).mean(), rel=1e-4)
    refused = "made for batches of %d: say --batch-size %d" % (batch, batch)
    assert score.main(asked + ["--batch-size", "64"]) == (0 if held_by == "label" else 2)
    assert (refused in capsys.readouterr().err) == (held_by != "label")


def test_two_networks(prefix, rec, scored, tmp_path):
    other = chain_model(seed=5)
    found = scored("-m", prefix, "--data-val", rec, "--baseline", saved(other, tmp_path / "b"), *COLOURS)
    (after, labels), (before, _) = truth(chain_model(), rec), truth(other, rec)
    after, before = after.argmax(axis=1), before.argmax(axis=1)
    assert found["paired"]["agree"] == (after == before).sum() < 23
    assert found["paired"]["only_baseline_right"] == ((before == labels) & (after != labels)).sum()
    assert found["paired"]["drop"]["1"] == pytest.approx((before == labels).mean() - (after == labels).mean())
    low, high = found["paired"]["drop_interval_95"]
    assert low < found["paired"]["drop"]["1"] < high


def test_the_table_tells_the_same(prefix, rec, capsys, tmp_path):
    assert score.main(["-m", prefix, "--data-val", rec, "--baseline", prefix, "--per-class"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"top-1 .* \+0\.00 +points; \d+ and \d+ of 23 right; 95% interval", told)
    assert "23 of 23 images; 0 right only before" in told and "23 images of %s, each once" % rec in told


def test_heads_and_labels_nobody_reads(rec, scored, tmp_path):
    detector = packed(tmp_path / "boxes", [([1.0] * (number % 4 + 1), content)
                                           for number, (_, content) in enumerate(items())])

    def heads(seed):
        x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="c")
        rows = mx.sym.Reshape(x, shape=(-3, -2), name="rows")  # four rows for an image
        return random_model(mx.sym.Group([rows, mx.sym.FullyConnected(x, num_hidden=5, name="f")]), seed, data=SHAPE)

    after, before = (saved(heads(seed), tmp_path / name) for seed, name in ((0, "a"), (1, "b")))
    shape = ["--image-shape", "3,12,12", "--batch-size", "4"] + COLOURS
    found = scored("-m", after, "--baseline", before, "--fidelity", "--data-val", detector, *shape)
    images, _ = read(detector, SHAPE, MEAN, STD)
    for name, a, b in zip(("rows_output", "f_output"), outputs(heads(0), data=images), outputs(heads(1), data=images)):
        wanted = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert found["fidelity"]["relative_error"][name] == pytest.approx(wanted, rel=1e-4)
    assert scored("-m", after, "--output", "f", "--data-val", rec, *shape)["model"]["output"] == "f_output"


def test_more_rows_than_images_are_never_computed(prefix, rec, scored):
    assert scored("-m", prefix, "--data-val", rec, "--batch-size", "1000000")["data"]["batch_size"] == 23
    assert scored("-m", prefix, "--data-val", rec, "--max-num-examples", "5")["model"]["images"] == 5


BAD = [
    (["--data-val", "TMP/none.rec"], "none.rec cannot be read"), (["--data-val", "TMP"], "no regular file"),
    (["--data-val-idx", "TMP/none.idx"], "none.idx cannot be read"), (["--data-val-idx", "REC"], "no index"),
    (["--rgb-mean", "1,2"], "--rgb-mean has 2 values"), (["--rgb-mean", "nan"], "--rgb-mean must be finite"),
    (["--rgb-mean", ""], "--rgb-mean"), (["--rgb-std", "0"], "--rgb-std must be above 0"),
    (["--rgb-std", "inf"], "--rgb-std must be finite"), (["--rgb-std", "1,1,1,1"], "--rgb-std has 4"),
    (["--batch-size", "0"], "--batch-size"), (["--data-nthreads", "0"], "--data-nthreads"),
    (["--resize", "-1"], "--resize"), (["--resize", "50000"], "--resize"),
    (["--top-k", "0"], "--top-k"), (["--top-k", "6"], "only 5 classes"), (["--top-k", ""], "--top-k"),
    (["--max-num-examples", "0"], "--max-num-examples"), (["--load-epoch", "7"], "saved are the epochs 1"),
    (["--image-shape", "12,12"], "no image"), (["--image-shape", "3,32,32"], "fc1_weight"),
    (["--image-shape", "1,12,12"], "conv1_weight"), (["--gpus", "99"], "--gpus 99"),
    (["--baseline", "TMP/none"], "does not exist"), (["--baseline", ""], "does not exist"),
    (["--baseline", "TMP/seven"], "only networks with the same classes"),
    (["--baseline-epoch", "1"], "--baseline-epoch .*--baseline PREFIX"), (["--fidelity"], "--baseline PREFIX"),
    (["--fidelity", "--baseline", "TMP/seven"], "the one it was made from"),
    (["--fidelity", "--baseline", "NET", "--top-k", "1"], "reads no labels"),
    (["--output", "data"], "no output 'data'"), (["--output", "conv1"], "scores no classes"),
    (["--confusion", "TMP/none/c.csv"], "no folder"), (["--confusion", "TMP"], "folder"),
    (["--confusion", ""], "folder"),
    (["--confusion", "NET-0001.params"], "file of the model"), (["--confusion", "REC"], "file of the images"),
    (["--confusion", "TMP/val.idx"], "file of the images"), (["--confusion", "TMP/link.rec"], "file of the images"),
    (["--baseline", "TMP/seven", "--confusion", "TMP/seven-symbol.json"], "file of the model"),
    (["--confusion", "TMP/mine.csv"], "mine.csv is there already, and is no result of this script: say --force"),
    (["--confusion", "/dev/null"], "no regular file"), (["--confusion", "/proc/c.csv"], "/proc/c.csv"),
    (["--kv-store", "dist_sync"], "launch.py"),
]


@pytest.mark.parametrize("arguments, said", BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input(prefix, rec, tmp_path, capsys, arguments, said):
    saved(chain_model(classes=7), tmp_path / "seven")
    os.symlink(rec, str(tmp_path / "link.rec"))
    (tmp_path / "mine.csv").write_text("name,score\nme,1\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = ["-m", prefix, "--data-val", rec] + [
        text.replace("TMP", str(tmp_path)).replace("NET", prefix).replace("REC", rec) for text in arguments]
    assert score.main(words) == 2
    streams = capsys.readouterr()
    assert re.search(said, [line for line in streams.err.splitlines() if "error: " in line][0]) and not streams.out
    assert streams.err.count("error: ") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("limit, closing, code", [("ulimit -f 0; ", "", 2), ("", ">/dev/full", 2), ("", ">&-", 0),
                                                  ("", ">&- 2>&- <&-", 0)])
def test_streams_and_disks(prefix, rec, tmp_path, limit, closing, code):
    command = "%s%s %s -m %s --data-val %s %s %s" % (
        limit, sys.executable, os.path.abspath(score.__file__), prefix, rec,
        "" if limit else "--confusion %s/c.csv" % tmp_path, closing)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert os.path.exists(str(tmp_path / "c.csv")) == (not limit)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_matrix_that_cannot_be_written_loses_no_figures(prefix, rec, tmp_path, capsys, monkeypatch):
    def full(path, confusion):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("accnn.cli.score._write_confusion", full)
    assert score.main(["-m", prefix, "--data-val", rec, "--confusion", str(tmp_path / "c.csv")]) == 2
    streams = capsys.readouterr()
    assert "of 23 right" in streams.out and "error: No space left" in streams.err


def test_an_interrupt(prefix, tmp_path):
    rec, log = packed(tmp_path / "many", items(5) * 8000), tmp_path / "said"
    child = Forked(score.main, ["-m", prefix, "--data-val", rec, "--batch-size", "1", "--confusion",
                                str(tmp_path / "c.csv")], log=log)
    try:
        end = time.monotonic() + 60
        while not (log.exists() and re.search("^scoring", log.read_text(), re.M)):
            assert child.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        started = time.monotonic()
        assert stop(child, signal.SIGINT) == 130 and time.monotonic() - started < 60
    finally:
        child.kill()
    said = log.read_text()
    log.unlink()
    assert "interrupted" in said and not re.search(r"top-1|\d right", said)
    assert sorted(os.listdir(tmp_path)) == ["many.idx", "many.rec", "model"]


CIFAR, FIRST = ["--image-shape", "3,32,32", "--load-epoch", "0"], ["--max-num-examples"]
REAL = [  # right answers as OpenCV, NumPy and a plain executor count them
    ("cifar_resnet20", "cifar10_val_5000", CIFAR + ["--rgb-mean", "123.675,116.28,103.53", "--rgb-std",
                                                    "58.395,57.12,57.375"], "64", "1", {"1": 4047}),
    # Of the first images only: all 5000 take vgg16_cifar10 some 9 s, and give 4334; all 600 of ImageNet 375 and 491.
    ("cifar_resnet20", "cifar10_val_5000", CIFAR + ["--rgb-mean", "123.675,116.28,103.53", "--rgb-std",
                                                    "58.395,57.12,57.375"] + FIRST + ["1000"], "7", "2", {"1": 799}),
    ("vgg16_cifar10", "cifar10_val_5000", CIFAR + ["--rgb-mean", "125.3,123.0,113.9", "--rgb-std", "63.0,62.1,66.7"]
     + FIRST + ["1000"], "100", "2", {"1": 863}),
    ("squeezenet_v1.0", "imagenet_sample_600", ["--image-shape", "3,227,227", "--load-epoch", "0", "--rgb-mean",
                                                "123,117,104"] + FIRST + ["100"], "7", "2", {"1": 61, "5": 86}),
]


@pytest.mark.parametrize("name, data, how, batch_size, threads, right", REAL,
                         ids=["%s at %s" % (case[0], case[3]) for case in REAL])
def test_real_checkpoints(shared, scored, name, data, how, batch_size, threads, right):
    model, rec = os.path.join(shared, "models", name), os.path.join(shared, "data", data + ".rec")
    found = scored("-m", model, "--data-val", rec,
                   "--batch-size", batch_size, "--data-nthreads", threads, *how)
    assert {k: found["model"]["top"][k]["right"] for k in right} == right

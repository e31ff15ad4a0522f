"""Images and wishes that calibration refuses, full disks, interrupts: one sentence, and nothing is left."""
import os
import resource
import signal
import time

import numpy as np
import pytest

from accnn import accnn, rank_selection
from accnn.core.compat import mx
from networks import chain_model, random_model, saved
from pictures import items, offsets, packed
from processes import Forked


def test_a_damaged_record_in_the_middle(prefix, tmp_path, refused):
    pictures = items(30)
    pictures[17] = (0.0, b"no picture at all")
    rec = packed(tmp_path / "bad", pictures)
    assert "record 17 of %s is no image" % rec in refused("-m", prefix, "--data-calib", rec)


def test_a_file_that_was_cut(prefix, rec, refused):
    with open(rec, "r+b") as handle:
        handle.truncate(offsets(rec)[20] + 30)
    assert "is damaged" in refused("-m", prefix, "--data-calib", rec)


@pytest.mark.parametrize("content", ["this is text\n" * 100, ""])
def test_a_file_of_something_else(prefix, tmp_path, refused, content):
    (tmp_path / "text.rec").write_text(content)
    assert "pack the images" in refused("-m", prefix, "--data-calib", str(tmp_path / "text.rec"))


@pytest.mark.parametrize("options, sentence", [
    (["--reconstruct", "linear"], "--data-calib"),
    (["--symmetric"], "--data-calib"),
    (["--joint"], "--joint stands on real images: give --data-calib"),
    (["--joint", "--joint-mirror"], "stands on real images: give --data-calib"),
    (["--data-calib", "REC", "--joint-mirror"], "--joint-mirror says what --joint leads to: give --joint"),
    (["--measured-ranks", "3"], "--measured-ranks stands on real images: give --data-calib"),
    (["--rank-selection", "greedy", "--method", "channel"], "--data-calib"),
    (["--data-calib", "nowhere.rec"], "nowhere.rec cannot be read"),
    (["--data-calib", "REC", "--data-calib-idx", "nowhere.idx"], "nowhere.idx cannot be read"),
    (["--data-calib", "REC", "--calib-images", "0"], "--calib-images"),
    (["--data-calib", "REC", "--calib-positions", "-1"], "--calib-positions"),
    (["--data-calib", "REC", "--reconstruct", "magic"], "choose from"),
    (["--data-calib", "REC", "--rgb-std", "0"], "--rgb-std"),
    (["--data-calib", "REC", "--rgb-mean", "nan"], "--rgb-mean"),
    (["--data-calib", "REC", "--rgb-mean", "1,2"], "--rgb-mean"),
    (["--data-calib", "REC", "--seed", "-1"], "seed"),
    (["--data-calib", "REC", "--rgb-std", "1e-29"], "too large to be squared"),
])
def test_wishes_that_cannot_be_granted(prefix, rec, refused, options, sentence):
    options = [rec if option == "REC" else option for option in options]
    assert sentence in refused("-m", prefix, *options)


def test_a_negative_seed_beside_a_config(prefix, rec, tmp_path, refused):
    (tmp_path / "config.json").write_text('{"conv_params": {"conv2": 7}, "fc_params": {}}')
    assert "seed" in refused("-m", prefix, "--config", str(tmp_path / "config.json"), "--data-calib", rec, "--seed",
                             "-1")


def test_ranks_alone_are_not_reconstructed_without_images(prefix, refused):
    assert "--data-calib" in refused("-m", prefix, "--symmetric", script=rank_selection)


def test_a_network_with_two_inputs(tmp_path, rec, refused):
    net = mx.sym.Convolution(mx.sym.Variable("a") + mx.sym.Variable("b"), kernel=(3, 3), num_filter=8, name="c1")
    prefix = saved(random_model(net, a=(3, 12, 12), b=(3, 12, 12)), tmp_path / "net")
    shapes = ["--input-shape", "a:3,12,12", "--input-shape", "b:3,12,12"]
    assert "has the inputs a, b" in refused("-m", prefix, *shapes, "--data-calib", rec)


def test_a_network_that_reads_no_images(tmp_path, rec, refused):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="f1")
    prefix = saved(random_model(net, data=(40,)), tmp_path / "net")
    assert "which is no image" in refused("-m", prefix, "--fc", "--data-calib", rec)


@pytest.mark.parametrize("parameter", ["conv1_weight", "conv1_bias"])
@pytest.mark.parametrize("left_alone", [[], ["--exclude", "conv1"]])
def test_nan_in_an_early_layer(tmp_path, rec, refused, parameter, left_alone):
    model = chain_model()
    model.arg_params[parameter][0] = np.nan
    sentence = refused("-m", saved(model, tmp_path / "net"), "--data-calib", rec, *left_alone)
    assert "NaN" in sentence and "conv" in sentence


def test_a_full_disk(prefix, rec, tmp_path, folder, capfd):
    """Of the temporary files, that is: the samples of some layers are larger than any file may be."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, limit[1]))
    try:
        code = accnn.main(["-m", prefix, "--data-calib", rec, "--save-model", str(tmp_path / "new"),
                           "--calib-positions", "100"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    err = capfd.readouterr().err
    assert code == 2 and "Traceback" not in err and "File too large" in err, err
    assert os.listdir(folder) == [] and not os.path.exists(str(tmp_path / "new-0001.params"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, folder, number):
    prefix, rec = saved(chain_model(widths=(32, 48, 48, 48)), tmp_path / "net"), packed(tmp_path / "images", items(900))
    before = sorted(os.listdir(tmp_path))
    job = Forked(accnn.main, ["-m", prefix, "--data-calib", rec, "--save-model", str(tmp_path / "new"),
                              "--reconstruct", "nonlinear", "--calib-positions", "100"], log=tmp_path / "said")
    try:
        deadline = time.monotonic() + 60
        while not any(name.endswith(".f32") for _, _, names in os.walk(str(folder)) for name in names):
            assert job.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        job.send_signal(number)
        said = job.said(60)
    finally:
        job.kill()
    os.unlink(str(tmp_path / "said"))
    assert job.returncode == 130 and "Traceback" not in said and "interrupted" in said
    assert os.listdir(folder) == [] and sorted(os.listdir(tmp_path)) == before

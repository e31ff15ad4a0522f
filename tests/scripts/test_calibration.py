"""The calibration options as people use and misuse them: a right result, or one sentence and exit code 2."""
import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from accnn import acc_conv, acc_fc, accnn, rank_selection
from accnn.core import files, json_store
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from accnn.reconstruction import split_costs as measuring
from accnn.reconstruction.sensitivity import Comparison
from networks import chain_model, outputs, random_model, saved
from pictures import drawn, items, offsets, packed
from processes import Forked
from reference import relative_error

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "tools", "accnn", "accnn.py")
SCALE = ["--rgb-mean", "127", "--rgb-std", "64"]


@pytest.fixture
def rec(tmp_path):
    """A file of 40 pictures."""
    return packed(tmp_path / "images", items(40))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of temporary files, alone."""
    import tempfile

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return temporary


@pytest.fixture
def told(tmp_path, capsys, folder):
    """Run accnn.py with JSON output and return it, stderr under 'stderr'."""
    def run(*arguments, name="new"):
        arguments = [*arguments, "--save-model", str(tmp_path / name), "--json", *SCALE]
        assert accnn.main(arguments) == 0
        printed = capsys.readouterr()
        assert os.listdir(folder) == []
        json.loads(printed.out, parse_constant=lambda name: pytest.fail("%s is no JSON" % name))
        return dict(json.loads(printed.out), stderr=printed.err)
    return run


@pytest.fixture
def refused(tmp_path, capsys, folder):
    """Run accnn.py, expect a refusal that writes nothing, and return its sentence."""
    def run(*arguments, script=accnn):
        before = sorted(os.listdir(tmp_path))
        target = ["--output" if script is rank_selection else "--save-model", str(tmp_path / "new")]
        assert script.main([*arguments, *target]) == 2
        assert sorted(os.listdir(tmp_path)) == before and os.listdir(folder) == []
        sentences = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(sentences) == 1
        return sentences[0]
    return run


def test_images_bring_the_network_closer(prefix, rec, tmp_path, told):
    x = np.random.RandomState(3).uniform(-2, 2, (50, 3, 12, 12)).astype(np.float32)
    with_images = told("-m", prefix, "--fc", "--data-calib", rec, name="a")
    told("-m", prefix, "--fc", name="b")
    true, a, b = (outputs(load_model(path), data=x)[0] for path in (prefix, str(tmp_path / "a"), str(tmp_path / "b")))
    assert relative_error(a, true) < relative_error(b, true)
    assert "are used" not in with_images["stderr"]  # nobody asked for more
    assert with_images["calibration"] == {"file": rec, "images": 40, "positions": 10, "symmetric": False,
                                          "metric": "network", "solver": "linear", "seed": 0, "joint": None}
    split = [layer for layer in with_images["layers"] if layer["method"]]
    assert split and all(layer["reconstruction"]["after"] <= layer["reconstruction"]["before"] for layer in split)


def test_the_table_tells_the_errors(prefix, rec, tmp_path, capsys):
    command = ["-m", prefix, "--data-calib", rec, "--save-model", str(tmp_path / "new"), *SCALE]
    assert accnn.main(command + ["--reconstruct", "nonlinear", "--symmetric", "--calib-images", "30"]) == 0
    printed = capsys.readouterr().out
    assert "  error" in printed.splitlines()[0] and "% -> " in printed
    assert "nonlinear, symmetric, errors in the metric of the network, from 30 images x 10 places of " + rec in printed


@pytest.mark.parametrize("options", [[], ["--reconstruct", "nonlinear"], ["--calib-images", "20", "--seed", "5"],
                                     ["--rank-selection", "greedy", "--method", "channel"]])
def test_same_seed_same_bytes(prefix, rec, tmp_path, told, options):
    for name in "ab":
        told("-m", prefix, "--data-calib", rec, *options, name=name)
    assert (tmp_path / "a-0001.params").read_bytes() == (tmp_path / "b-0001.params").read_bytes()


def test_the_written_config_gives_the_same_network_again(prefix, rec, tmp_path, told):
    told("-m", prefix, "--fc", "--data-calib", rec, name="a")
    config = str(tmp_path / "config-rksel-2.0.json")
    told("-m", prefix, "--config", config, "--data-calib", rec, name="b")
    assert (tmp_path / "a-0001.params").read_bytes() == (tmp_path / "b-0001.params").read_bytes()


def test_images_that_only_choose_ranks(prefix, rec, tmp_path, told, capsys):
    greedy = ["-m", prefix, "--rank-selection", "greedy", "--method", "channel", "--data-calib", rec]
    result = told(*greedy, "--reconstruct", "none", name="a")
    assert all(layer["reconstruction"] is None for layer in result["layers"])
    assert rank_selection.main(greedy + ["--output", str(tmp_path / "ranks.json"), *SCALE]) == 0
    capsys.readouterr()
    told("-m", prefix, "--config", str(tmp_path / "ranks.json"), name="b")
    assert (tmp_path / "a-0001.params").read_bytes() == (tmp_path / "b-0001.params").read_bytes()


def test_one_layer(prefix, rec, tmp_path, capsys):
    for script, layer, rank in ((acc_conv, "conv2", "6"), (acc_fc, "fc1", "5")):
        errors = []
        for more in ([], ["--data-calib", rec, "--seed", "1", *SCALE]):
            assert script.main(["-m", prefix, "--layer", layer, "--K", rank, "--save-model", str(tmp_path / "new"),
                                *more]) == 0
            x = np.random.RandomState(3).uniform(-2, 2, (50, 3, 12, 12)).astype(np.float32)
            errors.append(relative_error(*(outputs(load_model(path), data=x)[0]
                                           for path in (str(tmp_path / "new"), prefix))))
        assert errors[1] < errors[0] or layer == "fc1"  # 40 images are too few for a fully connected layer
    assert "reconstructed 1 layers" in capsys.readouterr().out or layer == "fc1"
    assert acc_conv.main(["-m", prefix, "--layer", "conv2", "--K", "6", "--reconstruct", "linear"]) == 2


def test_from_another_folder(prefix, rec, tmp_path, bare_environment):
    there = os.path.dirname(rec)
    command = [sys.executable, SCRIPT, "-m", os.path.relpath(prefix, there), "--data-calib", os.path.basename(rec)]
    done = subprocess.run(command + ["--save-model", "here", "--no-timing"], cwd=there, env=bare_environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.path.exists(os.path.join(there, "here-0001.params"))


# ---- little to learn from

@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
def test_hardly_any_images(prefix, rec, tmp_path, told, count, solver):
    result = told("-m", prefix, "--fc", "--data-calib", rec, "--calib-images", str(count), "--reconstruct", solver)
    found = [layer["reconstruction"] for layer in result["layers"] if layer["method"]]
    assert all(one["after"] <= one["before"] for one in found)
    if count < 7:  # 70 places, 8 of them held aside
        assert {one["solver"] for one in found} == {"data-free"}
        told("-m", prefix, "--fc", name="free")
        assert (tmp_path / "free-0001.params").read_bytes() == (tmp_path / "new-0001.params").read_bytes()


def test_fewer_places_than_unknowns_is_said(prefix, rec, told):
    assert "more --calib-images would help" in told("-m", prefix, "--data-calib", rec, "--calib-images", "8")["stderr"]


def test_black_images(prefix, tmp_path, told):
    import cv2

    black = cv2.imencode(".png", np.zeros((14, 14, 3), np.uint8))[1].tobytes()
    rec = packed(tmp_path / "black", [(0.0, black)] * 30)
    result = told("-m", prefix, "--fc", "--data-calib", rec)
    new = load_model(str(tmp_path / "new"))
    assert all(np.isfinite(array.asnumpy()).all() for array in new.arg_params.values())
    x = np.full((1, 3, 12, 12), -127 / 64, np.float32)
    assert relative_error(outputs(new, data=x)[0], outputs(load_model(prefix), data=x)[0]) < 0.5
    assert len([layer for layer in result["layers"] if layer["reconstruction"]]) > 1


def test_dead_filters(tmp_path, rec, told):
    model = chain_model()
    model.arg_params["conv1_weight"][:] = 0
    model.arg_params["conv1_bias"][:] = 0
    model.arg_params["conv2_weight"][:6] = 0
    for solver in ("linear", "nonlinear"):
        told("-m", saved(model, tmp_path / "dead"), "--data-calib", rec, "--reconstruct", solver)
        new = load_model(str(tmp_path / "new"))
        assert all(np.isfinite(array.asnumpy()).all() for array in new.arg_params.values())


@pytest.mark.parametrize("channels, shape", [(1, "1,12,12"), (3, "1,12,12"), (1, "3,12,12")])
def test_grey_pictures(tmp_path, told, channels, shape):
    rec = packed(tmp_path / "grey", items(30, channels=channels))
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="c1")
    net = mx.sym.Convolution(mx.sym.Activation(net, act_type="relu"), kernel=(3, 3), num_filter=9, name="c2")
    size = tuple(map(int, shape.split(",")))
    result = told("-m", saved(random_model(net, data=size), tmp_path / "net"), "--image-shape", shape, "--data-calib",
                  rec, "--layers", "c2")
    assert result["layers"][1]["reconstruction"]["solver"] == "linear"


@pytest.mark.parametrize("side", [1, 5])
def test_images_that_are_too_small_are_enlarged_as_in_scoring(prefix, tmp_path, told, side):
    rec = packed(tmp_path / "tiny", [(0.0, drawn(side, side, seed=number)) for number in range(20)])
    assert "linear" in {layer["reconstruction"]["solver"] for layer in told("-m", prefix, "--data-calib", rec)["layers"]
                        if layer["method"]}


# ---- refusals

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


# ---- the table of sensitivities

BY_SENSITIVITY = ["--rank-selection", "sensitivity"]


def test_the_table_is_written_beside_the_result_and_used_again(prefix, rec, tmp_path, told, monkeypatch):
    told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--fc", name="a")
    table = tmp_path / "net-sensitivity.json"
    before = table.read_bytes()
    monkeypatch.setattr(measuring, "Comparison", None)  # nothing can be measured any more
    result = told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--fc", "--ratio", "3", name="b")
    assert result["network"]["ratio"] >= 3 and result["made_by"]["rank_selection"] == "sensitivity"
    for how in (["--align", "2"], ["--cost", "original"], ["--symmetric"]):
        told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, *how, name="c")
    assert table.read_bytes() == before
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table", str(table), *SCALE]
    assert rank_selection.main(command + ["--output", str(tmp_path / "ranks.json")]) == 0


def test_a_named_table_grows_with_another_method(prefix, rec, tmp_path, told):
    table = tmp_path / "mine.json"
    for method in ("vh", "channel"):
        told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--method", method, "--sensitivity-table", str(table),
             "--reconstruct", "none", "--json")
    assert set(json.loads(table.read_text())["divergences"]["conv2"]) == {"vh", "channel"}
    assert not (tmp_path / "net-sensitivity.json").exists()


def test_what_was_measured_for_other_wishes_is_measured_anew(prefix, rec, tmp_path, capsys):
    table = tmp_path / "net-sensitivity.json"
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"), *SCALE]
    assert accnn.main(command) == 0
    before = table.read_bytes()
    for options, said in ((["--seed", "1"], "seed"), (["--calib-images", "20"], "images"),
                          (["--reconstruct", "nonlinear"], "solver"), (["--metric", "responses"], "metric"),
                          (["--rgb-mean", "100"], "images")):
        table.write_bytes(before)
        capsys.readouterr()
        assert accnn.main(command + options) == 0
        assert "for other settings (%s): measuring anew" % said in capsys.readouterr().err
        assert table.read_bytes() != before


def test_a_dry_run_writes_no_table(prefix, rec, tmp_path, capsys, folder):
    before = sorted(os.listdir(tmp_path))
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--dry-run", *SCALE]
    table = tmp_path / "table.json"
    for more in (["--save-model", str(tmp_path / "new")], ["--sensitivity-table", str(table)],
                 ["--sensitivity-table", str(tmp_path / "nowhere" / "table.json")]):
        assert accnn.main(command + more) == 0
        assert sorted(os.listdir(tmp_path)) == before and os.listdir(folder) == []
    table.write_text("{}")
    assert accnn.main(command + ["--sensitivity-table", str(table)]) == 2
    assert table.read_text() == "{}"


def test_sensitivity_without_images_is_refused(prefix, refused):
    assert "--data-calib" in refused("-m", prefix, *BY_SENSITIVITY)
    assert "--data-calib" in refused("-m", prefix, *BY_SENSITIVITY, script=rank_selection)


@pytest.mark.parametrize("text", ["{", "no table", "[]", '{"conv_params": {"conv2": 7}}'])
def test_a_file_that_is_no_table(prefix, rec, tmp_path, refused, text):
    (tmp_path / "table.json").write_text(text)
    sentence = refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table",
                       str(tmp_path / "table.json"))
    assert "table.json is no table of sensitivities: remove it" in sentence
    assert (tmp_path / "table.json").read_text() == text


def test_a_table_that_cannot_be_written_is_told_before_measuring(prefix, rec, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(measuring, "Comparison", None)
    for path, sentence in ((tmp_path / "nowhere" / "table.json", "there is no folder"), (tmp_path, "names a folder"),
                           (prefix + "-symbol.json", "is a file of the model that is read")):
        assert sentence in refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table", str(path))


def test_a_damaged_record_is_named_by_the_file_it_is_in(prefix, tmp_path, refused):
    pictures = items(30)
    pictures[17] = (0.0, b"no picture at all")
    rec = packed(tmp_path / "bad", pictures)
    for more in ([], ["--calib-images", "20"], ["--calib-images", "20", "--seed", "2"]):
        assert "record 17 of %s is no image" % rec in refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, *more)


def test_a_table_on_a_full_disk(prefix, rec, refused, monkeypatch):
    @contextlib.contextmanager
    def full(path):
        with files.written_whole(path) as temporary:
            yield temporary
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(json_store, "written_whole", full)
    sentence = refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec)
    assert "net-sensitivity.json cannot be written: No space left on device" in sentence


def test_half_precision_is_told_or_done(tmp_path, rec, capsys):
    prefix = saved(random_model(chain_model().symbol, dtype="float16", data=(3, 12, 12)), tmp_path / "half")
    code = accnn.main(["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"),
                       *SCALE])
    assert code == 0 or code == 2 and "cannot be computed here" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_measured(prefix, rec, tmp_path, folder, capsys, monkeypatch, number):
    real, before = Comparison.of_replaced, sorted(os.listdir(tmp_path))
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"), *SCALE]
    seen = []

    def of_replaced(self, replacement):
        seen.append(replacement.spec.name)
        if replacement.spec.name == "conv2":
            signal.raise_signal(number)
        return real(self, replacement)

    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "of_replaced", of_replaced)
        assert accnn.main(command) == 130
        assert "interrupted" in capsys.readouterr().err
    table = tmp_path / "net-sensitivity.json"
    assert sorted(os.listdir(tmp_path)) == sorted(before + [table.name])
    assert list(json.loads(table.read_text())["divergences"]) == ["conv1"]
    del seen[:]
    monkeypatch.setattr(Comparison, "of_replaced", lambda self, replacement: seen.append(
        replacement.spec.name) or real(self, replacement))
    assert accnn.main(command) == 0 and set(seen) == {"conv2", "conv3"}
    assert sorted(json.loads(table.read_text())["divergences"]) == ["conv1", "conv2", "conv3"]

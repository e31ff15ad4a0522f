"""The calibration options as people use them: the result is right, and told."""
import os
import subprocess
import sys

import numpy as np
import pytest
from calibration_options import SCALE

from accnn import acc_conv, acc_fc, accnn, rank_selection
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from networks import chain_model, outputs, random_model, saved
from pictures import drawn, items, packed
from reference import relative_error


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
    command = [sys.executable, os.path.abspath(accnn.__file__), "-m", os.path.relpath(prefix, there), "--data-calib",
               os.path.basename(rec)]
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

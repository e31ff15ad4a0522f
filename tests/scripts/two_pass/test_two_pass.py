"""two_pass.py as people run it: the paper's flow, its table, its options."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from two_pass_runs import COLOURS, without

from accnn import methods, score, two_pass
from accnn.graph.checkpoint import load_model
from accnn.iterative.state import State
from networks import outputs, random_input
from trainers import arrays

ALL = ["restore", "optimise", "decompose", "fine-tune"] * 2


@pytest.fixture
def after(monkeypatch):
    """dict of int to Model: what every stage left, by its number from 0."""
    found, plain = [], State.finish

    def finish(self, model, record, last):
        found.append(model)
        plain(self, model, record, last)
    monkeypatch.setattr(State, "finish", finish)
    return found


def moved(before, now):
    return set(arrays(before)) & set(arrays(now)) - same_of(before, now)


def same_of(first, second):
    shared = set(arrays(first)) & set(arrays(second))
    return {name for name in shared if arrays(first)[name].tobytes() == arrays(second)[name].tobytes()}


def test_the_flow(told, after, tmp_path, inputs, capsys):
    said = told("--data-val", inputs["val"])
    assert [stage["stage"] for stage in said["stages"]] == ALL
    assert [stage["group"] for stage in said["stages"]] == [1] * 4 + [2] * 4
    assert said["stages"][0]["layers"] == ["conv2", "conv3"] and said["stages"][4]["layers"] == ["conv4"]
    assert said["epochs"] == 4 and said["images"] == 4 * 40
    assert said["convolutions"]["ratio"] == said["convolutions"]["before"] / said["convolutions"]["after"] > 1
    restored, optimised, decomposed, tuned = after[:4]
    given = load_model(inputs["net"])
    # The first pass changes the kernels of its group only, and the network trains whole.
    assert moved(given, restored) == {"conv2_weight", "conv3_weight"}
    assert moved(restored, optimised) == set(arrays(given))
    # The second one replaces them; what it made is held.
    chains = {"conv%d_%s_%s" % (i, half, end) for i in (2, 3) for half in "vh" for end in ("weight", "bias")}
    assert set(arrays(decomposed)) - set(arrays(optimised)) == chains
    assert same_of(decomposed, tuned) == chains == same_of(after[4], after[5]) & chains
    assert "conv4_weight" in moved(after[4], after[5]) and "fc2_bias" in moved(after[6], after[7])
    last = load_model(str(tmp_path / "out"))
    assert same_of(last, tuned) >= chains and arrays(last)["conv4_h_weight"].shape == (16, 13, 1, 3)
    for item, first, second in zip(said["layers"], ("conv2", "conv3", "conv4"), (9, 11, 13)):
        assert item["layer"] == first and item["rank"] == second
        assert 0 < item["fitness"]["restore"] < item["fitness"]["decompose"] < 1
    assert score.main(["-m", str(tmp_path / "out"), "--data-val", inputs["val"], "--json"] + COLOURS) == 0
    scored = json.loads(capsys.readouterr().out)["model"]
    assert scored["top"]["1"]["right"] / 17 == said["stages"][-1]["val_top1"]
    assert scored["cross_entropy"] == pytest.approx(said["stages"][-1]["val_loss"], abs=1e-5)
    assert said["given"]["val_images"] == 17 and all(stage["val_loss"] for stage in said["stages"])


def test_the_table(command, capsys):
    assert two_pass.main(command) == 0
    printed = capsys.readouterr()
    assert re.search(r"conv4 +2 +vh +13 +0\.\d+ +0\.\d+", printed.out)
    assert [re.search(r"^ +%d +(\S+) " % group, line).group(1) for group in (1, 2) for line in
            printed.out.splitlines() if re.match(r" +%d +\S+ +conv" % group, line)] == ALL
    assert "4 epochs in all, 160 images" in printed.out and "theoretical" in printed.out
    assert "group 1 of 2, optimise (epochs: 1): conv2, conv3" in printed.err


def test_unfreeze_trains_chains_but_what_the_person_froze(told, after):
    told("--unfreeze", "--freeze", "conv2", "--freeze", "fc1_bias")
    decomposed, tuned = after[2:4]
    held = {"conv2_v_weight", "conv2_v_bias", "conv2_h_weight", "conv2_h_bias", "fc1_bias"}
    assert same_of(decomposed, tuned) == held == same_of(decomposed, after[7]) & held
    assert "conv3_v_weight" in moved(tuned, after[5])


def test_one_pass(told, after, inputs):
    said = told("--one-pass", "--optimise-epochs", "2")
    assert [(stage["stage"], stage["group"], stage["epochs"]) for stage in said["stages"]] == [
        ("decompose", 1, 0), ("fine-tune", 1, 3), ("decompose", 2, 0), ("fine-tune", 2, 3)]
    assert "conv4_weight" in arrays(after[1]) and "conv4_v_weight" in same_of(after[2], after[3])
    together = told("--one-pass", "together", "--optimise-epochs", "2", "--teacher", inputs["net"], "--force")
    assert [(stage["stage"], stage["epochs"]) for stage in together["stages"]] == [("decompose", 0), ("fine-tune", 6)]
    assert together["epochs"] == said["epochs"] == 6 and together["images"] == said["images"]
    assert "fitness" in together["layers"][0] and list(together["layers"][0]["fitness"]) == ["decompose"]


def test_from_the_smallest_fitness(told, command, capsys):
    said = told("--order", "fitness", "--groups", "3")
    found = [item["layer"] for item in said["layers"]]
    first = told("--force", "--one-pass", "together")  # all fitnesses of the network that was given
    fitness = {item["layer"]: item["fitness"]["decompose"] for item in first["layers"]}
    assert found == sorted(found, key=fitness.get) and [item["group"] for item in said["layers"]] == [1, 2, 3]
    assert two_pass.main(command + ["--force", "--groups", "9"]) == 0
    assert "the plan splits 3 layers: as many groups, not 9" in capsys.readouterr().err


@pytest.mark.parametrize("method", methods.names("Convolution"))
def test_every_method(told, command, tmp_path, method):
    """Chains of all kinds, depthwise ones included, ranks by the rule."""
    base = without(command, "--config")
    said = told("--method", method, "--ratio", "1.5", "--layers", "conv3", "--layers", "conv4", "--iterations", "20",
                "--rank-selection", "uniform", base=base)
    assert {item["method"] for item in said["layers"]} == {method}
    assert np.isfinite(outputs(load_model(str(tmp_path / "out")), data=random_input(2, 3, 12, 12))[0]).all()


def test_a_fully_connected_layer_that_nothing_was_trained_between(told, command, inputs):
    said = told("--data-val", inputs["val"], "--method", "fc-svd", "--fc", "--layers", "fc1", "--fixed", "fc1=5",
                "--ratio", "1", "--optimise-epochs", "0", "--groups", "1", base=without(command, "--config"))
    assert [item["layer"] for item in said["layers"]] == ["fc1"] and said["epochs"] == 1
    assert said["layers"][0]["fitness"]["decompose"] == pytest.approx(1, abs=1e-3)
    restored, optimised, decomposed = (stage["val_loss"] for stage in said["stages"][:3])
    assert restored == optimised == pytest.approx(decomposed, abs=1e-5)


def test_calibrated(told, command, tmp_path, inputs):
    """Images choose the ranks, and rebuild the chains of the optimised network."""
    base = without(command, "--config") + ["--ratio", "1.5", "--rank-selection", "sensitivity"]
    said = told("--data-calib", inputs["train"], "--calib-images", "40", base=base)
    assert said["made_by"]["rank_selection"] == "sensitivity"
    assert os.path.exists(str(tmp_path / "net-sensitivity.json"))
    fitted = (tmp_path / "out-0001.params").read_bytes()
    told("--data-calib", inputs["train"], "--calib-images", "40", "--reconstruct", "none", "--force", base=base)
    assert fitted != (tmp_path / "out-0001.params").read_bytes()


def test_divergence_keeps_the_stages_before(command, tmp_path, capsys):
    assert two_pass.main(command + ["--lr", "1e30"]) == 1
    assert len(re.findall("error: fine-tuning diverged in epoch 1", capsys.readouterr().err)) == 1
    assert not (tmp_path / "out-0001.params").exists() and (tmp_path / "out-two-pass.json").exists()


def test_help_comes_without_mxnet(bare_environment, tmp_path):
    (tmp_path / "mxnet.py").write_text("raise SystemExit('mxnet was imported')")
    done = subprocess.run([sys.executable, two_pass.__file__, "--help"], capture_output=True, text=True,
                          env=dict(bare_environment, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0 and "--optimise-epochs" in done.stdout and done.stderr == ""

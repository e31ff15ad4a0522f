"""two_pass.py as people run it: the paper's flow, kills, resumed runs that end the same, one sentence otherwise."""
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from accnn import methods, score, two_pass
from accnn.core.compat import mx
from accnn.data.stream import TrainingStream
from accnn.graph.checkpoint import load_model
from accnn.iterative.state import State
from networks import chain_model, outputs, random_input, random_model, saved
from pictures import items, packed
from processes import Forked, stop
from trainers import arrays

PATIENCE = 120  # seconds, on a busy machine
COLOURS = ["--rgb-mean", "128", "--rgb-std", "64"]
ALL = ["restore", "optimise", "decompose", "fine-tune"] * 2


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A network whose conv2 to conv5 are worth splitting, pictures to train and to validate on, a config."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "ranks.json").write_text('{"conv_params": {"conv2": 9, "conv3": 11, "conv4": 13}}')
    return {"net": saved(chain_model(widths=(8, 16, 16, 16)), folder / "net"),
            "train": packed(folder / "train", items(43)), "val": packed(folder / "val", items(17)),
            "config": str(folder / "ranks.json"), "folder": folder}


@pytest.fixture
def command(inputs, tmp_path):
    """Options of a run that works: two groups, conv2 and conv3, then conv4."""
    return ["-m", inputs["net"], "--data-train", inputs["train"], "--batch-size", "8", "--lr", "0.003", "--groups", "2",
            "--config", inputs["config"], "--save-model", str(tmp_path / "out")] + COLOURS


@pytest.fixture
def told(tmp_path, capsys, command):
    """Run with JSON output and return it."""
    def run(*more, base=None):
        assert two_pass.main((base or command) + list(more) + ["--json"]) == 0
        return json.loads(capsys.readouterr().out)
    return run


@pytest.fixture
def after(monkeypatch):
    """dict of int to Model: what every stage left, by its number from 0."""
    found, plain = [], State.finish

    def finish(self, model, record, last):
        found.append(model)
        plain(self, model, record, last)
    monkeypatch.setattr(State, "finish", finish)
    return found


def without(command, *names):
    """The command without options that have a value."""
    command = list(command)
    for name in names:
        place = command.index(name)
        del command[place:place + 2]
    return command


def snapshot(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder)) if (folder / name).is_file()}


def result(folder, name="out"):
    """Bytes of the network that a run wrote, which are all it left beside its state."""
    found = snapshot(folder)
    assert {key for key in found if key.startswith(name + "-")} == {
        name + end for end in ("-symbol.json", "-0001.params", "-two-pass.json")}
    return found[name + "-symbol.json"], found[name + "-0001.params"]


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


MORE = ["--optimise-epochs", "2", "--lr-schedule", "cosine", "--dropout", "0.1", "--save-every", "0"]


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The result of a run that was left alone, each made once."""
    def run(command, *more):
        if more not in found:
            folder = tmp_path_factory.mktemp("whole")
            assert two_pass.main(without(command, "--save-model") + ["--save-model", str(folder / "whole"), *more]) == 0
            found[more] = result(folder, "whole")
        return found[more]

    found = {}
    return run


@pytest.mark.parametrize("more", [[], ["--one-pass"], ["--unfreeze", "--order", "fitness"], ["CALIB"]])
def test_resumed_after_every_stage(command, tmp_path, inputs, monkeypatch, capsys, whole, more):
    more = ["--data-calib", inputs["train"], "--calib-images", "40"] if more == ["CALIB"] else more
    wanted, plain = whole(command, *MORE, *more), State.finish

    def finish(self, model, record, last):
        plain(self, model, record, last)
        if not last:
            raise KeyboardInterrupt
    monkeypatch.setattr(State, "finish", finish)
    for number in range(3 if "--one-pass" in more else 7):
        assert two_pass.main(command + MORE + more + ["--resume"]) == 130
        left = sorted(name for name in os.listdir(str(tmp_path)) if name.startswith("out"))
        assert left == ["out-two-pass-%03d-%s" % (number + 1, end) for end in ("0000.params", "symbol.json")] + [
            "out-two-pass.json"]
    assert "--resume goes on" in capsys.readouterr().err
    assert two_pass.main(command + MORE + more + ["--resume"]) == 0
    assert result(tmp_path) == wanted
    first = capsys.readouterr().out
    assert two_pass.main(command + MORE + more + ["--resume"]) == 0  # over: tells again, changes nothing
    took = re.compile(r"^[\d.]+ seconds$", re.M)
    assert took.sub("", capsys.readouterr().out) == took.sub("", first) and result(tmp_path) == wanted


def cut_after(steps, monkeypatch):
    """Interrupt before one of the steps; return [those that were made]."""
    made, plain = [0], TrainingStream.epoch

    def epoch(self, *place, **how):
        for batch in plain(self, *place, **how):
            if made[0] == steps:
                raise KeyboardInterrupt
            made[0] += 1
            yield batch
    monkeypatch.setattr(TrainingStream, "epoch", epoch)
    return made


def test_resumed_inside_a_stage_that_matches_a_teacher(command, tmp_path, monkeypatch, whole, inputs):
    """The rate is found for every stage, and kept for its rest."""
    more = ["--one-pass", "together", "--teacher", inputs["net"], "--mixup", "1", "--average", "0.5", "--lr", "auto"]
    wanted, made = whole(command, *MORE, *more), cut_after(104, monkeypatch)
    assert two_pass.main(command + MORE + more) == 130
    assert (tmp_path / "out-two-pass-002-resume.params").exists()
    made[0] = 105
    assert two_pass.main(command + MORE + more + ["--resume"]) == 0
    assert made[0] < 105 + 100
    assert result(tmp_path) == wanted


@pytest.mark.parametrize("steps", [0, 7, 12])
def test_resumed_inside_a_stage(command, tmp_path, monkeypatch, whole, steps):
    wanted, made = whole(command, *MORE), cut_after(steps, monkeypatch)
    assert two_pass.main(command + MORE) == 130
    assert (tmp_path / ("out-two-pass-%03d-resume.params" % (2 if steps < 10 else 4))).exists()
    made[0] = steps + 1
    assert two_pass.main(command + MORE + ["--resume"]) == 0
    # The steps before were not made again.
    assert made[0] == steps + 1 + 30 - steps
    assert result(tmp_path) == wanted


def test_ended_by_signals_at_random_moments(command, tmp_path, whole):
    draw, state = random.Random(0), tmp_path / "out-two-pass.json"
    for number in (signal.SIGKILL, signal.SIGINT):
        child = Forked(two_pass.main, command + MORE + ["--resume"], log=tmp_path / "said")
        try:
            before, end = state.exists() and state.read_bytes(), time.monotonic() + PATIENCE
            while child.poll() is None and time.monotonic() < end and (
                    not state.exists() or state.read_bytes() == before):
                time.sleep(0.002)
            time.sleep(draw.uniform(0.0, 0.1))
            if number == signal.SIGKILL:
                child.kill()
            elif child.poll() is None:
                stop(child, number)
            said = child.said(PATIENCE)
        finally:
            child.kill()
        # An interrupt inside the making of an NDArray lets Python speak of its __del__.
        assert "Traceback" not in re.sub(r"Exception ignored in.*\n(Traceback.*\n( .*\n)*\S.*\n)?", "", said)
        json.loads(state.read_text())
    assert two_pass.main(command + MORE + ["--resume"]) == 0
    assert result(tmp_path) == whole(command, *MORE)


def refused(words, capsys, says, code=2):
    assert two_pass.main(words) == code
    err = capsys.readouterr().err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and "Traceback" not in err, err
    assert re.search(says, sentences[0]), sentences[0]


@pytest.fixture
def begun(command, monkeypatch):
    """A run that stopped after its first stage."""
    plain = State.finish

    def finish(self, model, record, last):
        plain(self, model, record, last)
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(State, "finish", finish)
        assert two_pass.main(command) == 130


def test_another_command_does_not_resume(command, begun, tmp_path, inputs, capsys):
    capsys.readouterr()
    before = snapshot(tmp_path)
    other = inputs["folder"] / "other.json"
    other.write_text('{"conv_params": {"conv2": 9, "conv3": 12, "conv4": 13}}')
    for more, says in ((["--lr", "0.1"], "begun with --lr 0.003, not 0.1"), (["--groups", "1"], "--groups 2, not 1"),
                       (["--order", "fitness"], "--order in-order"), (["--optimise-epochs", "2"], "--optimise-epochs"),
                       (["--fine-tune-epochs", "0"], "--fine-tune-epochs"), (["--one-pass"], "--one-pass"),
                       (["--unfreeze"], "--unfreeze False, not True"), (["--config", str(other)], "--config of"),
                       (["--seed", "5"], "--seed"), (["--teacher", inputs["net"]], "--teacher"),
                       (["--data-calib", inputs["val"]], "--data-calib"), (["--freeze", "fc1"], "--freeze"),
                       (["--restarts", "3"], "--restarts"), (["--data-train", inputs["val"]], "--data-train")):
        refused(command + ["--resume"] + more, capsys, says)
        assert snapshot(tmp_path) == before
    refused(without(command, "--config") + ["--resume", "--ratio", "1.5"], capsys, "--config")
    refused(command, capsys, "is there already: say --resume to go on with that run, --force")
    assert snapshot(tmp_path) == before
    assert two_pass.main(command + ["--force"]) == 0
    assert "replacing" in capsys.readouterr().err
    result(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "another version", "no list", "no checkpoint"])
def test_a_damaged_state(command, begun, tmp_path, capsys, damage):
    capsys.readouterr()
    state = tmp_path / "out-two-pass.json"
    said = json.loads(state.read_text())
    if damage == "no checkpoint":
        (tmp_path / "out-two-pass-001-0000.params").unlink()
    else:
        state.write_text({"cut": state.read_text()[:-9], "empty": "", "no list": json.dumps(dict(said, done=[1])),
                          "another version": json.dumps(dict(said, version=7))}[damage])
    before = snapshot(tmp_path)
    refused(command + ["--resume"], capsys, "out-two-pass")
    assert snapshot(tmp_path) == before


def test_divergence_keeps_the_stages_before(command, tmp_path, capsys):
    assert two_pass.main(command + ["--lr", "1e30"]) == 1
    assert len(re.findall("error: fine-tuning diverged in epoch 1", capsys.readouterr().err)) == 1
    assert not (tmp_path / "out-0001.params").exists() and (tmp_path / "out-two-pass.json").exists()


# What changes nothing, and is said in one sentence.
CASES = [
    (["-m", "IN/nothing"], "nothing-symbol.json does not exist"), (["--data-train", "IN/no.rec"], "no.rec"),
    (["--data-val", "IN/ranks.json"], "RecordIO"), (["--config", "IN/no.json"], "no.json cannot be read"),
    (["--config", "IN/odd.json"], "no layer 'conv9'"), (["--groups", "0"], "--groups"), (["--order", "any"], "choose"),
    (["--optimise-epochs", "-1"], "--optimise-epochs"), (["--fine-tune-epochs", "10000"], "--fine-tune-epochs"),
    (["--optimise-epochs", "0", "--fine-tune-epochs", "0"], "nothing to train"), (["--one-pass", "some"], "choose"),
    (["--warmup-epochs", "1"], "--warmup-epochs .* --optimise-epochs"), (["--lr", "0"], "--lr"),
    (["--batch-size", "44"], "fewer than a batch"), (["--seed", "-1"], "--seed"), (["--freeze", "conv"], "no layer"),
    (["--freeze", "*"], "leaves nothing"), (["--dropout", "1"], "--dropout"), (["--output", "fc9"], "no output"),
    (["--reconstruct", "linear"], "--data-calib"), (["--data-calib", "IN/no.rec"], "no.rec"),
    (["--save-model", "IN/net"], "is the model that is read"), (["--save-model", "OUT/no/out"], "no folder"),
    (["--save-model", "IN/theirs"], "theirs-0007.params is there already, and would stand beside the symbol of anot"),
    (["--save-model", "IN"], "names a folder"), (["--save-model", "OUT/" + "x" * 240], "cannot be written"),
    (["--teacher", "IN/no"], "does not exist"), (["--teacher", "IN/few"], "knows 3 classes"),
    (["-m", "IN/half"], "float32"), (["--resume", "--force"], "choose one"), (["--rgb-mean", "1,2"], "--rgb-mean"),
    (["--image-shape", "3,20,20"], "fc1_weight"), (["--rgb-std", "0"], "--rgb-std"), (["--gpus", "9"], "--gpus"),
]


@pytest.fixture(scope="module")
def odd(inputs):
    """What CASES name beside the inputs."""
    folder = inputs["folder"]
    (folder / "theirs-0007.params").write_bytes(b"theirs")
    (folder / "odd.json").write_text('{"conv_params": {"conv9": 9}}')
    saved(chain_model(classes=3), folder / "few")
    saved(random_model(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="fc1"),
                                            name="softmax"), dtype="float16", data=(3, 12, 12)), folder / "half")
    return str(folder)


@pytest.mark.parametrize("more, says", CASES, ids=lambda value: "_".join(value)[:60] if isinstance(value, list) else "")
def test_bad_input(command, odd, tmp_path, capsys, more, says):
    more = [word.replace("IN", odd).replace("OUT", str(tmp_path)) for word in more]
    assert two_pass.main(command + more) == 2
    err = capsys.readouterr().err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and re.search(says, sentences[0]) and "Traceback" not in err, err
    assert os.listdir(str(tmp_path)) == []


def test_a_ratio_out_of_reach(command, tmp_path, capsys):
    refused(without(command, "--config") + ["--ratio", "1000"], capsys, "cannot be reached", code=1)
    assert os.listdir(str(tmp_path)) == []


def test_nothing_left_to_train(inputs, command, tmp_path, capsys):
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=16, name="conv1")
    x = mx.sym.Convolution(mx.sym.Activation(x, act_type="relu"), kernel=(3, 3), num_filter=5, name="conv2")
    net = random_model(mx.sym.SoftmaxOutput(mx.sym.Flatten(mx.sym.Pooling(
        x, global_pool=True, kernel=(1, 1), pool_type="avg")), name="softmax"), data=(3, 12, 12))
    base = without(command, "--config", "-m") + ["-m", saved(net, tmp_path / "net"), "--image-shape", "3,12,12",
                                                 "--fixed", "conv1=3", "--fixed", "conv2=4", "--ratio", "1"]
    before = snapshot(tmp_path)
    refused(base, capsys, "held fixed in the end: say --unfreeze")
    assert snapshot(tmp_path) == before
    assert two_pass.main(base + ["--fine-tune-epochs", "0"]) == 0
    assert two_pass.main(base + ["--unfreeze", "--force"]) == 0


def test_files_that_no_run_wrote_are_not_taken_for_one(command, tmp_path, capsys):
    (tmp_path / "out-symbol.json").write_text("mine")
    for more in ([], ["--resume"]):
        refused(command + more, capsys, "out-symbol.json is there")
    assert snapshot(tmp_path) == {"out-symbol.json": b"mine"}


def test_help_comes_without_mxnet(bare_environment, tmp_path):
    (tmp_path / "mxnet.py").write_text("raise SystemExit('mxnet was imported')")
    done = subprocess.run([sys.executable, two_pass.__file__, "--help"], capture_output=True, text=True,
                          env=dict(bare_environment, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0 and "--optimise-epochs" in done.stdout and done.stderr == ""

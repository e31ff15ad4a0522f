"""What two_pass.py refuses in one sentence, with nothing changed."""
import json
import os
import re

import pytest
from two_pass_runs import result, snapshot, without

from accnn import two_pass
from accnn.core.compat import mx
from accnn.iterative.state import State
from networks import chain_model, random_model, saved


def refused(words, capsys, says, code=2):
    assert two_pass.main(words) == code
    err = capsys.readouterr().err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and "Traceback" not in err, err
    assert re.search(says, sentences[0]), sentences[0]


def begin(command, monkeypatch):
    """Let a run stop after its first stage."""
    plain = State.finish

    def finish(self, model, record, last):
        plain(self, model, record, last)
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(State, "finish", finish)
        assert two_pass.main(command) == 130


@pytest.fixture
def begun(command, monkeypatch):
    """A run that stopped after its first stage."""
    begin(command, monkeypatch)


@pytest.mark.parametrize("more, left_out", [(["--measured-ranks", "9"], "--measured-ranks 9, not"),
                                            (["--joint-mirror"], "--joint-mirror True, not")])
def test_what_a_run_was_begun_with_is_not_left_out(command, tmp_path, inputs, monkeypatch, capsys, more, left_out):
    calibrated = command + ["--data-calib", inputs["train"], "--calib-images", "40", "--joint"]
    begin(calibrated + more, monkeypatch)
    before = snapshot(tmp_path)
    capsys.readouterr()
    refused(calibrated + ["--resume"], capsys, left_out)
    assert snapshot(tmp_path) == before


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


def test_files_that_no_run_wrote_are_not_taken_for_one(command, tmp_path, capsys):
    (tmp_path / "out-symbol.json").write_text("mine")
    for more in ([], ["--resume"]):
        refused(command + more, capsys, "out-symbol.json is there")
    assert snapshot(tmp_path) == {"out-symbol.json": b"mine"}


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

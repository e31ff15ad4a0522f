"""two_pass.py interrupted, killed and resumed: in the end all is as if it had not been."""
import json
import os
import random
import re
import signal

import pytest
from two_pass_runs import result, without

from accnn import two_pass
from accnn.data.stream import TrainingStream
from accnn.iterative.state import State
from processes import Forked, ended_once

PATIENCE = 120  # seconds, on a busy machine
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
        before = state.exists() and state.read_bytes()
        child = Forked(two_pass.main, command + MORE + ["--resume"], log=tmp_path / "said")
        said = ended_once(child, number, lambda before=before: state.exists() and state.read_bytes() != before,
                          draw.uniform(0.0, 0.1), PATIENCE)
        assert "Traceback" not in said
        json.loads(state.read_text())
    assert two_pass.main(command + MORE + ["--resume"]) == 0
    assert result(tmp_path) == whole(command, *MORE)

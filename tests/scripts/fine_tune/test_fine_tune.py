"""fine_tune.py as people run it: kills, divergence, figures that agree, full disks."""
import csv
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fine_tune_runs import PATIENCE, SCRIPT, epochs, replaced, snapshot, start

from accnn import fine_tune, score
from accnn.core.compat import mx
from networks import random_model, residual_net, saved
from pictures import packed
from processes import Forked, ended_once


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_by_a_signal_at_random_moments(command, tmp_path, number):
    """After every kill each file is whole; resumed to the end, all bytes are those of a run that was left alone."""
    draw = random.Random(int(number))
    kept = tmp_path / "out-resume.params"
    more = ["--save-every", "0", "--num-epochs", "6", "--optimizer", "adam"]
    for _ in range(3):
        before = os.stat(kept).st_ino if kept.exists() else None
        child = Forked(fine_tune.main, command + ["--resume"] + more, log=tmp_path / "said")
        said = ended_once(child, number, lambda before=before: kept.exists() and os.stat(kept).st_ino != before,
                          draw.uniform(0.0, 0.05), PATIENCE)
        assert "Traceback" not in said
        if number != signal.SIGKILL:
            assert not [name for name in os.listdir(str(tmp_path)) if name.endswith(".tmp")]
        for path in snapshot(tmp_path):
            if path.endswith(".params") and not os.path.basename(path).startswith("."):
                mx.nd.load(path)
    assert fine_tune.main(command + ["--resume"] + more) == 0
    found = epochs(tmp_path)
    assert len(found) == 7
    whole = tmp_path / "whole"
    whole.mkdir()
    assert fine_tune.main(replaced(command, model_prefix=str(whole / "out")) + more) == 0
    assert epochs(whole) == found


@pytest.mark.parametrize("batch_size", ["8", "17"])
def test_the_log_agrees_with_score(command, tmp_path, capsys, batch_size):
    command = replaced(command, batch_size=batch_size)
    assert fine_tune.main(command + ["--json", "--lr-schedule", "cosine"]) == 0
    said = json.loads(capsys.readouterr().out)
    with open(str(tmp_path / "out-log.csv")) as handle:
        log = list(csv.DictReader(handle))
    assert [row["epoch"] for row in log] == ["0", "1", "2", "3"]
    assert [float(row["lr"]) for row in log[1:]] == pytest.approx(
        [0.01 * (1 + np.cos(np.pi * epoch / 3)) / 2 for epoch in (1, 2, 3)], abs=1e-9)
    val = command[command.index("--data-val") + 1]
    colours = ["--image-shape", "3,12,12", "--rgb-mean", "128", "--rgb-std", "64", "--data-val", val, "--json"]
    models = [(command[1], "1")] + [(str(tmp_path / "out"), str(epoch)) for epoch in (1, 2, 3)]
    for row, (prefix, epoch) in zip(log, models):
        assert score.main(["-m", prefix, "--load-epoch", epoch, "--batch-size", "5"] + colours) == 0
        scored = json.loads(capsys.readouterr().out)
        assert scored["data"]["images"] == int(row["val_images"]) == 17
        assert int(row["val_right"]) == scored["model"]["top"]["1"]["right"]
        assert float(row["val_loss"]) == pytest.approx(scored["model"]["cross_entropy"], abs=1e-5)
    right = [int(row["val_right"]) for row in log]
    best = said["best"]["epoch"]
    assert right[best] == max(right)
    prefix, epoch = models[best]
    assert snapshot(tmp_path)[str(tmp_path / "out-best-0000.params")] == open(
        "%s-%04d.params" % (prefix, int(epoch)), "rb").read()


def test_fine_tuning_learns(tmp_path, net):
    """Pictures that differ in brightness only are told apart after a few epochs."""
    rng = np.random.RandomState(0)
    pictures = []
    for number in range(60):
        import cv2

        pixels = np.clip(rng.normal(40 + 40 * (number % 5), 5, (12, 12, 3)), 0, 255).astype(np.uint8)
        pictures.append((float(number % 5), cv2.imencode(".png", pixels)[1].tobytes()))
    rec = packed(tmp_path / "bright", pictures)
    assert fine_tune.main(["-m", net, "--image-shape", "3,12,12", "--data-train", rec, "--data-val", rec,
                           "--model-prefix", str(tmp_path / "out"), "--rgb-mean", "120", "--rgb-std", "60", "--lr",
                           "0.001", "--batch-size", "10", "--num-epochs", "25", "--dropout", "0", "--save-period",
                           "25"]) == 0
    with open(str(tmp_path / "out-log.csv")) as handle:
        log = list(csv.DictReader(handle))
    assert int(log[0]["val_right"]) < 30 and max(int(row["val_right"]) for row in log) > 36


@pytest.mark.parametrize("more, kept", [
    (["--lr", "1e30"], []),
    (["--lr-step-epochs", "2", "--lr-factor", "1"], ["-0001.params", "-0002.params"]),
    (["--lr-step-epochs", "2", "--lr-factor", "1", "--save-period", "9"], ["-0002.params"]),
])
def test_divergence_keeps_the_last_good_epoch(command, tmp_path, capsys, monkeypatch, more, kept):
    from accnn.training import optimizer

    if kept:  # the rate leaps after two epochs
        plain = optimizer.mx.lr_scheduler.MultiFactorScheduler.__call__
        monkeypatch.setattr(optimizer.mx.lr_scheduler.MultiFactorScheduler, "__call__", lambda self, update: plain(
            self, update) if update <= 10 else 1e30)
    assert fine_tune.main(command + more) == 1
    err = capsys.readouterr().err
    assert len(re.findall("error: fine-tuning diverged in epoch %d" % (3 if kept else 1), err)) == 1, err
    assert "Traceback" not in err
    assert [name[3:] for name in sorted(epochs(tmp_path)) if "best" not in name] == kept
    if kept:
        assert "out-0002.params is the last good epoch" in err
    for path in snapshot(tmp_path):
        if path.endswith(".params"):
            assert all(np.isfinite(array.asnumpy()).all() for array in mx.nd.load(path).values())


def test_a_network_without_answers_is_never_the_best(command, tmp_path, capsys, monkeypatch):
    """Parameters that are finite, but give NaN for the validation images."""
    from accnn.training.trainer import Trainer

    plain = Trainer.model

    def model(self):
        found = plain(self)
        if self.updates():
            found.arg_params["fc2_weight"][:] = 3e38
        return found
    monkeypatch.setattr(Trainer, "model", model)
    assert fine_tune.main(command) == 1
    assert "the loss of the validation images is nan" in capsys.readouterr().err
    given = open(command[1] + "-0001.params", "rb").read()
    assert epochs(tmp_path) == {"out-best-0000.params": given}


def test_a_second_run_is_refused_at_its_start(command, tmp_path, capsys):
    child = start(replaced(command, num_epochs="1000"))
    try:
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "out-log.csv").exists() and child.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        for more in ([], ["--resume"], ["--force"]):
            assert fine_tune.main(command + more) == 2
            assert re.search(r"error: \S+out is being written by another process \(%d, fine_tune.py\): wait until"
                             % child.pid, capsys.readouterr().err)
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_a_full_disk(command, tmp_path, capfd):
    """The largest file that may be written is smaller than a checkpoint."""
    before, limit = snapshot(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limit[1]))
    try:
        assert fine_tune.main(command) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    err = capfd.readouterr().err
    assert "Traceback" not in err and len(re.findall("^error: .*cannot be written", err, re.M)) == 1
    assert snapshot(tmp_path) == before


def test_a_residual_network_without_a_hint_of_its_size(tmp_path, command, capsys):
    prefix = saved(random_model(residual_net(), data=(3, 12, 12)), tmp_path / "in" / "res")
    words = replaced(command, m=prefix, num_classes="5", num_epochs="1")
    place = words.index("--image-shape")
    del words[place:place + 2]
    assert fine_tune.main(words + ["--batch-size", "2", "--num-examples", "4"]) == 0
    assert re.search("are 14x13, which .* takes: its input is 3,14,13, where 3,224,224 would", capsys.readouterr().err)


def test_help():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and "--distill-weight" in done.stdout and done.stderr == ""

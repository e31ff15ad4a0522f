"""fine_tune.py --force: of the run before nothing is left, and no epoch beside the symbol of another network."""
import os
import re

import pytest
from fine_tune_runs import replaced, snapshot

from accnn import fine_tune
from accnn.core.compat import mx
from accnn.training import history
from accnn.training.checkpoints import CheckpointManager
from networks import chain_net, random_model, saved


def test_force_removes_the_epochs_of_a_longer_run(command, tmp_path):
    assert fine_tune.main(command) == 0
    assert fine_tune.main(replaced(command, data_val=None, num_epochs="1") + ["--force"]) == 0
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.startswith("out")) == [
        "out-0001.params", "out-log.csv", "out-resume.params", "out-symbol.json"]


class Killed(BaseException):
    """Nothing but a test catches it."""


def written(folder, name="out"):
    """Contents of what runs wrote, by the rest of the name; the log and the resume file hold times."""
    return {os.path.basename(path)[len(name):]: None if path.endswith(("-log.csv", "-resume.params")) else content
            for path, content in snapshot(folder).items() if os.path.basename(path).startswith(name + "-")}


@pytest.mark.parametrize("period, saves, old", [("1", 2, False), ("2", 2, True)])
def test_force_a_kill_and_resume_leave_nothing_of_the_run_before(command, tmp_path, monkeypatch, period, saves, old):
    """Epochs of a longer run of another network stay until there is one of the new, and never beside its symbol."""
    other = saved(random_model(chain_net(), 9, data=(3, 12, 12)), tmp_path / "in" / "other")
    assert fine_tune.main(replaced(command, m=other, num_epochs="5")) == 0
    before = written(tmp_path)
    command = replaced(command, save_period=period)
    from accnn.training import checkpoints
    real, made = checkpoints.save_model, []

    def dying(*arguments, **more):
        real(*arguments, **more)
        made.append(arguments)
        if len(made) == saves:
            raise Killed

    monkeypatch.setattr(checkpoints, "save_model", dying)
    with pytest.raises(Killed):
        fine_tune.main(command + ["--force"])
    monkeypatch.setattr(checkpoints, "save_model", real)
    left = written(tmp_path)
    assert ("-0005.params" in left) == old and (left["-symbol.json"] == before["-symbol.json"]) == old
    assert fine_tune.main(command + ["--resume"]) == 0
    whole = tmp_path / "whole"
    whole.mkdir()
    assert fine_tune.main(replaced(command, model_prefix=str(whole / "out"))) == 0
    assert written(tmp_path) == written(whole)


@pytest.mark.parametrize("moment", ["keep_best", "csv_text"])
def test_epochs_of_a_longer_run_never_stand_beside_another_networks_symbol(command, tmp_path, monkeypatch, moment):
    """Stopped before or behind the first epoch of the new run."""
    def interrupted(*_):
        raise KeyboardInterrupt

    symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="only"),
                                  name="softmax")
    other = saved(random_model(symbol, data=(3, 12, 12)), tmp_path / "in" / "other")
    assert fine_tune.main(replaced(command, m=other)) == 0
    with monkeypatch.context() as patched:
        patched.setattr(CheckpointManager if moment == "keep_best" else history, moment, interrupted)
        assert fine_tune.main(replaced(command, num_epochs="2") + ["--force"]) == 130
    names = {name for name in os.listdir(str(tmp_path)) if re.match(r"out-\d{4}", name)}
    assert names == ({"out-0001.params"} if moment == "csv_text" else {"out-000%d.params" % n for n in (1, 2, 3)})
    assert fine_tune.main(replaced(command, num_epochs="2") + ["--resume"]) == 0
    names = {name for name in os.listdir(str(tmp_path)) if re.match(r"out-\d{4}", name)}
    assert names == {"out-0001.params", "out-0002.params"}
    assert all("only" not in key for name in names for key in mx.nd.load(str(tmp_path / name)))

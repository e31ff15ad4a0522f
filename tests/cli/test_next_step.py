"""What scripts print last is a command, complete, that works in the same shell and folder."""
import os
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from accnn import accnn, benchmark, quantize, score
from accnn.cli import next_step
from networks import chain_model, saved
from pictures import items, packed

TIMED = {"environment": {"isa": ""}, "theoretical": {"ratio": None}, "runs": [{
    "threads": 1, "batch_size": 1, "baseline": {"median_ms": 2.0}, "model": {"median_ms": 1.0},
    "measured": {"median": 2.0, "quartiles": [2.0, 2.0]}}]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose name has a blank, to work in, with a checkpoint and images in it."""
    made = tmp_path / "my nets"
    made.mkdir()
    saved(chain_model(widths=(16, 32, 32)), made / "net")
    monkeypatch.chdir(made)
    return made


def printed(script, words, capsys):
    """list of str: the words of the command that a script prints last."""
    assert script.main(words) == 0, capsys.readouterr().err
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("next, ") and lines[-1].startswith("  ")
    return shlex.split(lines[-1])


def run(words):
    """Run a command as a shell would that finds this Python first."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(shlex.join(words), shell=True, env=dict(environment, PATH=path), capture_output=True,
                          text=True, timeout=120)


def test_the_command_after_accnn_works(folder, capsys):
    os.makedirs("out put")
    words = printed(accnn, ["-m", "net", "--dry-run", "--no-timing", "--save-model", "out put/new"], capsys)
    assert os.path.basename(words[1]) == "accnn.py" and words[2:] == [
        "-m", "net", "--no-timing", "--save-model", "out put/new"]
    done = run(words)
    assert done.returncode == 0 and os.path.exists("out put/new-0001.params"), done.stderr
    words = shlex.split(done.stdout.splitlines()[-1])
    assert os.path.basename(words[1]) == "benchmark.py"
    done = run(words + ["--repeats", "1", "--warm-up", "0"])
    assert done.returncode == 0 and "measured" in done.stdout, done.stderr


def understood(words):
    """Namespace: what the script of a command makes of it."""
    name = os.path.splitext(os.path.basename(words[1]))[0]
    module = __import__("accnn." + name, fromlist=["parser"])
    return name, module.script.parser().parse_args(words[2:])


def test_with_images_it_is_to_be_made_int8(folder, capsys, monkeypatch):
    monkeypatch.setattr("accnn.cli.verify.timed", lambda *_, **__: TIMED)
    packed(folder / "train", items(40))
    images = ["--data-calib", "train.rec", "--rgb-mean=-5,1.5,100", "--calib-images", "30", "--batch-size", "8"]
    name, args = understood(printed(accnn, ["-m", "net", "--save-model", "new"] + images, capsys))
    assert name == "quantize" and (args.model, args.original, args.data_calib) == ("new", "net", "train.rec")
    assert args.rgb_mean == (-5, 1.5, 100) and args.calib_images == 30 and args.rgb_std == (1,)
    words = ["-m", "new", "--original", "net", "--save-model", "q", "--no-timing"]
    name, args = understood(printed(quantize, words + images, capsys))
    assert name == "score" and args.fidelity and (args.model, args.baseline, args.data_val) == ("q", "net", "train.rec")
    name, args = understood(printed(score, ["-m", "new", "--baseline", "net", "--data-val", "train.rec"], capsys))
    assert name == "benchmark" and (args.model, args.baseline) == ("new", "net")
    name, args = understood(printed(benchmark, ["-m", "new", "--baseline", "net", "--repeats", "1"], capsys))
    assert name in ("report", "benchmark") and (args.model, args.baseline) == ("new", "net")
    name, args = understood(printed(benchmark, ["-m", "net", "--repeats", "1", "--input-shape", "3,12,12"], capsys))
    assert name == "accnn" and args.cost == "latency" and args.save_model == "net-2x"
    assert args.input_shape == [(None, (3, 12, 12))]


def planned(args, plan=None, **result):
    """(str, str): purpose and words of what follows a plan."""
    defaults = {"model": "p", "save_model": "n", "load_epoch": None, "data_calib": None, "threads": 2, "batch_size": 8,
                "input_shape": [], "json": False, "words": []}
    return next_step.after_planning(SimpleNamespace(**dict(defaults, **args)),
                                    plan or SimpleNamespace(precision="fp32"),
                                    dict({"written": {"params": "x"}, "measured": {}}, **result))


def test_with_an_engine_both_are_timed():
    _, script, words = planned({"engine": "onnxruntime", "load_epoch": 7})
    assert script == "benchmark"
    assert list(map(str, words)) == ["-m", "n", "--baseline", "p", "--baseline-epoch", "7", "--engine",
                                     "mxnet,onnxruntime", "--threads", "2", "--batch-size", "8"]


def test_without_an_original_there_is_nothing_to_compare():
    assert planned({"save_model": "p"}) is None


def test_unlabelled_images_calibrate_what_learned_from_them():
    args = SimpleNamespace(model_prefix="t", teacher="p", data_val=None, data_train=None, data_unlabelled="u.rec",
                           data_unlabelled_idx="u.idx", rgb_mean=(0,), rgb_std=(1,), resize=None, input_shape=[])
    _, script, words = next_step.after_training(args, None, 3)
    assert script == "quantize" and list(map(str, words)) == [
        "-m", "t", "--load-epoch", "3", "--data-calib", "u.rec", "--data-calib-idx", "u.idx", "--save-model", "t-int8"]


def test_installed_commands_lead_to_installed_commands(monkeypatch, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "accnn-score").write_text("")
    os.chmod(folder / "accnn-score", 0o755)
    monkeypatch.setattr(sys, "argv", [str(folder / "accnn")])
    assert next_step.command("score", ["a b"]) == "%s 'a b'" % (folder / "accnn-score")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    assert next_step.command("score", ["-m", 1]) == "accnn-score -m 1"
    monkeypatch.setattr(sys, "argv", ["accnn.py"])
    assert shutil.which("accnn-score") and next_step.command("score", []).endswith("/score.py")

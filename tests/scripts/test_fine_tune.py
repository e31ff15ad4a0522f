"""fine_tune.py as people run it: kills, divergence, figures that agree, and one sentence for everything wrong."""
import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from accnn import fine_tune, score
from accnn.core.compat import mx
from accnn.training import history
from accnn.training.checkpoints import CheckpointManager
from networks import chain_net, random_model, residual_net, saved
from pictures import drawn, items, packed
from processes import Forked, interruptible, stop

PATIENCE = 120  # seconds, on a busy machine
SCRIPT = fine_tune.__file__


def dropping_model(classes=5):
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=16, name="fc1")
    x = mx.sym.Dropout(mx.sym.Activation(x, act_type="relu"), p=0.5)
    x = mx.sym.FullyConnected(x, num_hidden=classes, name="fc2")
    return random_model(mx.sym.SoftmaxOutput(x, name="softmax"), data=(3, 12, 12))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder of what a run that works reads; tests take a copy."""
    folder = tmp_path_factory.mktemp("inputs")
    saved(dropping_model(), folder / "net")
    packed(folder / "train", items(43))
    packed(folder / "val", items(17))
    return folder


@pytest.fixture
def net(inputs, tmp_path):
    shutil.copytree(str(inputs), str(tmp_path / "in"))
    return str(tmp_path / "in" / "net")


@pytest.fixture
def command(net, tmp_path):
    """Options of a run that works."""
    folder = str(tmp_path / "in")
    return ["-m", net, "--data-train", folder + "/train.rec", "--batch-size", "8",
            "--image-shape", "3,12,12", "--rgb-mean", "128", "--rgb-std", "64", "--lr", "0.01", "--num-epochs", "3",
            "--data-val", folder + "/val.rec", "--model-prefix", str(tmp_path / "out")]


def replaced(command, **options):
    """The command with other values: model_prefix='x' stands for --model-prefix x, None leaves the option out."""
    command = list(command)
    for name, value in options.items():
        name = "-m" if name == "m" else "--" + name.replace("_", "-")
        if name in command:
            place = command.index(name)
            command[place:place + 2] = [name, value] if value is not None else []
        else:
            command += [name, value]
    return command


def snapshot(folder):
    """Contents of all files below a folder."""
    return {os.path.join(root, name): open(os.path.join(root, name), "rb").read()
            for root, _, names in os.walk(str(folder)) for name in names}


def epochs(folder):
    """Bytes of all checkpoints of epochs, and of the best one, by name."""
    return {os.path.basename(path): content for path, content in snapshot(folder).items()
            if re.search(r"out(-best)?-\d{4}\.params$", path)}


def start(command, *more, **how):
    return subprocess.Popen([sys.executable, SCRIPT] + command + list(more), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=interruptible, **how)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_by_a_signal_at_random_moments(command, tmp_path, number):
    """After every kill each file is whole; resumed to the end, all bytes are those of a run that was left alone."""
    draw = random.Random(int(number))
    kept = tmp_path / "out-resume.params"
    more = ["--save-every", "0", "--num-epochs", "6", "--optimizer", "adam"]
    for _ in range(3):
        child = Forked(fine_tune.main, command + ["--resume"] + more, log=tmp_path / "said")
        try:
            before = os.stat(kept).st_ino if kept.exists() else None
            end = time.monotonic() + PATIENCE
            while child.poll() is None and time.monotonic() < end and (
                    not kept.exists() or os.stat(kept).st_ino == before):
                time.sleep(0.002)
            time.sleep(draw.uniform(0.0, 0.05))
            if number == signal.SIGKILL:
                child.kill()
            elif child.poll() is None:
                stop(child, number)
            said = child.said(PATIENCE)
        finally:
            child.kill()
        # An interrupt inside the making of an NDArray lets Python speak of its __del__.
        assert "Traceback" not in re.sub(r"Exception ignored in.*\n(Traceback.*\n( .*\n)*\S.*\n)?", "", said)
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


# What a run with other options changes nothing of, and says in one sentence.
CASES = [
    (dict(m="IN/nothing"), "nothing-symbol.json does not exist"),
    (dict(load_epoch="7"), "net-0007.params does not exist"),
    (dict(data_train="IN/no.rec"), "no.rec"), (dict(data_val="IN/no.rec"), "no.rec"),
    (dict(data_train="IN/empty.rec"), "empty"), (dict(data_train="IN/short.rec"), "short.rec is damaged at byte"),
    (dict(data_train="IN/net-0001.params"), "no RecordIO file"), (dict(data_train="IN"), "no regular file"),
    (dict(data_train_idx="IN/val.idx"), "val.idx does not match"),
    (dict(data_val_idx="IN/train.idx"), "does not match"),
    (dict(data_train="IN/text.rec"), "record 5 of .*text.rec is no image"),
    (dict(data_val="IN/text.rec"), "record 5 of .*text.rec is no image"),
    (dict(data_train="IN/seven.rec"), "record 5 .* has the label 5, but .* 0 to 4"),
    (dict(data_val="IN/seven.rec"), "record 5 .* has the label 5"),
    (dict(data_train="IN/halves.rec"), "label 0.5"), (dict(data_train="IN/nan.rec"), "label nan"),
    (dict(data_train="IN/several.rec"), "has 2 labels"), (dict(num_classes="3"), "record 3 .*label 3"),
    (dict(image_shape="3,20,20"), "fc1_weight"), (dict(image_shape="12,12"), "no image"),
    (dict(image_shape="4,12,12"), "fc1_weight"), (dict(image_shape="other:3,12,12"), "no input 'other'"),
    (dict(rgb_mean="1,2"), "--rgb-mean has 2 values"), (dict(rgb_std="1,2,3,4"), "--rgb-std has 4 values"),
    (dict(rgb_std="0"), "--rgb-std must be above 0"), (dict(rgb_mean="nan"), "--rgb-mean"),
    (dict(model_prefix="OUT/missing/out"), "no folder"), (dict(model_prefix="IN"), "names a folder"),
    (dict(model_prefix="/proc/out"), "/proc"), (dict(model_prefix="OUT/" + "x" * 250), "cannot be written"),
    (dict(model_prefix="OUT/\udcff"), "UTF-8"), (dict(model_prefix=""), "--model-prefix"),
    (dict(model_prefix="IN/net"), "would overwrite --pretrained-model"),
    (dict(model_prefix="IN/net", force=""), "would overwrite --pretrained-model"),
    (dict(model_prefix="IN/../in/net"), "would overwrite"), (dict(model_prefix="IN/link"), "would overwrite"),
    (dict(teacher="IN/net", model_prefix="IN/net", m="IN/three"), "would overwrite --teacher"),
    (dict(teacher="IN/three"), "teacher .*knows 3 classes and .* has 5"), (dict(teacher="IN/no"), "does not exist"),
    (dict(teacher="IN/large"), "teacher|fc1_weight"), (dict(teacher="IN/net", num_classes="5"), "choose one"),
    (dict(teacher="IN/net", distill_weight="1.5"), "--distill-weight"), (dict(teacher_epoch="1"), "--teacher"),
    (dict(teacher="IN/net", teacher_epoch="4"), "does not exist"), (dict(teacher="IN/net", temperature="0"), "--temp"),
    (dict(freeze="conv"), "--freeze conv matches no layer"), (dict(freeze="*"), "leaves nothing"),
    (dict(freeze="drop*"), "matches no layer"), (dict(output="fc9"), "no output 'fc9'"),
    (dict(m="IN/half"), "float32"), (dict(m="IN/twins"), "inputs"),
    (dict(m="IN/detector"), "scores no classes|outputs"), (dict(m="IN/regression"), "LinearRegressionOutput"),
    (dict(batch_size="44"), "43 images, fewer than a batch of 44"), (dict(batch_size="0"), "--batch-size"),
    (dict(batch_size="-1"), "--batch-size"), (dict(batch_size="1000000000000"), "fewer"),
    (dict(num_epochs="0"), "--num-epochs"), (dict(num_epochs="10000"), "--num-epochs"),
    (dict(num_examples="0"), "--num-examples"), (dict(lr="0"), "--lr"), (dict(lr="nan"), "--lr"),
    (dict(lr="x"), "--lr"),
    (dict(lr="inf"), "--lr"), (dict(lr_factor="0"), "--lr-factor"), (dict(lr_step_epochs="3,2"), "--lr-step-epochs"),
    (dict(lr_step_epochs="2", lr_schedule="cosine"), "belongs to"), (dict(lr_schedule="step"), "needs"),
    (dict(lr_schedule="magic"), "choose from"), (dict(warmup_epochs="3"), "--warmup-epochs"),
    (dict(warmup_epochs="-1"), "--warmup-epochs"), (dict(mom="1"), "--mom"), (dict(wd="-1"), "--wd"),
    (dict(wd="nan"), "--wd"), (dict(dropout="1"), "--dropout"), (dict(dropout="nan"), "--dropout"),
    (dict(optimizer="lbfgs"), "choose from"), (dict(seed="-1"), "--seed"), (dict(seed="4294967296"), "--seed"),
    (dict(save_period="0"), "--save-period"), (dict(save_every="nan"), "--save-every"),
    (dict(save_every="-1"), "--save-every"), (dict(num_classes="1"), "--num-classes"),
    (dict(num_classes="100000000000"), "--num-classes"), (dict(pad_size="-1"), "--pad-size"),
    (dict(pad_size="1000000000"), "--pad-size"), (dict(fill_value="256"), "--fill-value"),
    (dict(max_random_h="181"), "--max-random-h"), (dict(max_random_rotate_angle="361"), "--max-random-rotate"),
    (dict(random_crop="2"), "--random-crop"), (dict(min_random_area="0"), "--min-random-area"),
    (dict(random_resized_crop="1", min_random_area="0.9", max_random_area="0.5"), "in order"),
    (dict(random_resized_crop="1", max_random_aspect_ratio="1"), "aspect"), (dict(gpus="99"), "--gpus"),
    (dict(resume="", force=""), "choose one"), (dict(kv_store="dist_sync"), "needs a launcher"),
    (dict(kv_store="dist_async"), "choose from"), (dict(worker_timeout="0"), "--worker-timeout"),
    (dict(worker_timeout="nan"), "--worker-timeout"), (dict(data_nthreads="0"), "--data-nthreads"),
]


@pytest.fixture(scope="module")
def odd_files(inputs, tmp_path_factory):
    """Folder of everything that CASES name, and of the inputs of `command`; tests take a copy."""
    folder = tmp_path_factory.mktemp("odd") / "in"
    shutil.copytree(str(inputs), str(folder))
    rec = open(packed(folder / "whole", items(43)), "rb").read()
    (folder / "empty.rec").write_bytes(b"")
    (folder / "short.rec").write_bytes(rec[:-7])
    for name, labels in (("seven", range(7)), ("halves", [0.5]), ("nan", [float("nan")]), ("several", [[1.0, 2.0]])):
        labels = list(labels)
        packed(folder / name, [(labels[i % len(labels)], drawn(seed=i)) for i in range(43)])
    packed(folder / "text", [(float(i % 5), drawn(seed=i) if i != 5 else b"no picture at all") for i in range(43)])
    for end in ("-symbol.json", "-0001.params"):
        os.symlink("net" + end, str(folder / "link") + end)
    saved(dropping_model(3), folder / "three")
    saved(random_model(chain_net(), data=(3, 20, 20)), folder / "large")
    saved(random_model(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="fc1"),
                                            name="softmax"), dtype="float16", data=(3, 12, 12)), folder / "half")
    both = mx.sym.Flatten(mx.sym.Variable("data")) + mx.sym.Flatten(mx.sym.Variable("more"))
    saved(random_model(mx.sym.FullyConnected(both, num_hidden=5, name="fc1"), data=(3, 12, 12), more=(3, 12, 12)),
          folder / "twins")
    saved(random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=5, name="fc1"),
                       data=(3, 12, 12)), folder / "detector")
    saved(random_model(mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(
        mx.sym.Variable("data"), num_hidden=5, name="fc1"), name="out"), data=(3, 12, 12)), folder / "regression")
    return folder


def refused(command, folder, capsys, says, code=2):
    before = snapshot(folder)
    assert fine_tune.main([word for word in command if word != ""]) == code
    err = capsys.readouterr().err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and "Traceback" not in err, err
    assert re.search(says, sentences[0]), sentences[0]
    return before


def told(value):
    return "-".join("%s=%.20s" % item for item in value.items()) if isinstance(value, dict) else ""


@pytest.mark.parametrize("options, says", CASES, ids=lambda value: ascii(told(value)).strip("'"))
def test_bad_input(command, odd_files, tmp_path, capsys, options, says):
    shutil.copytree(str(odd_files), str(tmp_path / "in"), symlinks=True, dirs_exist_ok=True)
    here = {key: value.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path))
            for key, value in options.items()}
    words = replaced(command, **here)
    if options.get("model_prefix") == "":
        words[words.index("--model-prefix") + 1] = str(tmp_path) + "/"
    before = refused(words, tmp_path, capsys, says)
    assert snapshot(tmp_path) == before


def test_a_run_that_is_there(command, tmp_path, capsys):
    assert fine_tune.main(command) == 0
    whole = epochs(tmp_path)
    capsys.readouterr()
    before = refused(command, tmp_path, capsys, "is there already: say --resume to go on")
    assert snapshot(tmp_path) == before
    for more, says in ((["--lr", "0.02"], "begun with --lr 0.01, not 0.02"), (["--mom", "0.5"], "--mom"),
                       (["--batch-size", "16"], "--batch-size 8, not 16"), (["--seed", "3"], "--seed"),
                       (["--optimizer", "adam"], "--optimizer sgd, not adam"), (["--freeze", "fc1"], "--freeze"),
                       (["--data-train", command[command.index("--data-val") + 1]], "--data-train of 43 records"),
                       (["--random-mirror", "0"], "options of augmentation {"), (["--num-classes", "6"], "fc2_"),
                       (["--teacher", command[1]], "--teacher"), (["--resize", "14"], "--resize")):
        refused(command + ["--resume"] + more, tmp_path, capsys, says)
        assert snapshot(tmp_path) == before
    assert fine_tune.main(command + ["--force"]) == 0
    assert epochs(tmp_path) == whole and "replacing" in capsys.readouterr().err


def test_resume_with_another_network(command, tmp_path, capsys):
    assert fine_tune.main(command) == 0
    capsys.readouterr()
    for symbol, says in ((chain_net(), "belongs to another network"),
                         (dropping_model().symbol, "--pretrained-model of fingerprint")):
        other = saved(random_model(symbol, 9, data=(3, 12, 12)), tmp_path / "in" / "other")
        before = refused(replaced(command, m=other) + ["--resume"], tmp_path, capsys, says)
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "checkpoint", "no state", "no note", "odd note", "folder"])
def test_a_damaged_resume_file(command, tmp_path, capsys, damage):
    assert fine_tune.main(command) == 0
    capsys.readouterr()
    path = str(tmp_path / "out-resume.params")
    content, arrays = open(path, "rb").read(), mx.nd.load(path)
    os.unlink(path)
    note = json.loads(arrays["note"].asnumpy().tobytes().decode())
    if damage in ("cut", "empty", "text"):
        open(path, "wb").write({"cut": content[:-100], "empty": b"", "text": b"hello"}[damage])
    elif damage == "folder":
        os.mkdir(path)
    else:
        if damage == "checkpoint":
            arrays = {key: array for key, array in arrays.items() if key[:4] in ("arg:", "aux:")}
        elif damage == "no state":
            arrays = {key: array for key, array in arrays.items() if not key.startswith("state:fc2")}
        else:
            text = json.dumps([1] if damage == "no note" else dict(note, entries=[{"epoch": 1, "colour": "red"}]))
            arrays["note"] = mx.nd.array(np.frombuffer(text.encode(), np.uint8), dtype="uint8")
        mx.nd.save(path, arrays)
    before = refused(command + ["--resume"], tmp_path, capsys, "out-resume.params")
    assert snapshot(tmp_path) == before


def test_files_that_no_run_wrote_are_not_taken_for_one(command, tmp_path, capsys):
    for name in ("out-log.csv", "out-0007.params", "out-best-symbol.json"):
        (tmp_path / name).write_text("mine")
        for more in ([], ["--resume"]):
            before = refused(command + more, tmp_path, capsys, name + " is there")
            assert snapshot(tmp_path) == before
        (tmp_path / name).unlink()
    (tmp_path / "out-log.csv").mkdir()
    for more in ([], ["--resume"], ["--force"]):
        refused(command + more, tmp_path, capsys, "is a folder")


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

"""A run that was cut anywhere and resumed writes the bytes of a run that was not."""
import csv
import glob
import os

import pytest

from accnn import fine_tune
from accnn.cli.training_options import OPTIMIZERS
from accnn.core.compat import mx
from accnn.data.stream import TrainingStream
from accnn.training import resume
from networks import random_model, residual_net, saved
from pictures import items, packed
from trainers import deep_model

EPOCHS, STEPS = 3, 5
TESTED = 100  # steps of the test that finds a rate


def dropping_net():
    """Convolution, BatchNorm, dropout, two fully connected layers."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, name="conv")
    x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, name="bn"), act_type="relu")
    x = mx.sym.FullyConnected(mx.sym.Dropout(x, p=0.4), num_hidden=8, name="fc1")
    x = mx.sym.FullyConnected(mx.sym.Dropout(x, p=0.4), num_hidden=5, name="fc2")
    return mx.sym.SoftmaxOutput(x, name="softmax")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Prefix of a network, and pictures to train and to validate on."""
    folder = tmp_path_factory.mktemp("inputs")
    return (saved(random_model(dropping_net(), data=(3, 12, 12)), folder / "net"),
            packed(folder / "train", items(43)), packed(folder / "val", items(17)))


@pytest.fixture
def run(inputs, tmp_path):
    """Run fine_tune.py to a prefix; return the exit code."""
    def made(name, *more, code=0):
        net, train, val = inputs
        assert fine_tune.main(["-m", net, "--data-train", train, "--data-val", val, "--batch-size", "8", "--lr", "0.01",
                               "--rgb-mean", "128", "--rgb-std", "64", "--num-epochs", str(EPOCHS), "--model-prefix",
                               str(tmp_path / name)] + list(more)) == code
        return str(tmp_path / name)
    return made


@pytest.fixture
def cut(monkeypatch):
    """Let a run be interrupted before one of its steps, counted over all epochs."""
    plain = TrainingStream.epoch

    def after(steps):
        made = [0]

        def epoch(self, *place, **how):
            for batch in plain(self, *place, **how):
                if made[0] == steps:
                    raise KeyboardInterrupt
                made[0] += 1
                yield batch
        monkeypatch.setattr(TrainingStream, "epoch", epoch)
    return after


def written(prefix):
    """What a run left, by the end of its name; times are not the same twice."""
    found = {}
    for path in glob.glob(prefix + "-*"):
        with open(path, "rb") as handle:
            found[path[len(prefix):]] = handle.read()
    del found["-resume.params"]
    with open(prefix + "-log.csv") as handle:
        found["-log.csv"] = [{key: text for key, text in row.items() if key not in ("images_per_second", "seconds")}
                             for row in csv.DictReader(handle)]
    return found


def remembered(prefix):
    """Everything in the resume file but times."""
    arrays, note = resume.load(prefix)
    for entry in note["entries"]:
        del entry["images_per_second"], entry["seconds"]
    return note, {kind: {name: array.asnumpy().tobytes() for name, array in some.items()}
                  for kind, some in arrays.items()}


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_every_optimizer_cut_inside_an_epoch(run, cut, capsys, rule):
    whole = run("whole", "--optimizer", rule)
    cut(STEPS + 3)
    parts = run("parts", "--optimizer", rule, "--save-every", "0", code=130)
    assert len(glob.glob(parts + "-0*.params")) == 1
    cut(1000)
    run("parts", "--optimizer", rule, "--resume")
    assert written(parts) == written(whole) and remembered(parts) == remembered(whole)
    assert {"-%04d.params" % epoch for epoch in (1, 2, 3)} <= set(written(whole))


@pytest.mark.parametrize("often", ["0", "600"])
def test_cut_anywhere(run, cut, often):
    options = ["--lr-schedule", "cosine", "--warmup-epochs", "0.8", "--save-period", "2", "--save-every", often]
    whole = run("whole", *options)
    for steps in 0, 2, 5, 9, 14:
        check_cut_after(steps, "parts%d" % steps, run, cut, options, whole)


def check_cut_after(steps, name, run, cut, options, whole):
    cut(steps)
    parts = run(name, *options, code=130)
    cut(1000)
    run(name, *options, "--resume")
    assert written(parts) == written(whole) and remembered(parts) == remembered(whole), steps
    assert {end for end in written(parts) if end.startswith("-0")} == {"-0002.params", "-0003.params"}


def test_cut_after_every_step(run, cut):
    whole = run("whole")
    for _ in range(EPOCHS * STEPS - 1):
        cut(1)
        parts = run("parts", "--save-every", "0", "--resume", code=130)
    cut(1000)
    run("parts", "--resume")
    assert written(parts) == written(whole) and remembered(parts) == remembered(whole)


def test_a_deep_network(run, cut, tmp_path):
    """Its statistics are still being written when the answer to the last batch is there."""
    net = saved(deep_model(shape=(3, 40, 40)), tmp_path / "deep")
    options = ["-m", net, "--image-shape", "3,40,40", "--num-epochs", "2", "--save-every", "0"]
    whole = run("whole", *options, "--save-every", "600")
    for steps in (3, STEPS):
        cut(steps)
        parts = run("parts", *options, "--resume", code=130)
    cut(1000)
    run("parts", *options, "--resume")
    assert written(parts) == written(whole) and remembered(parts) == remembered(whole)


def test_a_teacher_and_frozen_layers_and_new_classes(run, cut, inputs):
    for options in (["--teacher", inputs[0], "--freeze", "conv*", "--freeze", "bn"],
                    ["--num-classes", "7", "--random-resized-crop", "1", "--min-random-area", "0.5"]):
        whole = run("whole", *options, "--force")
        cut(8)
        parts = run("parts", *options, "--save-every", "0", "--force", code=130)
        cut(1000)
        run("parts", *options, "--resume")
        assert written(parts) == written(whole)


@pytest.mark.parametrize("images", ["--data-train", "--data-unlabelled", "both"])
def test_matching_a_teacher_with_an_average_and_a_rate_that_is_found(run, cut, inputs, images):
    net, train, val = inputs
    options = ["--teacher", net, "--mixup", "1", "--average", "0.7", "--lr", "auto", "--lr-schedule", "cosine"]
    options += {"--data-train": [], "both": ["--data-unlabelled", val], "--data-unlabelled": [
        "--data-train", "", "--data-unlabelled", train]}[images]
    whole = run("whole", *options)
    for steps in (4, 8):
        cut(steps + TESTED)
        parts = run("parts%d" % steps, *options, "--save-every", "0", code=130)
        cut(1000)
        run("parts%d" % steps, *options, "--resume")
        assert written(parts) == written(whole) and remembered(parts) == remembered(whole)


def test_more_epochs_later(run):
    whole = run("whole", "--num-epochs", "4")
    parts = run("parts", "--num-epochs", "2")
    run("parts", "--num-epochs", "4", "--resume")
    assert written(parts) == written(whole)


def test_a_finished_run_resumed_changes_nothing(run, capsys):
    whole = run("whole")
    before = written(whole)
    run("whole", "--resume")
    assert written(whole) == before
    assert "%s-0003.params" % whole in capsys.readouterr().out


def test_without_validation(run, cut, inputs, tmp_path):
    command = ["-m", inputs[0], "--data-train", inputs[1], "--batch-size", "8", "--rgb-std", "64", "--num-epochs", "2"]
    assert fine_tune.main(command + ["--model-prefix", str(tmp_path / "whole")]) == 0
    parts = command + ["--model-prefix", str(tmp_path / "parts"), "--save-every", "0"]
    cut(2)
    assert fine_tune.main(parts) == 130
    cut(1000)
    assert fine_tune.main(parts + ["--resume"]) == 0
    assert written(str(tmp_path / "parts")) == written(str(tmp_path / "whole"))
    assert not os.path.exists(str(tmp_path / "parts-best-0000.params"))


def test_another_seed_is_another_run(run):
    first, other = written(run("first")), written(run("other", "--seed", "1"))
    assert first["-0001.params"] != other["-0001.params"]


def test_batch_norm_statistics_held(run, tmp_path, inputs):
    """A residual network trains too, and what is frozen stays in the file."""
    net = saved(random_model(residual_net(), data=(3, 12, 12)), tmp_path / "res")
    assert fine_tune.main(["-m", net, "--image-shape", "3,12,12", "--data-train", inputs[1], "--batch-size", "8",
                           "--model-prefix", str(tmp_path / "out"), "--num-classes", "5", "--freeze", "unit*",
                           "--num-epochs", "1", "--rgb-std", "64", "--lr", "0.01"]) == 0
    before, after = mx.nd.load(net + "-0001.params"), mx.nd.load(str(tmp_path / "out-0001.params"))
    equal = {name for name in before if before[name].asnumpy().tobytes() == after[name].asnumpy().tobytes()}
    assert equal == {name for name in before if "unit" in name}

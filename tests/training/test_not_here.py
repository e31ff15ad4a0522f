"""What MXNet cannot compute in training, said in one sentence before anything is written."""
import os

import pytest

from accnn import fine_tune, two_pass
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.training.trainer import Trainer
from networks import chain_model, random_model, saved
from pictures import items, packed
from trainers import arrays, deep_model, same, small_model, train, trainer

SHAPE = (3, 12, 12)


def network(kind):
    """A convolution that MXNet computes nowhere on a processor, and no shape tells: it says so when it runs."""
    x = mx.sym.Variable("data")
    if kind == "channels last":
        x = mx.sym.Convolution(mx.sym.transpose(x, axes=(0, 2, 3, 1)), kernel=(3, 3), num_filter=8, layout="NHWC",
                               name="conv")
    else:
        x = mx.sym.Convolution(mx.sym.Cast(x, dtype="float16"), kernel=(3, 3), num_filter=8, name="conv")
        x = mx.sym.Cast(x, dtype="float32")
    return random_model(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=5, name="fc"), name="softmax"),
                        data=SHAPE)


@pytest.fixture
def command(tmp_path):
    """Options of fine_tune.py or two_pass.py for a network; the result goes to a folder of its own."""
    (tmp_path / "out").mkdir()

    def made(model, option, *more):
        return ["-m", saved(model, tmp_path / "net"), "--image-shape", "3,12,12", "--batch-size", "8", "--lr", "0.01",
                "--data-train", packed(tmp_path / "train", items(43)), "--data-val", packed(tmp_path / "val", items(9)),
                option, str(tmp_path / "out" / "net")] + list(more)
    return made


def refused(run, command, capsys, tmp_path):
    """The one sentence of a run that leaves nothing behind."""
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and "Traceback" not in said
    assert os.listdir(str(tmp_path / "out")) == []
    return said


@pytest.mark.parametrize("kind", ["channels last", "half precision"])
def test_fine_tuning(command, capsys, tmp_path, kind):
    said = refused(fine_tune.main, command(network(kind), "--model-prefix"), capsys, tmp_path)
    assert "the training of %s cannot be computed here" % (tmp_path / "net") in said


def test_two_passes(command, capsys, tmp_path):
    more = ["--ratio", "1", "--fixed", "conv=2"]
    said = refused(two_pass.main, command(network("half precision"), "--save-model", *more), capsys, tmp_path)
    assert "FP16" in said


@pytest.mark.parametrize("run, option, more", [(fine_tune.main, "--model-prefix", []),
                                               (two_pass.main, "--save-model", ["--ratio", "1.5"])])
def test_what_only_an_update_finds_out(command, capsys, monkeypatch, run, option, more):
    plain = Trainer.step

    def step(self, images, labels, epoch, number):
        if number == 2:
            raise mx.base.MXNetError("MXNetError: no such update here\nStack trace:\n  [bt] (0) nowhere")
        return plain(self, images, labels, epoch, number)
    monkeypatch.setattr(Trainer, "step", step)
    assert run(command(chain_model(), option, *more)) == 2
    said = capsys.readouterr().err
    assert "cannot be computed here: MXNetError: no such update here" in said and "Traceback" not in said


@pytest.mark.parametrize("model, shape", [(small_model(dropout=0.5), (3, 6, 5)), (deep_model(3, SHAPE), SHAPE)])
def test_a_rehearsal_changes_nothing(model, shape):
    plain, rehearsed = trainer(model, shape), trainer(model, shape)
    rehearsed.rehearse()
    assert same(rehearsed.model(), model) == set(arrays(model)) and rehearsed.updates() == 0
    for made in (plain, rehearsed):
        train(made, 3, shape=shape)
    assert same(plain.model(), rehearsed.model()) == set(arrays(model))


def test_a_rehearsal_says_what_cannot_be_computed():
    made = trainer(network("channels last"), SHAPE)
    with pytest.raises(AccnnError, match="the training of the model cannot be computed here"):
        made.rehearse()

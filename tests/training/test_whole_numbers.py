"""Parameters that are whole numbers, or that nothing reads, come out of training as they went in."""
import numpy as np
import pytest

from accnn import fine_tune, two_pass
from accnn.cli.training_session import check_precision
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.training.frozen import frozen_parameters
from networks import chain_net, random_model, saved
from pictures import items, packed

SHAPE, BIG = (3, 12, 12), 70000000001  # more than float32 counts exactly


VALUES = {"index": ("int32", [4, 2, 3, 0, 1]), "cast": ("int64", [1, 2, 3, 2, 1]), "factor": ("int64", [1, 2, 3, 2, 1]),
          "unread": ("int64", [BIG]), "unread half": ("float16", [0.1])}


def model_with(kind):
    """A network and one parameter more: read as an index, cast, multiplied with as it is, or not read."""
    scores, more = chain_net().get_internals()["fc2_output"], mx.sym.Variable("more", shape=(5,))
    if kind == "index":
        scores = mx.sym.take(scores, mx.sym.Variable("more", shape=(5,), dtype="int32"), axis=1)
    elif kind == "cast":
        scores = mx.sym.broadcast_mul(scores, mx.sym.Cast(mx.sym.Variable("more", shape=(1, 5), dtype="int64"),
                                                          dtype="float32"))
    elif kind == "factor":
        scores = mx.sym.broadcast_mul(scores, mx.sym.expand_dims(more, axis=0))
    model = random_model(mx.sym.SoftmaxOutput(scores, name="softmax"), data=SHAPE)
    dtype, values = VALUES[kind]
    model.arg_params["more"] = mx.nd.array([values] if kind == "cast" else values, dtype=dtype)
    model.aux_params["seen"] = mx.nd.array([BIG], dtype="int64")
    return model


@pytest.fixture
def command(tmp_path):
    return ["--rgb-mean", "128", "--rgb-std", "64", "--batch-size", "8", "--lr", "0.003", "--data-train",
            packed(tmp_path / "train", items(24)), "--image-shape", "3,12,12"]


def check_kept(net, prefix):
    """The parameter is what it was, byte for byte, and others moved."""
    before, after = mx.nd.load(net + "-0001.params"), mx.nd.load(prefix + "-0001.params")
    for name in ("arg:more", "aux:seen"):
        assert before[name].dtype == after[name].dtype and before[name].shape == after[name].shape
        assert before[name].asnumpy().tobytes() == after[name].asnumpy().tobytes()
    assert not np.array_equal(before["arg:fc2_weight"].asnumpy(), after["arg:fc2_weight"].asnumpy())


@pytest.mark.parametrize("kind", VALUES)
def test_fine_tuning_and_going_on(command, tmp_path, kind):
    net, out = saved(model_with(kind), tmp_path / "net"), str(tmp_path / "out")
    for more in (["--num-epochs", "1"], ["--num-epochs", "2", "--resume"])[:2 if kind == "factor" else 1]:
        assert fine_tune.main(["-m", net, "--model-prefix", out, "--wd", "0.1"] + command + more) == 0
    check_kept(net, out)


def test_two_passes(command, tmp_path):
    net, out = saved(model_with("factor"), tmp_path / "net"), str(tmp_path / "out")
    assert two_pass.main(["-m", net, "--save-model", out, "--fixed", "conv2=4", "--ratio", "1"] + command) == 0
    check_kept(net, out)


@pytest.mark.parametrize("dtype, says", [("float16", "half"), ("float64", "double")])
def test_what_is_read_must_be_single_precision(dtype, says):
    model = model_with("unread")
    model.arg_params["conv2_bias"] = model.arg_params["conv2_bias"].astype(dtype)
    with pytest.raises(AccnnError, match="reads the parameter conv2_bias of %s precision: only float32" % says):
        check_precision(model)


def test_nothing_but_whole_numbers():
    model = model_with("factor")
    with pytest.raises(AccnnError, match="the output leaves nothing"):
        frozen_parameters(model, [], ["data", "more"])

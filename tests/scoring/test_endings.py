"""Cross-entropy of every way to end a network, against NumPy on its probabilities."""
import json

import numpy as np
import pytest

from accnn import score
from accnn.core.compat import mx
from endings import ENDINGS
from networks import outputs, random_model, saved
from pictures import CLASSES, packed, read

S = mx.sym
SHAPE, COLOURS = (3, 12, 12), ["--rgb-mean", "120,125,130", "--rgb-std", "60,61,62"]
SILENT = {"SoftmaxOutput", "softmax", "softmax, temperature 2", "expand_dims", "squeeze", "transpose", "SwapAxis",
          "Dropout", "Dropout of a loss", "log_softmax", "log_softmax, transposed", "scores"}


def scores():
    x = S.Convolution(S.Variable("data"), kernel=(3, 3), stride=(2, 2), num_filter=6, name="conv")
    return S.FullyConnected(S.Activation(x, act_type="relu"), num_hidden=CLASSES, name="fc")


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("endings") / "val")


@pytest.fixture(scope="module")
def given(rec):
    """(class scores, labels): of plain MXNet, for pictures that OpenCV read."""
    images, labels = read(rec, SHAPE, (120.0, 125.0, 130.0), (60.0, 61.0, 62.0))
    found = outputs(random_model(scores(), data=SHAPE), data=images)[0]
    return found.astype(np.float64), np.array(labels, int)


@pytest.mark.parametrize("name", ENDINGS)
def test_cross_entropy_is_that_of_the_probabilities(name, rec, given, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("accnn.cli.scoring.speeds", lambda *_: (1.0, [1.0]))
    end, truth = ENDINGS[name]
    prefix = saved(random_model(end(scores()), data=SHAPE), tmp_path / "net")
    assert score.main(["-m", prefix, "--data-val", rec, "--json", *COLOURS]) == 0
    told = capsys.readouterr()
    found, (values, labels) = json.loads(told.out)["model"], given
    probabilities = truth(values)
    wanted = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert found["cross_entropy"] == pytest.approx(wanted, rel=1e-4)
    assert found["top"]["1"]["right"] == (probabilities.argmax(axis=1) == labels).sum()
    assert ("is taken for" in told.err) == (name not in SILENT), told.err

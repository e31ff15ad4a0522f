"""Outputs that have one name between them: each can be asked for, and each is compared."""
import json

import numpy as np
import pytest

from accnn import score
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.outputs import distinct, find_outputs
from accnn.runtime.predictor import Predictor
from accnn.scoring.heads import class_head
from networks import outputs, random_input, random_model, saved
from pictures import packed, read

S = mx.sym
SHAPE = (3, 12, 12)


def twins(seed=0):
    """Two outputs of one name, the second with fewer classes."""
    x = S.Convolution(S.Variable("data"), kernel=(3, 3), num_filter=4, name="c")
    both = [S.softmax(S.FullyConnected(x, num_hidden=width, name="f%d" % width), name="same") for width in (6, 5)]
    return random_model(S.Group(both), seed, data=SHAPE)


@pytest.fixture(autouse=True)
def no_clock_of_scoring(monkeypatch):
    monkeypatch.setattr("accnn.cli.scoring.speeds", lambda *_: (1.0, [1.0, 1.0]))


def test_names():
    assert distinct(["a", "b", "a", "a"]) == ["a:0", "b", "a:1", "a:2"]


@pytest.mark.parametrize("asked, classes", [("same:0", 6), ("same_output:1", 5), ("same", 5), ("f6", 6)])
def test_each_can_be_asked_for(asked, classes, capsys):
    head = class_head(twins(), {"data": SHAPE}, asked)
    said = capsys.readouterr().err
    assert head.classes == classes
    assert ("the last one is taken, same_output:1; `output='same_output:0'`" in said) == (asked == "same"), said


@pytest.mark.parametrize("asked", ["same:2", "same_output:9", "f6:1", ":0", "data"])
def test_there_is_no_such_output(asked):
    with pytest.raises(AccnnError, match="no output %r" % asked):
        find_outputs(twins(), asked)


def test_a_name_that_ends_like_a_number():
    x = S.FullyConnected(S.Variable("data"), num_hidden=5, name="dense:0")
    model = random_model(S.Group([x, S.FullyConnected(S.Variable("data_b"), num_hidden=3, name="o")]), data=(4,),
                         data_b=(4,))
    assert [name for name, _ in find_outputs(model, "dense:0")] == ["dense:0_output"]


def test_both_are_run_and_compared(tmp_path, capsys):
    rec, (after, before) = packed(tmp_path / "val"), (twins(0), twins(1))
    assert list(Predictor(after, {"data": SHAPE}, 2).output_shapes.items()) == [
        ("same_output:0", (2, 6)), ("same_output:1", (2, 5))]
    prefixes = [saved(model, tmp_path / name) for model, name in ((after, "a"), (before, "b"))]
    how = ["-m", prefixes[0], "--baseline", prefixes[1], "--fidelity", "--json", "--data-val", rec, "--rgb-std", "99",
           "--image-shape", "3,12,12", "--batch-size", "4"]
    images, _ = read(rec, SHAPE, std=(99,))
    wanted = [np.linalg.norm(a - b) / np.linalg.norm(b)
              for a, b in zip(outputs(after, data=images), outputs(before, data=images))]
    for asked, expected in (([], wanted), (["--output", "same:1"], wanted[1:])):
        assert score.main(how + asked) == 0
        found = json.loads(capsys.readouterr().out)["fidelity"]["relative_error"]
        assert list(found.values()) == pytest.approx(expected, rel=1e-4)
    assert list(found) == ["same_output"]


def test_an_inner_convolution_can_be_compared(tmp_path, capsys):
    """Of the last batch, too, which oneDNN leaves in blocks of channels."""
    rec, models = packed(tmp_path / "val"), [twins(0), twins(1)]
    prefixes = [saved(model, tmp_path / str(seed)) for seed, model in enumerate(models)]
    assert score.main(["-m", prefixes[0], "--baseline", prefixes[1], "--fidelity", "--json", "--data-val", rec,
                       "--image-shape", "3,12,12", "--batch-size", "7", "--output", "c"]) == 0
    images, _ = read(rec, SHAPE)
    a, b = (outputs(random_model_of_layer(model), data=images)[0] for model in models)
    found = json.loads(capsys.readouterr().out)["fidelity"]["relative_error"]
    assert found == {"c_output": pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-4)}


def random_model_of_layer(model):
    x = random_model(S.Convolution(S.Variable("data"), kernel=(3, 3), num_filter=4, name="c"), data=SHAPE)
    for name, array in x.arg_params.items():
        array[:] = model.arg_params[name]
    return x


def test_one_output_that_reads_no_label_is_taken(capsys):
    x = S.FullyConnected(S.Variable("data"), num_hidden=5, name="fc")
    label = S.Variable("softmax_label")
    model = random_model(S.Group([S.SoftmaxOutput(x, label, name="softmax"), S.BlockGrad(label, name="l")]), data=SHAPE,
                         softmax_label=())
    assert class_head(model, {"data": SHAPE}).name == "softmax_output"
    assert "only softmax_output is computed without a label" in capsys.readouterr().err
    images = random_input(3, *SHAPE)
    found = Predictor(model, {"data": SHAPE}, 3).forward(mx.nd.array(images))
    np.testing.assert_allclose(found[0].asnumpy(), outputs(model, data=images)[0], rtol=1e-5)

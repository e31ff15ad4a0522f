"""The scripts on networks that read their labels in unusual ways: the figures of the same network without the label."""
import json

import numpy as np
import pytest

from accnn import accnn, benchmark, fine_tune, score
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from accnn.timing import client
from accnn.timing import networks as timing
from labelled import CLASSES, SHAPE, features, model, scores
from networks import outputs, random_model, saved
from pictures import packed, read

S = mx.sym
COLOURS = ["--rgb-mean", "128", "--rgb-std", "64"]
IMAGE = ["--image-shape", "3,12,12"]
PLAIN = {"reshaped": "softmax", "passed_on": "softmax", "loss_by_hand": "blocked"}


@pytest.fixture
def rec(tmp_path):
    return packed(tmp_path / "val")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr("accnn.cli.scoring.speeds", lambda *_: (1.0, [1.0, 1.0]))
    monkeypatch.setattr(client, "_ask", lambda job, child=None: timing.measure(job))


def told(capsys, main, *arguments):
    assert main([*arguments, *IMAGE, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def plain():
    """The network that the labels are taken from."""
    return random_model(S.SoftmaxOutput(scores(), name="softmax"), data=SHAPE)


@pytest.mark.parametrize("name", PLAIN)
def test_scoring_and_fine_tuning(name, rec, tmp_path, capsys):
    found = {}
    for key, made in ((name, model(name)), ("plain", plain())):
        prefix, out = saved(made, tmp_path / key), str(tmp_path / (key + "-tuned"))
        figures = told(capsys, score.main, "-m", prefix, "--data-val", rec, *COLOURS)["model"]
        assert fine_tune.main(["-m", prefix, "--data-train", rec, "--num-epochs", "2", "--batch-size", "10", "--lr",
                               "0.05", "--model-prefix", out, *IMAGE, *COLOURS]) == 0
        found[key] = figures["cross_entropy"], figures["top"], load_model(out, 2).weight("conv1_weight")
        capsys.readouterr()
    assert found[name][0] == pytest.approx(found["plain"][0], rel=1e-5) and found[name][1] == found["plain"][1]
    np.testing.assert_allclose(found[name][2], found["plain"][2], atol=1e-5)


@pytest.mark.parametrize("asked, shape", [("fc1", []), ("fc7", ["--input-shape", "softmax_label:"]),
                                          (None, ["--input-shape", "softmax_label:"]), (None, [])])
def test_fidelity_of_a_margin(asked, shape, rec, tmp_path, capsys):
    after, before = model("arcface"), model("arcface", 1)
    for array in before.arg_params.values():
        array[:] = 0.9 * array
    found = told(capsys, score.main, "-m", saved(after, tmp_path / "a"), "--baseline", saved(before, tmp_path / "b"),
                 "--fidelity", "--data-val", rec, "--batch-size", "9", *COLOURS, *shape,
                 *(["--output", asked] if asked else []))["fidelity"]
    (name, error), = found["relative_error"].items()
    images, _ = read(rec, SHAPE, (128,), (64,))
    inside = "fc7" if asked is None else asked
    a, b = (outputs(type(made)(made.graph.from_symbol(made.symbol.get_internals()[inside + "_output"]), made.arg_params,
                               made.aux_params), data=images)[0].astype(np.float64) for made in (after, before))
    if asked is None:
        a, b = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (a, b))
    assert name == (asked or "softmax") + "_output"
    assert error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-4)


@pytest.mark.parametrize("name", ["arcface", "four_letters", "picked", "passed_on"])
def test_timing(name, tmp_path, capsys):
    label = "softmax_label:" + ("4" if name == "four_letters" else "")
    for shape in ([], ["--input-shape", label]):
        found = told(capsys, benchmark.main, "-m", saved(model(name), tmp_path / "a"), "--baseline", saved(
            model(name, 1), tmp_path / "b"), "--repeats", "2", "--warm-up", "1", "--threads", "1", "--batch-size", "3",
            *shape)
        assert found["runs"][0]["model"]["images_per_second"] > 0


@pytest.mark.parametrize("rule", ["sensitivity", "greedy"])
@pytest.mark.parametrize("name", ["passed_on", "arcface"])
def test_calibrated_ranks(name, rule, rec, tmp_path, capsys):
    """Those of the network without its label."""
    made = model(name)
    same = made.symbol.get_internals()["fc7_output"] if name == "arcface" else scores()
    bare = random_model(S.softmax(same), data=SHAPE)
    for mine, theirs in ((bare.arg_params, made.arg_params), (bare.aux_params, made.aux_params)):
        for key in mine:
            mine[key][:] = theirs[key]
    ranks = []
    for key, one in (("a", made), ("b", bare)):
        found = told(capsys, accnn.main, "-m", saved(one, tmp_path / key), "--data-calib", rec, "--ratio", "1.3",
                     "--rank-selection", rule, "--method", "channel", "--save-model", str(tmp_path / (key + "-new")),
                     *COLOURS)
        ranks.append({row["layer"]: row.get("rank") for row in found["layers"]})
    assert ranks[0] == ranks[1] and any(ranks[0].values())


def test_a_loss_that_wants_to_know_the_shape_of_its_label(rec, tmp_path, capsys):
    x = S.FullyConnected(features(), num_hidden=CLASSES, name="fc")
    loss = S.MakeLoss(S.softmax_cross_entropy(x, S.Variable("softmax_label")), name="loss")
    symbol = S.Group([S.BlockGrad(S.softmax(x), name="blocked"), loss])
    prefix = saved(random_model(symbol, data=SHAPE, softmax_label=()), tmp_path / "net")
    found = told(capsys, score.main, "-m", prefix, "--data-val", rec, *COLOURS)["model"]
    wanted = told(capsys, score.main, "-m", saved(plain(), tmp_path / "plain"), "--data-val", rec, *COLOURS)["model"]
    assert found["cross_entropy"] == pytest.approx(wanted["cross_entropy"], rel=1e-5)
    assert found["output"] == "blocked_output"

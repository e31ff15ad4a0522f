"""Steps over all chains bring outputs nearer to the original's, and are kept where images held aside say so."""
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from test_calibration_of_layers import NETS, SHAPE, images

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.reconstruction import joint as module
from accnn.reconstruction.divergence import CLASS_SCORES
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.joint import joint
from accnn.reconstruction.samples import held_aside
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY, SCORE
from networks import outputs, random_model

pytestmark = pytest.mark.usefixtures("few_steps")
SHAPES = {"data": SHAPE}


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 80)
    monkeypatch.setattr(module, "_RATES", (3e-3,))  # the noise of these is larger than what fits leave


def disturbed(model, share=0.1, seed=0):
    """The model with noise on its convolutions' weights, and their names."""
    names, rng = [name for name, array in model.arg_params.items() if array.ndim == 4], np.random.RandomState(seed)
    noisy = {name: mx.nd.array(model.arg_params[name].asnumpy() * (1 + share * rng.standard_normal(
        model.arg_params[name].shape))) for name in names}
    return replace(model, arg_params=dict(model.arg_params, **noisy)), names


@pytest.mark.parametrize("name", ["chain", "residual", "gamma 0 and negative"])
def test_outputs_come_nearer_on_other_images_too(name):
    model = NETS[name]()
    worse, names = disturbed(model)
    found, outcome = joint(worse, model, ArrayImages({"data": images(320)}, 32), SHAPES, names)
    assert set(found) == set(names) and outcome.after < 0.7 * outcome.before and outcome.images == 280
    better, other = replace(worse, arg_params=dict(worse.arg_params, **{
        name: mx.nd.array(array) for name, array in found.items()})), images(64, seed=5)
    before, after = (np.square(outputs(one, data=other)[0] - outputs(model, data=other)[0]).sum()
                     for one in (worse, better))
    assert after < 0.8 * before


def test_what_is_right_already_stays():
    model = NETS["chain"]()
    found, outcome = joint(model, model, ArrayImages({"data": images(320)}, 32), SHAPES,
                           [name for name, array in model.arg_params.items() if array.ndim == 4])
    assert found == {} and outcome.before == outcome.after


def test_too_few_images_change_nothing():
    worse, names = disturbed(NETS["chain"]())
    assert joint(worse, NETS["chain"](), ArrayImages({"data": images(100)}, 32), SHAPES, names) == ({}, None)


def test_the_same_seed_gives_the_same_bytes():
    model = NETS["chain"]()
    worse, names = disturbed(model)
    first, again = (joint(worse, model, ArrayImages({"data": images(200)}, 32), SHAPES, names)[0] for _ in range(2))
    assert first and all(first[name].tobytes() == again[name].tobytes() for name in names)


def test_what_cannot_be_differentiated_is_said(monkeypatch):
    def refuse(*_):
        raise mx.base.MXNetError("no gradient")

    monkeypatch.setattr(module._Net, "step", refuse)
    worse, names = disturbed(NETS["chain"]())
    with pytest.raises(AccnnError, match="cannot be differentiated .*leave out `joint`"):
        joint(worse, NETS["chain"](), ArrayImages({"data": images(320)}, 32), SHAPES, names)


ENDS = {"probabilities": mx.sym.softmax, "logarithms": mx.sym.log_softmax, "scores": lambda scores: scores,
        "a loss": lambda scores: mx.sym.SoftmaxOutput(scores, name="softmax")}


def classifier(end):
    S = mx.sym
    hidden = S.Activation(S.Convolution(S.Variable("data"), num_filter=8, kernel=(5, 5), name="c0"), act_type="relu")
    return random_model(end(S.FullyConnected(hidden, num_hidden=4, name="f0") * 3.0), data=SHAPE)


def probabilities(end, model, x):
    answers = outputs(model, data=x)[0].astype(np.float64)
    return {"logarithms": np.exp, "scores": lambda z: softmax(z, axis=1)}.get(end, lambda p: p)(answers)


@pytest.mark.parametrize("end", ENDS)
def test_outputs_come_nearer_to_the_mean_over_mirror_images(end):
    """The distance is computed here, from the probabilities that plain MXNet and NumPy give."""
    model, x = classifier(ENDS[end]), images(320)
    worse, names = disturbed(model, 0.3)
    found, outcome = joint(worse, model, ArrayImages({"data": x}, 32), SHAPES, names, mirrored=True)

    def missed(one, pictures):
        mean = (probabilities(end, model, pictures) + probabilities(end, model, pictures[..., ::-1])) / 2
        return (mean * np.log(mean / probabilities(end, one, pictures))).sum(axis=1).mean()

    better = replace(worse, arg_params=dict(worse.arg_params, **{
        name: mx.nd.array(array) for name, array in found.items()}))
    held = x[held_aside(0, 320, 1, 320)]
    assert outcome.before == pytest.approx(missed(worse, held), rel=1e-4)
    assert outcome.after == pytest.approx(missed(better, held), rel=1e-4)
    assert missed(better, images(64, seed=5)) < 0.8 * missed(worse, images(64, seed=5))


def test_both_of_an_image_and_its_mirror_image_are_shown():
    x = images(40)
    seen = module._Mirrored(classifier(mx.sym.softmax), ArrayImages({"data": x}, 32), SHAPES, 40)
    shown = seen.shown(seen.rows(np.arange(40))[0], np.random.default_rng(0))["data"]
    turned = [bool((one == there[..., ::-1]).all()) for one, there in zip(shown, x)]
    assert 10 < sum(turned) < 30
    assert all((one == (there[..., ::-1] if is_turned else there)).all()
               for one, there, is_turned in zip(shown, x, turned))


def test_answers_for_places_have_no_mirror_image():
    net = mx.sym.softmax(mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), name="c0"), axis=1)
    worse, names = disturbed(random_model(net, data=SHAPE))
    with pytest.raises(AccnnError, match="answers for places.*leave out `joint_mirror`"):
        joint(worse, worse, ArrayImages({"data": images(320)}, 32), SHAPES, names, mirrored=True)


def test_rows_for_places_have_no_mirror_image():
    scores = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), name="c0")
    rows = mx.sym.Reshape(mx.sym.transpose(scores, axes=(0, 2, 3, 1)), shape=(-1, 4))
    worse, names = disturbed(random_model(mx.sym.softmax(rows), data=SHAPE))
    with pytest.raises(AccnnError, match="answers for places.*leave out `joint_mirror`"):
        joint(worse, worse, ArrayImages({"data": images(320)}, 32), SHAPES, names, mirrored=True)


def test_what_is_no_class_has_no_mirror_image():
    """As the corners of a box: the mirror image has them elsewhere."""
    corners = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="f0")
    net = mx.sym.Activation(corners, act_type="sigmoid")
    worse, _ = disturbed(random_model(net, data=SHAPE))
    with pytest.raises(AccnnError, match="tells no probabilities of classes.*leave out `joint_mirror`"):
        joint(worse, worse, ArrayImages({"data": images(320)}, 32), SHAPES, ["f0_weight"], mirrored=True)


def test_a_network_too_large_for_steps_is_said(monkeypatch, capsys):
    monkeypatch.setattr(module, "_MOST_MACS", 1e6)
    worse, names = disturbed(NETS["chain"]())
    assert joint(worse, worse, ArrayImages({"data": images(320)}, 32), SHAPES, names) == ({}, None)
    assert "so large that only 0 steps would be made" in capsys.readouterr().err


def test_only_pictures_have_mirror_images():
    model = random_model(mx.sym.softmax(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="f0")),
                         data=(40,))
    x = np.random.RandomState(0).standard_normal((320, 40)).astype(np.float32)
    with pytest.raises(AccnnError, match="reads more than pictures.*leave out `joint_mirror`"):
        joint(model, model, ArrayImages({"data": x}, 32), {"data": (40,)}, ["f0_weight"], mirrored=True)


@pytest.mark.parametrize("form, shape", [(PROBABILITY, (6, 5)), (PROBABILITY, (4, 3, 7)), (LOG_PROBABILITY, (6, 5)),
                                         (LOG_PROBABILITY, (4, 3, 7)), (CLASS_SCORES, (6, 5)), (SCORE, (6, 2, 5))])
@pytest.mark.parametrize("even", [0.0, 0.5])
def test_gradients_are_zero_where_nothing_is_missed_and_lead_downhill_elsewhere(form, shape, even):
    """In the scores: gradients by probabilities are passed through the softmax that they come from."""
    rng = np.random.RandomState(0)
    true, other = rng.standard_normal((2,) + shape)
    softmaxed = {PROBABILITY: lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True),
                 LOG_PROBABILITY: lambda z: z - np.log(np.exp(z).sum(1, keepdims=True))}.get(form, lambda z: z)

    def through(scores):
        made, probability = softmaxed(scores), np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        gradient = module._gradient(form, softmaxed(true), made, even)
        if form == PROBABILITY:
            return probability * (gradient - (probability * gradient).sum(1, keepdims=True))
        return gradient - probability * gradient.sum(1, keepdims=True) if form == LOG_PROBABILITY else gradient

    np.testing.assert_allclose(through(true), 0, atol=1e-12)
    assert np.sum(through(other) * (other - true)) > 0


def test_networks_with_labels_and_several_heads():
    S = mx.sym
    hidden = S.Activation(S.Convolution(S.Variable("data"), num_filter=6, kernel=(3, 3), name="c0"), act_type="relu")
    one = S.SoftmaxOutput(S.FullyConnected(hidden, num_hidden=4, name="f0"), name="prob1")
    net = S.Group([one, S.FullyConnected(hidden, num_hidden=3, name="f1")])
    model = random_model(net, data=SHAPE)
    worse, names = disturbed(model, 0.3)
    found, outcome = joint(worse, model, ArrayImages({"data": images(320)}, 32), SHAPES, names)
    assert set(found) == {"c0_weight"} and outcome.after < 0.7 * outcome.before


def test_steps_are_counted_up_to_what_is_kept(monkeypatch):
    told = iter([1.0, 0.9, 0.5, 0.8, 0.7])  # before, and at four looks
    monkeypatch.setattr(module._Search, "_held_divergence", lambda self: next(told))
    worse, names = disturbed(NETS["chain"]())
    found, outcome = joint(worse, NETS["chain"](), ArrayImages({"data": images(320)}, 32), SHAPES, names)
    assert found and (outcome.after, outcome.steps) == (0.5, 40)


def test_a_rate_that_does_harm_is_followed_by_a_smaller_one(monkeypatch):
    monkeypatch.setattr(module, "_RATES", (3.0, 3e-3))
    model = NETS["chain"]()
    worse, names = disturbed(model)
    found, outcome = joint(worse, model, ArrayImages({"data": images(320)}, 32), SHAPES, names)
    assert set(found) == set(names) and outcome.after < 0.7 * outcome.before

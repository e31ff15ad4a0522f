"""What tells INT8 networks apart, against plain NumPy."""
import numpy as np
import pytest
from scipy.special import log_softmax

from accnn.core.compat import mx
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.judge import Judge
from networks import chain_model, outputs, random_input, random_model

PICTURES = random_input(30, 3, 12, 12)
IMAGES, SHAPES = ArrayImages({"data": PICTURES}, 12), {"data": (3, 12, 12)}


def shaken(model, size=0.05, seed=1):
    draw = np.random.RandomState(seed)
    return type(model)(model.graph, {name: mx.nd.array(array.asnumpy() * (1 + size * draw.randn(*array.shape)))
                                     for name, array in model.arg_params.items()}, model.aux_params)


def test_distributions_image_by_image():
    model = chain_model()
    judge, other = Judge(model, IMAGES, SHAPES), shaken(model)
    p, q = (outputs(one, data=PICTURES)[0].astype(np.float64) for one in (model, other))
    expected = []
    for true, made in zip(p, q):
        weights, change = (true + 1 / len(true)) / 2, np.log(made) - np.log(true)
        expected.append(np.sum(weights * (change - np.sum(weights * change)) ** 2) / 2)
    np.testing.assert_allclose(judge.each(other), expected, rtol=1e-4)
    assert judge.is_classifier and judge(other) == pytest.approx(np.mean(expected), rel=1e-4)
    np.testing.assert_allclose(judge.each(model), 0, atol=1e-10)
    assert judge.divergence(other) == pytest.approx(np.mean(np.sum(p * np.log(p / q), 1)), rel=1e-4)


def test_scores_are_compared_as_distributions():
    scores = mx.sym.FullyConnected(mx.sym.Flatten(mx.sym.Variable("data")), num_hidden=7, name="fc")
    model = random_model(scores, 0, data=(3, 12, 12))
    shifted = type(model)(model.graph, dict(model.arg_params, fc_bias=model.arg_params["fc_bias"] + 3), {})
    judge = Judge(model, IMAGES, SHAPES)
    np.testing.assert_allclose(judge.each(shifted), 0, atol=1e-9)
    true, made = (log_softmax(outputs(one, data=PICTURES)[0].astype(np.float64), 1) for one in (model, shaken(model)))
    weights = (np.exp(true) + 1 / 7) / 2
    change = made - true - np.sum(weights * (made - true), 1, keepdims=True)
    np.testing.assert_allclose(judge.each(shaken(model)), np.sum(weights * change ** 2, 1) / 2, rtol=1e-3)


def test_other_outputs_by_their_squared_relative_error():
    data = mx.sym.Variable("data")
    heads = mx.sym.Group([mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name=name) for name in "ab"])
    model = random_model(heads, 0, data=(3, 12, 12))
    judge, other = Judge(model, IMAGES, SHAPES), shaken(model)
    true, made = outputs(model, data=PICTURES), outputs(other, data=PICTURES)
    errors = [np.linalg.norm(m - t) / np.linalg.norm(t) for t, m in zip(true, made)]
    assert not judge.is_classifier
    assert judge(other) == pytest.approx(np.sum(np.square(errors)), rel=1e-4)
    assert list(judge.errors(other).values()) == pytest.approx(errors, rel=1e-4)
    assert judge.each(other).shape == (30,)
    squares = [np.square(m - t).reshape(30, -1).sum(1) / np.square(t).sum() * 30 for t, m in zip(true, made)]
    assert list(judge.errors_at_most(other).values()) == pytest.approx(
        [np.sqrt(one.mean() + 2 * one.std() / np.sqrt(30)) for one in squares], rel=1e-4)

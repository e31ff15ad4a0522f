"""How far outputs are from the original's, against the definition in plain NumPy, place by place."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.reconstruction.divergence import Divergence
from endings import ENDINGS
from networks import random_input, random_model

S = mx.sym


def conv(name="c", width=5, **more):
    return S.Convolution(S.Variable("data"), kernel=(1, 1), num_filter=width, name=name, **more)


def fc(name="f", width=5, **more):
    return S.FullyConnected(S.Variable("data"), num_hidden=width, name=name, **more)


def divergence(symbol, *truth):
    return Divergence(random_model(symbol, data=(3, 4, 4)), list(truth))


def softmax(scores, axis=1):
    powers = np.exp(scores.astype(np.float64))
    return powers / powers.sum(axis, keepdims=True)


def kl(true, made):
    """Mean over rows of classes, one row after the other."""
    found = [sum(p * np.log(p / q) for p, q in zip(*rows)) for rows in zip(true, made)]
    return sum(found) / len(found)


@pytest.mark.parametrize("head", [S.SoftmaxOutput(fc(), name="s"), S.softmax(fc()), S.Flatten(S.softmax(fc()))])
def test_probabilities(head):
    true, made = softmax(random_input(7, 5)), softmax(3 * random_input(7, 5, seed=2))
    assert divergence(head, true).of([made]) == pytest.approx(kl(true, made), rel=1e-9)


@pytest.mark.parametrize("axis", [1, -1])
def test_probabilities_of_many_places(axis):
    true, made = (softmax(random_input(3, 5, 4, 2, seed=seed), axis) for seed in (1, 2))
    rows = [np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis]) for array in (true, made)]
    head = S.SoftmaxOutput(conv(), multi_output=True, name="s") if axis == 1 else S.softmax(conv())
    assert divergence(head, true).of([made]) == pytest.approx(kl(*rows), rel=1e-9)


def test_logarithms_of_probabilities():
    true, made = softmax(random_input(7, 5)), softmax(random_input(7, 5, seed=2))
    assert divergence(S.log_softmax(fc()), np.log(true)).of([np.log(made)]) == pytest.approx(kl(true, made), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in ENDINGS if name not in ("slice", "wide clip", "scores")])
def test_however_probabilities_are_made(name):
    """By the numbers where the graph says nothing; logarithms and percentages too."""
    end, truth = ENDINGS[name]
    symbol, made = end(fc()), [truth(random_input(7, 5, seed=seed)) for seed in (1, 2)]
    logs, factor = name.startswith(("log", "x - log")), 100 if name == "* 100" else 1
    given = [np.log(one) if logs else factor * one for one in made]
    assert divergence(symbol, given[0]).of([given[1]]) == pytest.approx(kl(*made), rel=1e-6)


def test_numbers_of_many_places_that_no_softmax_made():
    true, made = (softmax(random_input(3, 5, 4, 2, seed=seed)) for seed in (1, 2))
    powers = S.exp(conv())
    head = S.broadcast_div(powers, S.sum(powers, axis=1, keepdims=True))
    rows = [np.moveaxis(array, 1, -1).reshape(-1, 5) for array in (true, made)]
    assert divergence(head, true).of([made]) == pytest.approx(kl(*rows), rel=1e-9)


def test_one_output_of_scores_counts_behind_a_softmax():
    true, made = 4 * random_input(7, 5), 4 * random_input(7, 5, seed=2)
    for head in (fc(), S.Flatten(conv())):
        found = divergence(head, true)
        assert found.of([made]) == pytest.approx(kl(softmax(true), softmax(made)), rel=1e-9)
        assert found.of([true + 3]) == pytest.approx(0, abs=1e-6)  # the class is the same


@pytest.mark.parametrize("head, shape", [
    (conv(), (3, 5, 4, 4)), (fc(width=1), (3, 1)), (S.LinearRegressionOutput(fc(), name="l"), (3, 5)),
    (S.sigmoid(fc()), (3, 5)), (S.LogisticRegressionOutput(fc(), name="l"), (3, 5)),
    (S.Activation(fc(), act_type="sigmoid"), (3, 5))])
def test_others_count_by_their_relative_error(head, shape):
    true, made = random_input(*shape), random_input(*shape, seed=2)
    assert divergence(head, true).of([made]) == pytest.approx(np.square(true - made).sum() / np.square(true).sum())
    assert divergence(head, true).of([true + 3]) > 1


def test_several_outputs_add_up():
    p, q = softmax(random_input(7, 5)), softmax(random_input(7, 5, seed=2))
    boxes, moved = random_input(7, 4, seed=3), random_input(7, 4, seed=4)
    both = divergence(S.Group([S.softmax(fc()), fc("boxes", 4)]), p, boxes)
    assert both.of([q, moved]) == pytest.approx(kl(p, q) + np.square(boxes - moved).sum() / np.square(boxes).sum())
    assert both.of([p, moved]) == pytest.approx(np.square(boxes - moved).sum() / np.square(boxes).sum())


@pytest.mark.parametrize("head, shape", [(S.softmax(fc()), (3, 5)), (fc(), (3, 5)), (conv(), (3, 5, 4, 4))])
def test_the_original_is_at_no_distance(head, shape):
    true = softmax(random_input(*shape))
    assert divergence(head, true).of([true.copy()]) == 0
    assert divergence(head, true).of([np.roll(true, 1, 1)]) > 0


def test_what_is_impossible_costs_much_and_no_infinity():
    true, made = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert 20 < divergence(S.softmax(fc(width=2)), true).of([made]) < 100
    assert divergence(conv(), np.zeros((1, 2, 3, 3))).of([np.ones((1, 2, 3, 3))]) < np.inf

"""Images that tell much are chosen more often, and count less: what they tell is the mean over all."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.reconstruction.divergence import Divergence
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.telling import chosen, uncertainty
from networks import random_model

S = mx.sym
SHAPE = (3, 4, 4)


def net(end=lambda x: x):
    return random_model(end(S.FullyConnected(S.Variable("data"), num_hidden=5, name="f")), data=SHAPE)


def scores(count, seed=0):
    """Of most images one class is certain."""
    rng = np.random.RandomState(seed)
    found = rng.standard_normal((count, 5))
    found[np.arange(count), rng.randint(5, size=count)] += 12 * rng.uniform(size=count) ** 0.3
    return found


def softmax(x):
    powers = np.exp(x)
    return powers / powers.sum(1, keepdims=True)


def images(count):
    numbers = np.arange(count, dtype=np.float32)[:, None, None, None]
    return ArrayImages({"data": numbers * np.ones(SHAPE, np.float32)}, 8)


@pytest.mark.parametrize("end, given", [(lambda x: x, lambda x: x), (S.softmax, softmax),
                                        (S.log_softmax, lambda x: np.log(softmax(x)))])
def test_how_uncertain_the_network_is(end, given):
    x = scores(20)
    wanted = (softmax(x) * (1 - softmax(x))).sum(1)
    np.testing.assert_allclose(uncertainty(net(end), [given(x).astype(np.float32)], 20), wanted, atol=1e-5)


def test_of_several_places_the_mean_counts():
    p = softmax(scores(12)).reshape(4, 3, 5).transpose(0, 2, 1)
    model = random_model(S.SoftmaxOutput(S.Convolution(S.Variable("data"), kernel=(1, 1), num_filter=5, name="c"),
                                         multi_output=True, name="s"), data=SHAPE)
    np.testing.assert_allclose(uncertainty(model, [p.astype(np.float32)], 4), (p * (1 - p)).sum(1).mean(1), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_tell_the_mean_over_all(seed):
    model, x = net(), scores(600, seed)
    some = chosen(model, images(600), 60, lambda _: [x.astype(np.float32)])
    numbers = next(some.images.arrays(60))["data"].asnumpy()[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(some.truth[0][:len(numbers)], x.astype(np.float32)[numbers])
    assert 55 <= some.images.count <= 60 and some.weights.mean() == pytest.approx(1) and some.weights.min() > 0
    made = x + 0.3 * np.random.RandomState(9).standard_normal(x.shape)
    whole = Divergence(model, [x]).of([made])
    numbers = np.concatenate([batch["data"].asnumpy()[:, 0, 0, 0] for batch in some.images.arrays(60)]).astype(int)
    found = Divergence(model, some.truth, some.weights).of([made[numbers]])
    even = [np.abs(Divergence(model, [x[some]]).of([made[some]]) - whole)
            for some in (np.random.RandomState(k).choice(600, 60, replace=False) for k in range(30))]
    assert abs(found - whole) < 0.3 * whole and abs(found - whole) < 2 * np.mean(even)
    surest = np.argsort((softmax(x) ** 2).sum(1))[:10]
    assert len(set(surest) & set(numbers)) >= 4  # of 60 evenly chosen ones there would be one


def test_outputs_that_are_no_probabilities_are_chosen_evenly():
    model = random_model(S.LinearRegressionOutput(S.FullyConnected(S.Variable("data"), num_hidden=5, name="f"),
                                                  name="l"), data=SHAPE)
    some = chosen(model, images(40), 10, lambda _: [np.ones((40, 5), np.float32)])
    numbers = [int(value) for batch in some.images.arrays(40) for value in batch["data"].asnumpy()[:, 0, 0, 0]]
    assert np.diff(numbers).tolist() == [4] * 9 and some.weights == pytest.approx(np.ones(10))


@pytest.mark.parametrize("count", [5, 9])
def test_all_are_taken_where_there_are_no_more(count):
    some = chosen(net(), images(5), count, lambda _: [np.full((5, 5), np.nan, np.float32)])
    assert some.images.count == 5 and some.weights.tolist() == [1] * 5


def test_outputs_that_are_no_numbers_end_in_no_loop():
    x = np.full((30, 5), np.nan, np.float32)
    assert chosen(net(), images(30), 10, lambda _: [x]).images.count == 10


def test_certain_outputs_are_chosen_evenly():
    x = np.zeros((30, 5), np.float32)
    x[:, 2] = 1000
    assert chosen(net(), images(30), 10, lambda _: [x]).images.count == 10


@pytest.mark.parametrize("end, given", [(lambda x: x, lambda x: x), (S.softmax, softmax),
                                        (S.log_softmax, lambda x: np.log(softmax(x)))])
def test_weights_are_how_often_an_image_counts(end, given):
    true, made = given(scores(6)), given(scores(6, seed=3))
    repeats = np.array([1, 3, 2, 1, 1, 2])
    wanted = Divergence(net(end), [np.repeat(true, repeats, axis=0)]).of([np.repeat(made, repeats, axis=0)])
    assert Divergence(net(end), [true], repeats / 10).of([made]) == pytest.approx(wanted, rel=1e-9)

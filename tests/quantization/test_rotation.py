"""Matrices between layers: invariant in float32, better in INT8, and refused where something else reads."""
import numpy as np
import pytest
from linked import conv, linear_chain, norm, relu, uneven

from accnn.core.compat import mx
from accnn.quantization.grid import channel_errors, rounded
from accnn.quantization.rotation import Between, balancing, best_mixture, random_orthogonal, rotate, spreading
from accnn.reconstruction.images import ArrayImages
from networks import outputs, random_input, random_model

SHAPES = {"data": (8, 6, 6)}


def images(count=40, shape=(8, 6, 6)):
    return ArrayImages({"data": random_input(count, *shape)}, 20)


def rotated(model, shapes=None):
    made, gains = rotate(model, images(shape=(shapes or SHAPES)["data"]), shapes or SHAPES)
    return made, gains


@pytest.mark.parametrize("groups, options", [
    ((1, 1), {}), ((1, 1), {"copied": True}), ((1, 1), {"normalised": True}),
    ((1, 1), {"normalised": True, "first_bias": False}), ((1, 1), {"first_bias": False}), ((4, 1), {}), ((2, 4), {}),
    ((8, 16), {}), ((1, 16), {"normalised": True})], ids=str)
def test_float32_stays_and_the_noise_falls(groups, options):
    model = uneven(linear_chain(groups, **options))
    made, gains = rotated(model)
    x = random_input(8, 8, 6, 6, seed=5)
    np.testing.assert_allclose(outputs(made, data=x)[0], outputs(model, data=x)[0], atol=1e-5)
    before, after = gains["first"]
    assert 0 < after < 0.8 * before
    assert list(made.arg_params) == list(model.arg_params) and made.graph is model.graph


def fully_connected():
    x = mx.sym.FullyConnected(mx.sym.Flatten(conv(mx.sym.Variable("data"), "first", 12)), num_hidden=8, name="second")
    x = mx.sym.FullyConnected(x, num_hidden=4, name="third")
    return random_model(x, 0, data=(8, 6, 6))


def test_through_flatten_into_fully_connected_layers():
    model = uneven(fully_connected(), ("first_weight", "second_weight"))
    made, gains = rotated(model)
    x = random_input(8, 8, 6, 6, seed=5)
    expected = outputs(model, data=x)[0]
    np.testing.assert_allclose(outputs(made, data=x)[0], expected, atol=1e-5 * np.abs(expected).max())
    assert set(gains) == {"first", "second"} and gains["first"][1] < 0.8 * gains["first"][0]


def refused():
    data = mx.sym.Variable("data")
    first = conv(data, "first", 16, 3)
    weight = mx.sym.Variable("shared_weight")
    yield "read by a sum too", conv(first, "second", 16) + first
    yield "an output of the network", mx.sym.Group([conv(first, "second", 16), first])
    yield "a nonlinearity between", conv(relu(first), "second", 16)
    yield "two readers", mx.sym.Group([conv(first, "second", 16), conv(first, "third", 4)])
    yield "a shared weight", conv(conv(conv(data, "a", 16, weight=weight), "b", 16), "c", 16) + conv(
        mx.sym.slice_axis(mx.sym.concat(data, data, dim=1), axis=1, begin=0, end=8), "d", 16, weight=weight)
    yield "max pooling between", conv(mx.sym.Pooling(first, kernel=(2, 2), pool_type="max"), "second", 16)
    yield "its mean is read", mx.sym.Group([conv(norm(first, "norm", output_mean_var=True)[0], "second", 16),
                                            norm(first, "other", output_mean_var=True)[1]])


@pytest.mark.parametrize("name, symbol", list(refused()), ids=[name for name, _ in refused()])
def test_what_must_stay(name, symbol):
    model = random_model(symbol, 0, data=(8, 6, 6))
    made, gains = rotated(model)
    assert "first" not in gains and "a" not in gains
    for one, other in zip(outputs(made, data=random_input(4, 8, 6, 6)), outputs(model, data=random_input(4, 8, 6, 6))):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(np.abs(other).max(), 1))


def test_balancing_is_the_least_of_the_noise_that_it_is_said_to_be():
    draw = np.random.RandomState(0)
    roots = draw.randn(2, 6, 6) * np.exp(draw.randn(2, 6, 1))
    s, g = (root @ root.T for root in roots)

    def noise(m):
        back = np.linalg.inv(m)
        return np.trace(m @ s @ m.T) * np.trace(back.T @ g @ back)

    best = noise(balancing(s, g))
    assert best == pytest.approx(np.sum(np.sqrt(np.linalg.eigvals(s @ g).real)) ** 2, rel=1e-2)  # the bound
    assert all(noise(np.eye(6) + 0.3 * draw.randn(6, 6)) > best for _ in range(50))


@pytest.mark.parametrize("size", [1, 2, 16, 24])
def test_spreading_is_orthogonal_and_levels_the_variances(size):
    root = np.random.RandomState(0).randn(size, size) * np.geomspace(1, 50, size)
    moment = root.T @ root
    made = spreading(moment, np.random.default_rng(0))
    np.testing.assert_allclose(made @ made.T, np.eye(size), atol=1e-9)
    if size & (size - 1) == 0:
        np.testing.assert_allclose(np.diag(made @ moment @ made.T), np.trace(moment) / size, rtol=1e-9)


def between(seed=0):
    draw = np.random.RandomState(seed)
    mix = draw.randn(16, 16) * np.geomspace(1, 0.02, 16)
    return Between(mix @ draw.randn(16, 27), draw.randn(16), draw.randn(16, 8, 3), draw.randn(500, 16) @ mix.T,
                   np.ones(27))


def test_the_chosen_matrix_beats_one_random_orthogonal():
    start = between()
    random = start.mixed(random_orthogonal(16, np.random.default_rng(0)), slice(0, 16))
    best = best_mixture(start, [slice(0, 16)], np.random.default_rng(0))
    assert best.noise() < 0.8 * random.noise() < 0.8 * start.noise()


def test_rounding_of_channels_is_that_of_rows():
    weight = np.random.RandomState(0).randn(6, 4, 5)
    rows = weight.reshape(6, -1)
    expected = np.square(rows - rounded(rows)).reshape(weight.shape).sum((0, 2))
    np.testing.assert_allclose(channel_errors(weight.transpose(1, 0, 2)), expected)
    assert (channel_errors(weight.transpose(1, 0, 2), per_tensor=True) != expected).any()

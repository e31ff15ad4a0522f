"""Moments of samples that came in blocks are those of all samples at once, and tell any map's exact error."""
import numpy as np
import pytest
from layers_for_tests import written

from accnn.reconstruction.moments import Accumulator
from accnn.reconstruction.samples import CalibrationSplit


def samples(n=700, inputs=9, outputs=4, offset=0.0, seed=0):
    rng = np.random.RandomState(seed)
    x = (rng.standard_normal((n, inputs)) @ rng.standard_normal((inputs, inputs)) + offset).astype(np.float32)
    y = (x @ rng.standard_normal((inputs, outputs)) + rng.standard_normal((n, outputs))).astype(np.float32)
    return x, y


def added(x, y, sizes):
    sums, first = Accumulator(x.shape[1], y.shape[1]), 0
    for size in sizes:
        sums.add(x[first:first + size], y[first:first + size])
        first += size
    assert first == len(x)
    return sums.moments()


def check(moments, x, y, tolerance=1e-5):
    x, y = x.astype(np.float64), y.astype(np.float64)
    width = x.shape[1]
    both = np.cov(np.concatenate([x, y], 1).T, bias=True)
    assert moments.count == len(x)
    for found, wanted in ((moments.mean_x, x.mean(0)), (moments.mean_y, y.mean(0)), (moments.xx, both[:width, :width]),
                          (moments.yx, both[width:, :width]), (moments.yy, both.diagonal()[width:])):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(np.abs(wanted).max(), 1))


@pytest.mark.parametrize("sizes", [[700], [1, 699], [0, 350, 0, 350], [100] * 7, [1] * 700])
def test_any_blocks_give_the_moments_of_all(sizes):
    x, y = samples()
    check(added(x, y, sizes), x, y)


def test_a_large_mean_does_not_eat_a_small_variance():
    x, y = samples(offset=1000.0)
    np.testing.assert_allclose(added(x, y, [100] * 7).xx, np.cov(x.astype(np.float64).T, bias=True), atol=1e-3)


def test_nothing_was_added():
    moments = Accumulator(3, 2).moments()
    assert moments.count == 0 and not moments.xx.any() and not moments.mean_y.any()


def test_errors_and_bias_of_a_map():
    x, y = samples()
    moments, weight = added(x, y, [100] * 7), np.random.RandomState(3).standard_normal((4, 9))
    for bias in (np.arange(4.0), moments.bias(weight)):
        wanted = np.square(x @ weight.T + bias - y).mean(0)
        np.testing.assert_allclose(moments.errors(weight, bias), wanted, rtol=1e-5)
    np.testing.assert_allclose(moments.bias(weight), (y - x @ weight.T).mean(0), rtol=1e-4)
    features = np.random.RandomState(4).standard_normal((5, 9))
    check(moments.seen_through(features), x @ features.T, y)


@pytest.mark.parametrize("images, every", [(40, "image"), (5, "sample")])
def test_held_aside_are_images_or_samples_where_there_are_few(tmp_path, images, every):
    x, y = samples(n=40 * 5, inputs=18, outputs=6)
    inputs, responses = written(tmp_path / "x", x.reshape(-1, 2, 9)), written(tmp_path / "y", y)
    for group in (0, 1):
        evidence = CalibrationSplit(inputs, responses, images, group, 2)
        number = np.arange(200) // 5 if every == "image" else np.arange(200)
        np.testing.assert_array_equal(evidence.held, number % 8 == 7)
        seen, answered = x[:, group * 9:group * 9 + 9], y[:, group * 3:group * 3 + 3]
        matrix = np.random.RandomState(0).standard_normal((4, 9))
        for through in (None, matrix):
            what = seen if through is None else seen @ through.T.astype(np.float32)
            for moments, rows in zip(evidence.moments(through), (~evidence.held, evidence.held)):
                check(moments, what[rows], answered[rows])
        np.testing.assert_allclose(evidence.features(matrix), seen @ matrix.T, atol=1e-4)
        np.testing.assert_array_equal(evidence.responses(), answered)
        assert evidence.width == 9 and evidence.fitted == 175 and evidence.enough

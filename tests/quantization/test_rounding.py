"""Compensated rounding: on INT8's numbers, found again by whoever rounds once more, and better than the nearest."""
import numpy as np
import pytest

from accnn.quantization.grid import rounded
from accnn.quantization.rounding import compensated


def problem(seed=0, outputs=12, values=40):
    draw = np.random.RandomState(seed)
    mix = draw.randn(values, values) * np.geomspace(3, 0.1, values)[:, None]
    return draw.randn(outputs, values), mix.T @ mix / values


def error(change, covariance):
    return np.trace(change @ covariance @ change.T)


@pytest.mark.parametrize("per_tensor", [False, True])
def test_rounding_it_only_changes_what_is_largest(per_tensor):
    matrix, covariance = problem()
    made = compensated(matrix, covariance, per_tensor)
    step = np.abs(matrix).max(None if per_tensor else 1, keepdims=True) / 127.5
    changed = np.abs(rounded(made, per_tensor) - made) > 1e-9
    assert changed.sum() == (1 if per_tensor else len(matrix))
    np.testing.assert_allclose(np.abs(made / step)[changed], 127.5)
    again = rounded(made.astype(np.float32).astype(np.float64), per_tensor)
    np.testing.assert_allclose(again, rounded(made, per_tensor), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_it_loses_less_than_the_nearest_numbers(seed):
    matrix, covariance = problem(seed)
    nearest = error(rounded(matrix) - matrix, covariance)
    assert error(rounded(compensated(matrix, covariance)) - matrix, covariance) < 0.6 * nearest


def test_uncorrelated_inputs_leave_the_nearest():
    matrix, _ = problem()
    np.testing.assert_allclose(rounded(compensated(matrix, np.eye(40))), rounded(matrix), atol=1e-12)


def test_dead_inputs_and_zero_rows():
    matrix, covariance = problem()
    matrix[3], covariance[:, 5], covariance[5] = 0, 0, 0
    made = compensated(matrix, covariance)
    assert np.isfinite(made).all() and not made[3].any()
    assert np.isfinite(compensated(matrix, np.zeros((40, 40)))).all()

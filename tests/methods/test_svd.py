"""Singular values first, and vectors as they are asked for: against NumPy's own decomposition."""
import numpy as np
import pytest

from accnn.methods import svd
from accnn.methods.svd import BalancedSVD

SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (2, 5), (40, 27), (27, 40), (64, 64)]


def matrix(shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def error(found, weight, rank):
    left, right = found.factors(weight, rank)
    assert left.shape == (len(weight), rank) and right.shape == (rank, weight.shape[1])
    return np.linalg.norm(weight - left @ right)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_factors_are_those_of_numpy(shape):
    weight = matrix(shape)
    true, found = np.linalg.svd(weight.astype(np.float64), compute_uv=False), BalancedSVD(weight)
    assert found.singular_values == pytest.approx(true, rel=1e-5, abs=1e-6 * true[0])
    for rank in range(1, min(shape) + 1):
        best = np.sqrt(np.square(true[rank:]).sum())  # Eckart and Young
        assert error(found, weight, rank) == pytest.approx(best, rel=1e-5, abs=2e-6 * true[0])


@pytest.mark.parametrize("order", [(1, 2, 3, 20, 27), (27, 20, 3, 2, 1), (5, 4, 6, 11, 10)])
def test_ranks_in_any_order_have_the_same_factors(order):
    weight = matrix((40, 27))
    found = BalancedSVD(weight)
    for rank in order:
        left, right = found.factors(weight, rank)
        true_left, true_right = BalancedSVD(weight).factors(weight, rank)
        assert left @ right == pytest.approx(true_left @ true_right, abs=1e-5)


def test_vectors_are_computed_where_they_are_asked_for_only(monkeypatch):
    asked, kept = [], svd._Tridiagonal.vectors
    monkeypatch.setattr(svd._Tridiagonal, "vectors", lambda self, count: (asked.append(count), kept(self, count))[1])
    weight = matrix((40, 27))
    found = BalancedSVD(weight)
    assert len(found.singular_values) == 27 and asked == []
    for rank in 4, 4, 9, 27, 27, 4:
        found.factors(weight, rank)
    assert asked == [4, 9, 27, 4]


def test_no_rank_at_all_and_more_than_there_are():
    weight = matrix((6, 9))
    found = BalancedSVD(weight)
    for rank, has in ((3, 3), (0, 0), (6, 6), (8, 6), (0, 0)):
        left, right = found.factors(weight, rank)
        assert left.shape == (6, has) and right.shape == (has, 9)


def test_factors_do_not_depend_on_what_was_asked_before():
    weight = np.kron(np.eye(4, dtype=np.float32), matrix((6, 9)))  # every value four times
    found = BalancedSVD(weight)
    found.factors(weight, 17)
    for mine, other in zip(found.factors(weight, 5), BalancedSVD(weight).factors(weight, 5)):
        assert np.array_equal(mine, other)


@pytest.mark.parametrize("weight, rank", [
    (np.zeros((6, 9), np.float32), 2), (np.outer(np.arange(1, 7), np.ones(9)).astype(np.float32), 4),
    (np.eye(6, 9, dtype=np.float32), 6), (np.diag([3e-30, 2e-30, 1e-30]).astype(np.float32), 3),
    (1e30 * matrix((6, 9)), 6)])
def test_what_is_degenerate_tiny_or_huge(weight, rank):
    found = BalancedSVD(weight)
    assert np.isfinite(found.singular_values).all()
    assert error(found, weight.astype(np.float64), rank) <= 3e-6 * np.linalg.norm(weight.astype(np.float64))


def test_factors_are_the_same_to_the_bit_however_many_threads_there_are(monkeypatch):
    matrix = np.random.RandomState(0).randn(12, 9000).astype(np.float32)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("accnn.core.threads.threads_wanted", lambda threads=threads: threads)
        found.append(BalancedSVD(matrix).factors(matrix, 5))
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)

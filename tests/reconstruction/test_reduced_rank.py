"""Reduced rank regression against the generalised SVD of section 3.2, written out; and the PCA of equation 4."""
import numpy as np
import pytest
from scipy import linalg

from accnn.reconstruction.layer import projection, regressed


def generalised_svd(z, y):
    """U, S, V of M^ = Z Y^T (Y Y^T)^-1 = U S V^T with U^T U = I and V^T Y Y^T V = I: all columns of samples."""
    gram = y @ y.T
    root = np.real(linalg.sqrtm(gram))
    u, s, rest = np.linalg.svd(z @ y.T @ np.linalg.inv(gram) @ root)
    v = np.linalg.solve(root, rest.T)
    np.testing.assert_allclose(v.T @ gram @ v, np.eye(len(y)), atol=1e-7)
    return u, s, v


def samples(seed=0, outputs=6, n=300):
    rng = np.random.RandomState(seed)
    y = (rng.standard_normal((outputs, outputs)) * 0.6 ** np.arange(outputs)) @ rng.standard_normal((outputs, n))
    z = y + 0.3 * rng.standard_normal((outputs, outputs)) @ y + 0.2 * rng.standard_normal((outputs, n))
    return z - z.mean(1, keepdims=True), y - y.mean(1, keepdims=True)


@pytest.mark.parametrize("rank", range(1, 7))
def test_the_solution_is_that_of_the_paper(rank):
    z, y = samples()
    u, s, v = generalised_svd(z, y)
    out, back = projection(regressed(z @ y.T, y @ y.T), y @ y.T, rank, np.ones(6))
    assert out.shape == (6, rank) and back.shape == (rank, 6)
    np.testing.assert_allclose(out @ back, u[:, :rank] * s[:rank] @ v[:, :rank].T, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_symmetric_responses_give_their_principal_axes(rank):
    _, y = samples()
    axes = np.linalg.eigh(y @ y.T)[1][:, ::-1][:, :rank]
    out, back = projection(regressed(y @ y.T, y @ y.T), y @ y.T, rank, np.ones(6))
    np.testing.assert_allclose(out @ back, axes @ axes.T, atol=1e-6)


def test_no_other_map_of_that_rank_is_better():
    z, y = samples()
    importance = np.array([1, 0.1, 2, 1, 0.5, 1])
    out, back = projection(regressed(z @ y.T, y @ y.T), y @ y.T, 2, importance)

    def missed(m):
        return (importance[:, None] * np.square(z - m @ y)).sum()

    best, rng = missed(out @ back), np.random.RandomState(0)
    for size in (1e-3, 1e-2, 1e-1, 1):
        for _ in range(50):
            near = (out + size * rng.standard_normal(out.shape)) @ (back + size * rng.standard_normal(back.shape))
            assert missed(near) >= best


def test_responses_of_fewer_dimensions_than_wanted():
    y = np.random.RandomState(0).standard_normal((6, 2)) @ np.random.RandomState(1).standard_normal((2, 100))
    out, back = projection(regressed(y @ y.T, y @ y.T), y @ y.T, 4, np.ones(6))
    assert np.isfinite(out).all() and np.isfinite(back).all()
    np.testing.assert_allclose(out @ back @ y, y, atol=1e-5)
    out, back = projection(np.zeros((6, 6)), np.zeros((6, 6)), 2, np.ones(6))
    assert not (out @ back).any()

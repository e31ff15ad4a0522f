"""Factors of a chain against brute force: dense kernels read off by impulses, least squares by NumPy."""
import functools
import itertools

import numpy as np
import pytest

from accnn.core.layers import SubConv
from accnn.reconstruction import quadratic
from accnn.reconstruction.fitting import (
    ChainFit,
    Target,
    as_matrix,
    balanced,
    flat_kernel,
    from_matrix,
    from_spatial_first,
    seen_by_last,
    to_spatial_first,
)
from accnn.reconstruction.moments import Accumulator
from accnn.reconstruction.quadratic import solve_positive
from reference import relative_error, run_chain

SHAPES = {  # (out, in, kh, kw) of every part
    "vh": [(4, 3, 3, 1), (5, 4, 1, 3)],
    "channel": [(2, 3, 3, 2), (5, 2, 1, 1)],
    "3d": [(4, 3, 3, 1), (3, 4, 1, 3), (5, 3, 1, 1)],
    "tucker": [(2, 3, 1, 1), (3, 2, 3, 3), (5, 3, 1, 1)],
    "cp": [(2, 3, 1, 1), (2, 2, 3, 1), (2, 2, 1, 3), (5, 2, 1, 1)],
    "fc": [(3, 8, 1, 1), (5, 3, 1, 1)],
    "one": [(5, 3, 2, 2)],
}
GROUPED = {  # (out, in/groups, kh, kw) of every part, and its groups
    "cp": [((4, 3, 1, 1), 1), ((4, 1, 3, 1), 4), ((4, 1, 1, 3), 4), ((5, 4, 1, 1), 1)],
    "cp3": [((4, 3, 1, 1), 1), ((4, 1, 3, 3), 4), ((5, 4, 1, 1), 1)],
    "btd": [((4, 3, 1, 1), 1), ((6, 2, 3, 2), 2), ((5, 6, 1, 1), 1)],
    "grouped first": [((6, 2, 3, 1), 2), ((5, 6, 1, 3), 1)],
}
every_group = pytest.mark.parametrize("shapes", GROUPED.values(), ids=list(GROUPED))
every_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=list(SHAPES))


def weights(shapes, seed=0):
    rng = np.random.RandomState(seed)
    return [rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for shape in shapes]


def kernel_size(shapes):
    return max(shape[2] for shape in shapes), max(shape[3] for shape in shapes)


def parts(shapes):
    return [SubConv("", shape[1], shape[0], shape[2:], bias=False) for shape in shapes]


def by_impulses(factors, window):
    """Kernel (N, D) of a chain: what it answers to unit patches."""
    shapes = [factor.shape for factor in factors]
    size = shapes[0][1] * window[0] * window[1]
    patches = np.eye(size).reshape((size, shapes[0][1]) + window)
    return run_chain(patches, parts(shapes), [(factor, None) for factor in factors]).reshape(size, -1).T


def target(shapes, seed=0, n=500, importance=None, ridge=0.0, outputs=5):
    """A Target, the samples it stands for, and the layer's own kernel."""
    rng = np.random.RandomState(seed)
    size = shapes[0][1] * np.prod(kernel_size(shapes))
    mixing = rng.standard_normal((size, size)) * 0.8 ** np.arange(size)
    x = rng.standard_normal((n, size)) @ mixing.T
    kernel = rng.standard_normal((outputs, size)) / np.sqrt(size)
    y = x @ kernel.T + 0.1 * rng.standard_normal((n, outputs))
    sums = Accumulator(size, outputs)
    sums.add(x, y)
    return Target(sums.moments(), kernel, ridge, importance), x - x.mean(0), y - y.mean(0), kernel


def missed(fit, x, y, importance=1.0):
    """The objective, by plain residuals."""
    factors = [from_spatial_first(lift) for lift in fit.lifts]
    window = kernel_size([factor.shape for factor in factors])
    return float((np.square(x @ by_impulses(factors, window).T - y).mean(0) * importance).sum())


@every_shape
def test_a_chain_is_the_dense_kernel_that_impulses_show(shapes):
    factors = weights(shapes)
    window = kernel_size(shapes)
    lifts = [to_spatial_first(factor) for factor in factors]
    assert relative_error(flat_kernel(lifts), by_impulses(factors, window)) < 1e-12
    assert relative_error(as_matrix(lifts[-1]) @ seen_by_last(lifts), by_impulses(factors, window)) < 1e-12
    for factor, lift in zip(factors, lifts):
        np.testing.assert_array_equal(from_spatial_first(lift), factor)
        np.testing.assert_array_equal(from_matrix(as_matrix(lift), lift.shape), lift)


def test_groups_are_blocks_of_a_dense_kernel():
    grouped = np.random.RandomState(0).standard_normal((6, 2, 3, 3))
    x = np.random.RandomState(1).standard_normal((4, 4, 3, 3))
    dense = from_spatial_first(to_spatial_first(grouped, 2))
    wanted = run_chain(x, [SubConv("", 4, 6, (3, 3), groups=2, bias=False)], [(grouped, None)])
    assert relative_error(run_chain(x, [SubConv("", 4, 6, (3, 3), bias=False)], [(dense, None)]), wanted) < 1e-12


@every_shape
def test_the_last_part_is_lstsq_on_what_the_parts_before_it_make(shapes):
    wanted, x, y, _ = target(shapes)
    factors, window = weights(shapes), kernel_size(shapes)
    fit = ChainFit([to_spatial_first(factor) for factor in factors], wanted)
    fit.solve_last()
    made = x
    if len(shapes) > 1:
        patches = x.reshape((-1, shapes[0][1]) + window)
        maps = run_chain(patches, parts(shapes[:-1]), [(factor, None) for factor in factors[:-1]])
        made = maps.reshape(len(x), -1)  # (in, kh, kw): what the last part, which covers all of it, reads
    solution = np.linalg.lstsq(made, y, rcond=None)[0]
    assert relative_error(x @ fit.kernel().T, made @ solution) < 1e-6


@pytest.mark.parametrize("importance", [None, np.array([1, 0.01, 0.5, 2, 1])])
@every_shape
def test_sweeps_never_lose(shapes, importance):
    wanted, x, y, _ = target(shapes, importance=importance)
    weight = 1.0 if importance is None else importance
    for seed in range(3):
        fit = ChainFit([to_spatial_first(factor) for factor in weights(shapes, seed)], wanted)
        errors = [missed(fit, x, y, weight)]
        for step in itertools.chain([fit.solve_last], [fit.sweep] * 6):
            step()
            errors.append(missed(fit, x, y, weight))
        assert all(after <= before * (1 + 1e-9) for before, after in zip(errors, errors[1:]))


@pytest.mark.parametrize("name", ["vh", "channel", "3d", "tucker"])
def test_sweeps_reach_what_brute_force_reaches(name):
    """Alternating least squares with the design matrix of every part written out, from the same starts."""
    shapes = SHAPES[name]
    wanted, x, y, _ = target(shapes, n=120)
    ours, theirs = [], []
    for seed in range(2):
        fit = ChainFit([to_spatial_first(factor) for factor in weights(shapes, seed)], wanted)
        fit.solve_last()
        for _ in range(80):
            fit.sweep()
        ours.append(missed(fit, x, y))
        theirs.append(brute_force(weights(shapes, seed), x, y, sweeps=12))
    assert min(ours) <= 1.02 * min(theirs)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("importance", [None, np.array([1, 0.01, 0.5, 2, 1])])
@every_group
def test_sweeps_over_groups_never_lose_and_keep_the_blocks(monkeypatch, shapes, importance, dense):
    monkeypatch.setattr(quadratic, "_DENSE", 5000 if dense else 0)
    inputs = [(shape[0], shape[1] * groups) + shape[2:] for shape, groups in shapes]
    wanted, x, y, _ = target(inputs, importance=importance)
    weight = 1.0 if importance is None else importance
    lifts = [to_spatial_first(factor, groups) for factor, (_, groups) in zip(weights([shape for shape, _ in shapes]),
                                                                             shapes)]
    fit = ChainFit(lifts, wanted, [groups for _, groups in shapes])
    fit.solve_last()
    errors = [missed(fit, x, y, weight)]
    for _ in range(6):
        fit.sweep()
        errors.append(missed(fit, x, y, weight))
    assert all(after <= before * (1 + 1e-9) for before, after in zip(errors, errors[1:]))
    assert errors[-1] < 0.99 * errors[0]
    for before, after in zip(lifts, fit.lifts):
        assert not after[before == 0].any() and after[before != 0].all()


@pytest.mark.parametrize("dense", [True, False])
@every_group
def test_sweeps_over_groups_reach_what_brute_force_reaches(monkeypatch, shapes, dense):
    monkeypatch.setattr(quadratic, "_DENSE", 5000 if dense else 0)
    wanted, x, y, _ = target(inputs_of(shapes), n=120)
    ours = []
    for factors in starts(shapes):
        fit = ChainFit([to_spatial_first(factor) for factor in factors], wanted, [groups for _, groups in shapes])
        fit.solve_last()
        for _ in range(80):
            fit.sweep()
        ours.append(missed(fit, x, y))
    assert min(ours) <= 1.02 * least_by_brute_force(tuple(shapes))


def inputs_of(shapes):
    return [(shape[0], shape[1] * groups) + shape[2:] for shape, groups in shapes]


def starts(shapes):
    """Factors, zero outside of their groups, of two seeds."""
    return [[from_spatial_first(to_spatial_first(factor, groups)) for factor, (_, groups) in zip(
        weights([shape for shape, _ in shapes], seed), shapes)] for seed in range(2)]


@functools.lru_cache(maxsize=None)
def least_by_brute_force(shapes):
    """The same whatever way the quadratic problems are solved."""
    _, x, y, _ = target(inputs_of(shapes), n=120)
    return min(brute_force(factors, x, y, sweeps=12) for factors in starts(shapes))


def brute_force(factors, x, y, sweeps):
    window = kernel_size([factor.shape for factor in factors])
    for _ in range(sweeps):
        for place in reversed(range(len(factors))):
            columns, free = [], np.flatnonzero(factors[place])  # what is zero at the start is outside of the groups
            for unit in np.eye(factors[place].size)[free]:
                trial = list(factors)
                trial[place] = unit.reshape(factors[place].shape)
                columns.append((x @ by_impulses(trial, window).T).ravel())
            solution = np.zeros(factors[place].size)
            solution[free] = np.linalg.lstsq(np.array(columns).T, y.ravel(), rcond=None)[0]
            factors = factors[:place] + [solution.reshape(factors[place].shape)] + factors[place + 1:]
    return float(np.square(x @ by_impulses(factors, window).T - y).mean(0).sum())


def test_a_ridge_pulls_towards_the_kernel_itself():
    shapes = SHAPES["one"]
    for ridge, close in ((1e9, True), (1e-9, False)):
        wanted, x, y, kernel = target(shapes, ridge=ridge)
        fit = ChainFit([to_spatial_first(weights(shapes)[0])], wanted)
        fit.solve_last()
        regression = np.linalg.lstsq(x, y, rcond=None)[0].T
        assert relative_error(fit.kernel(), kernel if close else regression) < 1e-5


def test_singular_matrices_are_solved():
    half = np.random.RandomState(0).standard_normal((6, 3))
    right = half @ np.random.RandomState(1).standard_normal((3, 2))
    for matrix in (half @ half.T, np.zeros((6, 6))):
        assert np.isfinite(solve_positive(matrix, right)).all()
    assert relative_error(half @ half.T @ solve_positive(half @ half.T, right), right) < 1e-4


@pytest.mark.parametrize("shapes", [SHAPES["vh"], SHAPES["3d"], SHAPES["cp"], SHAPES["one"]])
def test_balancing_keeps_the_chain_and_makes_channels_equally_large(shapes):
    lifts = [to_spatial_first(factor) for factor in weights(shapes)]
    lifts[0] = lifts[0] * np.geomspace(1e-3, 1e3, lifts[0].shape[2])[:, None]
    even = balanced(lifts)
    assert relative_error(flat_kernel(even), flat_kernel(lifts)) < 1e-12
    for before, after in zip(even, even[1:]):
        made, read = np.sqrt(np.square(before).sum((0, 1, 3))), np.sqrt(np.square(after).sum((0, 1, 2)))
        np.testing.assert_allclose(made, read, rtol=1e-2)


def test_balancing_leaves_channels_that_nothing_makes_or_reads():
    lifts = [to_spatial_first(factor) for factor in weights(SHAPES["vh"])]
    lifts[0][:, :, 1] = 0
    lifts[1][..., 2] = 0
    even = balanced(lifts)
    assert all(np.isfinite(lift).all() for lift in even)
    assert relative_error(flat_kernel(even), flat_kernel(lifts)) < 1e-12

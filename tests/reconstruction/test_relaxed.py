"""The nonlinear solution: its objective falls, and its steps are the regressions and minima of the paper."""
import numpy as np
import pytest

from accnn.graph.following import PostOps
from accnn.reconstruction import layer, nonlinear
from accnn.reconstruction.nonlinear import auxiliary
from reference import relative_error

RELU = "relu", {}


def samples(n=400, width=6, outputs=5, seed=0):
    rng = np.random.RandomState(seed)
    features = (rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + 0.3).astype(np.float32)
    responses = features @ rng.standard_normal((width, outputs)) + rng.standard_normal((n, outputs)) + 0.5
    return features, responses.astype(np.float32)


def linear(features, responses):
    with_one = np.concatenate([features, np.ones((len(features), 1))], 1)
    solution = np.linalg.lstsq(with_one.astype(np.float64), responses.astype(np.float64), rcond=None)[0]
    return solution[:-1].T, solution[-1]


def post_ops(outputs=5, scale=1.0, shift=0.0, nonlinearity=RELU):
    return PostOps(np.ones(outputs) * scale, np.zeros(outputs) + shift, nonlinearity)


def relu(y):
    return np.maximum(y, 0)


def objective(z, slope, bias, features, true, how, penalty):
    predicted = (features @ slope.T + bias) * how.scale + how.shift
    return np.square(relu(true) - relu(z)).sum() + penalty * np.square(z - predicted).sum()


SCALES = {"plain": (1.0, 0.0), "batch norm": (np.array([0.5, -2.0, 1.0, 0.1, 3.0]), np.array([0.2, 1, 0, -1, 0.5]))}


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("scale, shift", SCALES.values(), ids=list(SCALES))
def test_the_objective_falls_at_each_penalty(monkeypatch, scale, shift, rank):
    features, responses = samples()
    how = post_ops(scale=scale, shift=shift)
    true, seen = responses * how.scale + how.shift, []

    def watched(y, predicted, penalty, activation):
        z = auxiliary(y, predicted, penalty, activation)
        seen.append((penalty, np.square(relu(y) - relu(z)).sum(dtype=np.float64)
                     + penalty * np.square(z - predicted).sum(dtype=np.float64)))
        return z

    monkeypatch.setattr(nonlinear, "auxiliary", watched)
    truncate = rank and (lambda slope, gram: np.matmul(*layer.projection(slope, gram, rank, how.importance)))
    slope, bias = linear(features, responses)
    nonlinear.relaxed(features, responses, (slope, bias), how, 0.0, truncate)
    assert [penalty for penalty, _ in seen] == [0.01] * 25 + [1.0] * 25
    for start in (0, 25):
        values = [value for _, value in seen[start + (rank is not None):start + 25]]
        assert all(after <= before * (1 + 1e-5) for before, after in zip(values, values[1:]))
        assert values[-1] < values[0]
    assert np.isfinite(true).all()


def test_the_error_behind_the_activation_falls_below_the_linear_one():
    features, responses = samples()
    start = linear(features, responses)
    slope, bias = nonlinear.relaxed(features, responses, start, post_ops(), 0.0)
    errors = [np.square(relu(responses) - relu(features @ a.T + b)).sum() for a, b in (start, (slope, bias))]
    assert errors[1] < errors[0]
    share = np.square(relu(responses) - relu(responses).mean(0)).sum()
    for (a, b), error in zip((start, (slope, bias)), errors):
        found = nonlinear.activated_error(features, responses, a, b, post_ops())
        assert found == pytest.approx(error / share, rel=1e-4)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 100.0])
def test_without_an_activation_it_stays_at_the_linear_solution(ridge):
    """The regression of the true responses, pulled towards itself: nothing moves, whatever the pull."""
    features, responses = samples()
    start = linear(features, responses)
    slope, bias = nonlinear.relaxed(features, responses, start, post_ops(nonlinearity=None), ridge)
    assert relative_error(slope, start[0]) < 1e-4 and relative_error(bias, start[1]) < 1e-3


def test_outputs_that_batch_norm_hides_keep_the_linear_solution():
    features, responses = samples()
    start = linear(features, responses)
    how = post_ops(scale=np.array([1.0, 0.0, 0.0, 1e-9, 2.0]))
    slope, bias = nonlinear.relaxed(features, responses, start, how, 0.0)
    assert relative_error(slope[1:4], start[0][1:4]) < 1e-3 and np.isfinite(slope).all() and np.isfinite(bias).all()
    assert relative_error(slope[4], start[0][4]) > 1e-3


def test_all_outputs_hidden():
    features, responses = samples()
    slope, bias = nonlinear.relaxed(features, responses, linear(features, responses), post_ops(scale=0.0), 0.1)
    assert np.isfinite(slope).all() and np.isfinite(bias).all()
    assert (post_ops(scale=0.0).importance > 0).all()

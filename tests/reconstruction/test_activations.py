"""Activations against MXNet's operators; the auxiliary variables against trying everything."""
import time

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.reconstruction import activations
from accnn.reconstruction.nonlinear import auxiliary, objective

SLOPES = np.array([0.25, 0.0, -0.3, 1.5, 0.01])
CASES = {
    "identity": (None, lambda y: y),
    "relu": (("relu", {}), mx.nd.relu),
    "leaky": (("leaky", {"slope": 0.1}), lambda y: mx.nd.LeakyReLU(y, slope=0.1)),
    "prelu": (("leaky", {"slope": SLOPES}), lambda y: mx.nd.LeakyReLU(y, mx.nd.array(SLOPES, dtype=y.dtype),
                                                                         act_type="prelu")),
    "relu6": (("clip", {"low": 0.0, "high": 6.0}), lambda y: mx.nd.clip(y, 0, 6)),
    "half open": (("clip", {"low": -1.0, "high": np.inf}), lambda y: mx.nd.clip(y, -1, np.inf)),
    "hard_sigmoid": (("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}), mx.nd.hard_sigmoid),
    "sigmoid": (("sigmoid", {}), mx.nd.sigmoid),
    "tanh": (("tanh", {}), mx.nd.tanh),
    "softrelu": (("softrelu", {}), lambda y: mx.nd.Activation(y, act_type="softrelu")),
    "softsign": (("softsign", {}), mx.nd.softsign),
    "elu": (("elu", {"slope": 0.25}), lambda y: mx.nd.LeakyReLU(y, act_type="elu")),
    "falling elu": (("elu", {"slope": -1.0}), lambda y: mx.nd.LeakyReLU(y, act_type="elu", slope=-1)),
    "selu": (("selu", {}), lambda y: mx.nd.LeakyReLU(y, act_type="selu")),
    "gelu": (("gelu", {}), lambda y: mx.nd.LeakyReLU(y, act_type="gelu")),
}
every_case = pytest.mark.parametrize("description, operator", CASES.values(), ids=list(CASES))


def responses(n=60, scale=3.0, seed=0, dtype=np.float64):
    """What a network has before an activation, and what an approximated one has: two arrays of shape (n, 5)."""
    rng = np.random.RandomState(seed)
    y = rng.standard_normal((n, 5)) * scale
    return y.astype(dtype), (y + rng.standard_normal((n, 5)) * scale * rng.uniform(0, 2, (n, 1))).astype(dtype)


def least(y, predicted, penalty, activation, points=8001):
    """The lowest objective on a fine grid around `predicted` that reaches `y` and as far on the other side."""
    reach = np.abs(y - predicted)
    # Many at a time: the loop takes longer than the arithmetic.
    return np.min([objective(y, predicted, penalty, activation, predicted + shares[:, None, None] * reach).min(axis=0)
                   for shares in np.array_split(np.linspace(-1, 1, points), points // 100)], axis=0)


def test_every_kind_is_tested():
    assert {(description or ("identity",))[0] for description, _ in CASES.values()} == set(activations.names())


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_those_of_mxnet(description, operator, dtype):
    y = np.concatenate([np.linspace(-100, 100, 2001), np.linspace(-6, 6, 5000), [0.0] * 4]).reshape(-1, 5).astype(dtype)
    made = activations.get(description)(y)
    wanted = operator(mx.nd.array(y, dtype=dtype)).asnumpy()
    assert made.dtype == dtype and made.shape == y.shape
    # oneDNN's softrelu stays at 8e-6 where it should vanish.
    tolerance = 1e-5 if description == ("softrelu", {}) and dtype == np.float32 else 1e-6
    assert (np.abs(made - wanted) <= tolerance * np.maximum(1, np.abs(wanted))).all()


@every_case
def test_monotone_and_pieces_are_what_they_say(description, operator):
    activation, y = activations.get(description), np.repeat(np.linspace(-9, 9, 3001)[:, None], 5, axis=1)
    assert activation.monotone == (np.diff(activation(y), axis=0) >= 0).all()
    for piece in activation.pieces or ():
        on = (y >= piece.low) & (y <= piece.high)
        assert on.any()
        assert np.allclose(activation(y)[on], (piece.slope * y + piece.intercept)[on], atol=1e-12)


@every_case
@pytest.mark.parametrize("penalty", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("scale", [0.5, 3.0, 20.0])
def test_nothing_is_better_than_the_auxiliary_variables(description, operator, penalty, scale):
    activation = activations.get(description)
    y, predicted = responses(scale=scale)
    z = auxiliary(y, predicted, penalty, activation)
    reached = objective(y, predicted, penalty, activation, z)
    for other in (y, predicted):
        assert (reached <= objective(y, predicted, penalty, activation, other) * (1 + 1e-9) + 1e-15).all()
    best = least(y, predicted, penalty, activation)
    if activation.pieces is not None:
        assert (reached <= best + 1e-12).all()
    else:  # a search may miss a valley that is hardly deeper than the one it found
        assert np.mean(reached <= best * (1 + 1e-3) + 1e-6) >= 0.99
        assert reached.sum() <= best.sum() * (1 + 1e-3)


def test_relu_is_equations_10_and_11():
    y, predicted = responses(2000)
    for penalty in (0.01, 1.0):
        z0 = np.minimum(0, predicted)
        z1 = np.maximum(0, (penalty * predicted + np.maximum(y, 0)) / (penalty + 1))
        relu = activations.get(("relu", {}))
        f0, f1 = (objective(y, predicted, penalty, relu, z) for z in (z0, z1))
        assert np.allclose(auxiliary(y, predicted, penalty, relu), np.where(f1 < f0, z1, z0), rtol=1e-12, atol=1e-15)


def test_where_both_networks_are_off_nothing_moves():
    y, predicted = -np.abs(responses()[0]), -np.abs(responses()[1])
    assert (auxiliary(y, predicted, 0.01, activations.get(("relu", {}))) == predicted).all()


@every_case
def test_a_perfect_prediction_stays(description, operator):
    y, _ = responses()
    z = auxiliary(y, y.copy(), 0.01, activations.get(description))
    assert np.allclose(z, y, rtol=1e-14, atol=1e-15)


@every_case
def test_single_precision_does_as_well_in_the_same_type(description, operator):
    activation, (y, predicted) = activations.get(description), responses(200, dtype=np.float32)
    z = auxiliary(y, predicted, 0.01, activation)
    assert z.dtype == np.float32 and auxiliary(y, predicted.astype(np.float64), 0.01, activation).dtype == np.float64
    wide = [array.astype(np.float64) for array in (y, predicted)]
    exact = auxiliary(*wide, 0.01, activation)
    assert (objective(*wide, 0.01, activation, z.astype(np.float64)).sum()
            <= objective(*wide, 0.01, activation, exact).sum() * (1 + 1e-4))


@every_case
def test_chunks_do_not_show_and_nothing_is_written_to(description, operator):
    activation, (y, predicted) = activations.get(description), responses(7000)
    kept = y.copy(), predicted.copy()
    z = auxiliary(y, predicted, 1.0, activation)
    assert (z == auxiliary(y, predicted, 1.0, activation)).all()
    assert np.allclose(z[5000:], auxiliary(y[5000:], predicted[5000:], 1.0, activation), rtol=1e-12, atol=1e-12)
    assert (y == kept[0]).all() and (predicted == kept[1]).all()
    assert auxiliary(y[:0], predicted[:0], 1.0, activation).shape == (0, 5)


@pytest.mark.parametrize("kind, seconds", [("relu", 1.0), ("sigmoid", 20.0)])
def test_millions_of_responses_take_no_time(kind, seconds):
    """Ten times what it takes here, for machines that are slow."""
    rng = np.random.RandomState(0)
    y, change = (rng.standard_normal((20000, 256)).astype(np.float32) for _ in range(2))
    start = time.process_time()
    auxiliary(y, y + change, 0.01, activations.get((kind, {})))
    assert time.process_time() - start < seconds

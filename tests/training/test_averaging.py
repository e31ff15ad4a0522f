"""The running average and the statistics that fit it, against plain NumPy in double precision."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.runtime.distributed import Job
from accnn.training.averaging import WeightAverage, estimated_statistics
from accnn.training.trainer import Steps
from networks import random_model
from reference import convolve
from trainers import CLASSES, SHAPE, arrays, batch, small_model, train, trainer


def test_every_update_counts_until_the_horizon_and_older_ones_fade():
    random, average, mean = np.random.RandomState(0), WeightAverage(4), None
    for number in range(1, 12):
        weights = random.normal(size=(3, 5))
        mean = weights if mean is None else mean + (weights - mean) / min(number, 4)
        average.add({"w": mx.nd.array(weights)}, number)
        np.testing.assert_allclose(average.arrays["w"].asnumpy(), mean, atol=1e-6)


@pytest.mark.parametrize("horizon, period", [(100, 1), (127, 1), (128, 2), (255, 2), (500, 4), (781, 8)])
def test_of_a_long_horizon_every_kth_update_is_looked_at_and_counts_for_k(horizon, period):
    random, average, mean = np.random.RandomState(0), WeightAverage(horizon), None
    for number in range(1, 901):
        value = number / 100 + random.normal()
        average.add({"w": mx.nd.array([value])}, number)
        if number < period:
            assert not average.arrays
        elif number % period == 0:
            mean = value if mean is None else mean + (value - mean) * period / min(number, horizon)
        if mean is not None:
            np.testing.assert_allclose(average.arrays["w"].asscalar(), mean, rtol=1e-4, atol=1e-5)
    assert 64 <= horizon / period < 128


def test_of_a_trainer():
    made, steps = trainer(small_model(), steps=Steps(horizon=100), frozen=["fc_bias"]), []
    for step in range(4):
        made.step(*(mx.nd.array(array) for array in batch(step)), 1, step)
        steps.append(arrays(made.model()))
    result = arrays(made.result([]))
    for name in result:
        np.testing.assert_allclose(result[name], np.mean([step[name] for step in steps], 0), atol=1e-6, err_msg=name)
    plain = trainer(small_model(), frozen=["fc_bias"])
    train(plain, 4)
    assert all(np.array_equal(array, steps[-1][name]) for name, array in arrays(plain.model()).items())


def normalised_model():
    """Two normalised convolutions behind one another, on another axis the last, and dropout between."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=3, name="one", no_bias=True)
    x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, eps=1e-3, name="bn1"), act_type="relu")
    x = mx.sym.Convolution(mx.sym.Dropout(x, p=0.5), kernel=(2, 2), num_filter=4, name="two", no_bias=True)
    x = mx.sym.Flatten(mx.sym.BatchNorm(x, name="bn2"))
    return random_model(mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=CLASSES, name="fc")), data=SHAPE)


def test_statistics_against_numpy():
    model = normalised_model()
    values = {name: array.astype(float) for name, array in arrays(model).items()}
    batches = [batch(number)[0] + 30 for number in range(3)]  # a mean that is large beside the variance
    first, second = [], []
    for images in batches:
        maps = convolve(images.astype(float), values["one_weight"], None)
        first.append(maps)
        maps = (maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-3)
        gamma, beta = (values["bn1_" + name].reshape(1, -1, 1, 1) for name in ("gamma", "beta"))
        second.append(convolve(np.maximum(gamma * maps + beta, 0), values["two_weight"], None))
    found = estimated_statistics(model, {"data": SHAPE}, map(mx.nd.array, batches), Job(), mx.cpu())
    found = {name: array.asnumpy() for name, array in found.items()}
    for name, maps in (("bn1", np.concatenate(first)), ("bn2", np.concatenate(second))):
        np.testing.assert_allclose(found[name + "_moving_mean"], maps.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[name + "_moving_var"], maps.var((0, 2, 3)), rtol=1e-3)
    assert len(found) == 4


@pytest.mark.parametrize("frozen", [[], ["bn2_beta"], ["bn1_gamma", "bn1_beta"]])
def test_frozen_layers_keep_their_statistics_and_use_them(frozen):
    """Gamma of the second one is fixed at 1."""
    model = normalised_model()
    made = trainer(model, frozen=frozen, steps=Steps(horizon=5))
    train(made)
    before, after = arrays(made.model()), arrays(made.result([mx.nd.array(batch(0)[0])]))
    moved = {name for name in after if name.endswith(("mean", "var")) and not np.array_equal(after[name], before[name])}
    stay = {name[:3] for name in frozen}
    assert moved == {name for name in after if name.endswith(("mean", "var")) and name[:3] not in stay}
    if stay == {"bn1"}:
        values = {name: array.astype(float).reshape(1, -1, 1, 1) for name, array in after.items() if "bn1" in name}
        maps = convolve(batch(0)[0].astype(float), after["one_weight"].astype(float), None)
        maps = (maps - values["bn1_moving_mean"]) / np.sqrt(values["bn1_moving_var"] + 1e-3)
        maps = convolve(np.maximum(values["bn1_gamma"] * maps + values["bn1_beta"], 0), after["two_weight"], None)
        np.testing.assert_allclose(after["bn2_moving_mean"], maps.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)

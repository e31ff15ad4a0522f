"""What an INT8 convolution computes, number by number, in plain NumPy: steps, rounding, clipping, bias."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.quantization.stored import quantized_weights
from int8_networks import conv, forward, gaussian, in_int8, ranges, relu
from networks import random_model
from reference import convolve


def stored(values, threshold, unsigned):
    """(whole numbers, step) of a tensor: the threshold is 127.5 or 255.5 steps."""
    step = threshold / (255.5 if unsigned else 127.5)
    return np.clip(np.rint(values / step), 0 if unsigned else -128, 255 if unsigned else 127), step


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("unsigned", [False, True])
def test_a_convolution(unsigned, activated):
    x = np.abs(gaussian(2, 8, 9, 9)) if unsigned else gaussian(2, 8, 9, 9)
    symbol = conv(mx.sym.Variable("data"), "c1", 6)
    model = random_model(relu(symbol, "r") if activated else symbol, data=x.shape[1:])
    low, high = zip(*ranges(model, data=x).values())
    thresholds = np.maximum(np.abs(low), np.abs(high))
    weight, bias = model.weight("c1_weight"), model.weight("c1_bias")
    whole, step = stored(x, thresholds[0], unsigned)
    steps = step * np.abs(weight).max(axis=(1, 2, 3)) / 127.5  # of the sums, for every output channel
    sums = convolve(whole, quantized_weights(weight)[0], np.rint(bias / steps), pad=(1, 1)) * steps[:, None, None]
    whole, step = stored(np.maximum(sums, 0) if activated else sums, thresholds[1], activated)
    np.testing.assert_allclose(forward(in_int8(model, data=x), data=x)[0], whole * step, rtol=1e-5, atol=1e-6)

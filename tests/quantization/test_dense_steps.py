"""INT8 fully connected layers: no gain is lost, and with a step for every output biases are not rounded to 8 bits."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.quantization.choice import ranges
from accnn.quantization.histograms import histograms
from accnn.quantization.int8_graph import quantize
from accnn.reconstruction.images import ArrayImages
from accnn.runtime.predictor import Predictor
from networks import random_input, random_model

SHAPES = {"data": (32,)}
ROWS = random_input(2000, 32)


def layer(bias):
    model = random_model(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=48, name="fc"), 0, data=(32,))
    draw = np.random.RandomState(1)
    arrays = {"fc_weight": mx.nd.array(draw.randn(48, 32) * np.geomspace(0.1, 1, 48)[:, None]),
              "fc_bias": mx.nd.array(bias * draw.randn(48))}
    return type(model)(model.graph, arrays, {})


def errors(bias, **options):
    """(true outputs, what INT8 adds)."""
    model = layer(bias)
    thresholds = ranges(histograms(model, ArrayImages({"data": ROWS}, 500), SHAPES), "naive")
    true = ROWS @ model.weight("fc_weight").T + model.weight("fc_bias")
    made = Predictor(quantize(model, thresholds, **options), SHAPES, len(ROWS)).forward(mx.nd.array(ROWS))[0].asnumpy()
    return true, made - true


@pytest.mark.parametrize("options", [{}, {"dense_channels": True}], ids=str)
def test_outputs_are_not_smaller(options):
    """With 127 steps in the place of 127.5 they would be by 0.4%."""
    true, added = errors(0.0, **options)
    assert abs((true * added).sum() / np.square(true).sum()) < 1e-3


def test_a_step_for_every_output_rounds_neither_small_rows_nor_biases():
    _, whole = errors(10.0)
    _, each = errors(10.0, dense_channels=True)
    assert np.abs(each.mean(0)).max() < 0.1 * np.abs(whole.mean(0)).max()
    assert each[:, :10].std() < 0.5 * whole[:, :10].std()

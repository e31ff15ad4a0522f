"""Ranges and histograms of tensors are those of plain MXNet's inner outputs."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.quantization.int8_graph import calibrated_tensors, partition
from accnn.quantization.ranges import minimum_and_maximum, tensors
from int8_networks import SIDE, gaussian
from networks import chain_model, outputs

SHAPES = {"data": (3, SIDE, SIDE)}
X = gaussian(7, *SHAPES["data"])


@pytest.fixture(scope="module")
def model():
    return chain_model(side=SIDE)


def batches(size=3):
    return [{"data": X[first:first + size]} for first in range(0, len(X), size)]


def inner(model, name):
    graph = model.symbol.get_internals()[name]
    return outputs(type(model)(type(model.graph).from_symbol(graph), model.arg_params), data=X)[0]


def test_minimum_and_maximum(model):
    found = minimum_and_maximum(partition(model), SHAPES, batches())
    assert sorted(found) == sorted(calibrated_tensors(partition(model)))
    assert found["data"] == (X.min(), X.max())
    values = inner(model, "relu2_output")
    np.testing.assert_allclose(found["relu2_output"], (values.min(), values.max()), rtol=1e-5)


def test_chosen_tensors(model):
    found = [(name, values.shape) for name, values in tensors(partition(model), SHAPES, batches(4), ["relu3_output"])]
    assert found == [("relu3_output", (4, 16, SIDE, SIDE)), ("relu3_output", (3, 16, SIDE, SIDE))]


def test_nan_stays(model):
    spoilt = X.copy()
    spoilt[5] = np.nan
    found = minimum_and_maximum(partition(model), SHAPES, [{"data": spoilt[:3]}, {"data": spoilt[3:]}])
    assert np.isnan(found["data"]).all()


@pytest.mark.parametrize("given, said", [
    ([], "cannot be calibrated without images"),
    ([{"data": X[:, :, :5, :5]}], r"images of shape \(3, 5, 5\), but the input 'data' has \(3, 14, 14\)")])
def test_bad_images(model, given, said):
    with pytest.raises(AccnnError, match=said):
        minimum_and_maximum(partition(model), SHAPES, given)


def test_arrays_of_mxnet_serve_too(model):
    found = minimum_and_maximum(partition(model), SHAPES, [{"data": mx.nd.array(X)}])
    assert found == minimum_and_maximum(partition(model), SHAPES, batches(7))

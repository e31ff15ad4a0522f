"""The independent computations are right themselves: by hand, and against MXNet."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.layers import SubConv, SubFC
from networks import random_input
from reference import convolve, original_recurrence, original_spectrum, relative_error, run_chain


def test_relative_error():
    assert relative_error([3.0, 4.0], [3.0, 4.0]) == 0
    assert relative_error([3.0, 4.0], [0.0, 4.0]) == pytest.approx(0.75)
    with pytest.raises(AssertionError):
        relative_error(np.zeros((2, 1)), np.zeros((1, 2)))


def test_a_convolution_by_hand():
    picture = np.arange(9.0).reshape(1, 1, 3, 3)
    kernel = np.array([[[[1.0, 10.0]]]])
    np.testing.assert_array_equal(convolve(picture, kernel, [5.0])[0, 0], [[15, 26], [48, 59], [81, 92]])


@pytest.mark.parametrize("part", [SubConv("", 4, 6, (3, 2), (2, 1), (1, 2), (1, 2)),
                                  SubConv("", 4, 8, (2, 3), pad=(2, 0), groups=2, bias=False)])
def test_a_convolution_by_mxnet(part):
    x, weight = random_input(2, 4, 9, 8), random_input(*part.weight_shape, seed=2)
    bias = random_input(part.out_channels, seed=3) if part.bias else None
    symbol = mx.sym.Convolution(mx.sym.Variable("x"), kernel=part.kernel, stride=part.stride, pad=part.pad,
                                dilate=part.dilate, num_group=part.groups, num_filter=part.out_channels,
                                no_bias=not part.bias, name="c")
    arrays = {"x": x, "c_weight": weight, **({"c_bias": bias} if part.bias else {})}
    executor = symbol.bind(mx.cpu(), {name: mx.nd.array(array) for name, array in arrays.items()})
    made = run_chain(x, (part,), [(weight, bias)])
    assert made.shape[1:] == part.out_shape(x.shape[1:])
    assert relative_error(executor.forward()[0].asnumpy(), made) < 1e-5


def test_a_fully_connected_layer_by_hand():
    part = SubFC("", 2, 1)
    made = run_chain(np.array([[[1.0, 2.0]]]), (part,), [(np.array([[3.0, 4.0]]), [1.0])])
    np.testing.assert_array_equal(made, [[12]])


def test_the_recurrence_by_hand():
    """Two layers whose spectra are known; a budget for one unit of rank more than the least."""
    weight = np.zeros((2, 2, 1, 1))
    weight[0, 0], weight[1, 1] = 3, 1
    other = np.eye(2).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(original_spectrum(weight), [3, 1])
    # Every rank costs 4; the layers cost 4 each. At ratio 1 there is room for rank 1 twice.
    ranks, objective = original_recurrence([(weight, (1, 1)), (other, (1, 1))], 1.0)
    assert ranks == [1, 1] and objective == pytest.approx(np.log(3) + np.log(1))
    # A third layer leaves room for one more rank; doubling the second's sum is worth more than adding 1 to 3.
    ranks, _ = original_recurrence([(weight, (1, 1)), (other, (1, 1)), (np.ones((4, 4, 1, 1)), (1, 1))], 1.0)
    assert ranks[1] == 2

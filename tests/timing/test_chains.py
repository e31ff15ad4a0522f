"""Candidate chains timed by their shapes alone."""
import numpy as np
import pytest

from accnn.core.layers import SubConv, SubFC
from accnn.graph.cut import DATA
from accnn.timing.chains import random_chain, random_numbers, time_chains
from networks import outputs, random_input
from reference import relative_error, run_chain

CONV = (SubConv("", 8, 12, (3, 3), (2, 2), (1, 1)),)
SPLIT = (SubConv("_v", 8, 4, (3, 1), (2, 1), (1, 0), bias=False),
         SubConv("_h", 4, 12, (1, 3), (1, 2), (0, 1), groups=2))
MAPS = (SubConv("_r", 5, 3, (1, 1), bias=False, maps=(5, 2, 2)), SubConv("_c", 3, 16, (2, 2), bias=False),
        SubFC("_p", 16, 7))  # oneDNN lays 16 channels out in blocks
FC = (SubFC("_red", 20, 3, bias=False), SubFC("_rec", 3, 7))


@pytest.mark.parametrize("chain, shape", [(CONV, (8, 9, 9)), (SPLIT, (8, 9, 9)), (FC, (5, 2, 2)), (MAPS, (20,))])
def test_a_random_chain_is_that_chain(chain, shape):
    model = random_chain(chain, np.random.RandomState(0)).model
    data = random_input(2, *shape)
    arrays = [(model.weight("part%s_weight" % part.suffix),
               model.weight("part%s_bias" % part.suffix) if part.bias else None) for part in chain]
    assert relative_error(outputs(model, **{DATA: data})[0], run_chain(data, chain, arrays)) < 1e-5


@pytest.mark.parametrize("inside", [True, False])
def test_chains_are_timed_in_turns(inside):
    ticks = iter(range(1000))
    samples = time_chains([CONV, SPLIT], (8, 9, 9), batch_size=2, inside=inside, rounds=3, warm_up=1,
                          clock=lambda: next(ticks))
    assert [sample.values for sample in samples] == [(1, 1, 1)] * 2


def test_convolutions_and_a_fully_connected_layer_are_computed_more_than_once():
    samples = time_chains([MAPS], (20,), batch_size=8, rounds=3, warm_up=1, clock=iter(range(1000)).__next__)
    assert samples[0].values == (1, 1, 1)


def test_fully_connected_chains():
    assert len(time_chains([FC], (20,), rounds=1, warm_up=0, noisy=float("inf"))[0].values) == 1


@pytest.mark.parametrize("shape", [(20, 30), (400, 300), (3, 200000)])
def test_many_random_numbers_are_made_of_few_and_no_two_filters_are_alike(shape):
    numbers = random_numbers(np.random.RandomState(0), shape, 10)
    assert numbers.shape == shape and numbers.dtype == np.float32
    assert np.std(numbers) == pytest.approx(0.1, rel=0.2) and abs(np.mean(numbers)) < 0.02
    assert len(np.unique(numbers[:, 0])) == shape[0]
    assert not np.array_equal(numbers, random_numbers(np.random.RandomState(1), shape, 10))

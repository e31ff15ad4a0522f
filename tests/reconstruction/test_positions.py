"""Places: distinct, uniform, the same for the same seed, quick."""
import time
import tracemalloc

import numpy as np
import pytest

from accnn.core.layers import LayerSpec, SubConv
from accnn.reconstruction.patches import available, draw


def spec(side=7, name="c", repeats=1):
    return LayerSpec(name, SubConv("", 3, 4, (1, 1)), (3, side, side), "w", "b", "Convolution", repeats=repeats)


@pytest.mark.parametrize("side, repeats, positions", [(7, 1, 10), (7, 1, 48), (7, 3, 100), (50, 1, 1), (2, 1, 3)])
def test_distinct_and_ascending(side, repeats, positions):
    layer = spec(side, repeats=repeats)
    found = draw(layer, 300, positions, 0)
    assert found.shape == (300, positions) and found.dtype == np.int64
    assert (np.diff(found, axis=1) > 0).all() and found.min() >= 0 and found.max() < available(layer)
    assert len({tuple(row) for row in found}) > 1


@pytest.mark.parametrize("positions", [49, 50, 10 ** 9])
def test_all_where_there_are_no_more(positions):
    assert (draw(spec(), 5, positions, 0) == np.arange(49)).all() and draw(spec(), 5, positions, 0).shape == (5, 49)


def test_uniform():
    counts = np.bincount(draw(spec(4), 20000, 5, 0).ravel(), minlength=16)
    assert abs(counts / (20000 * 5 / 16) - 1).max() < 0.05


def test_seeds_and_layers():
    assert (draw(spec(), 9, 5, 3) == draw(spec(), 9, 5, 3)).all()
    assert (draw(spec(), 9, 5, 3) != draw(spec(), 9, 5, 4)).any()
    assert (draw(spec(), 9, 5, 3) != draw(spec(name="\xe9/d"), 9, 5, 3)).any()
    assert draw(spec(), 0, 5, 3).shape == (0, 5)


@pytest.mark.parametrize("positions", [10, 500])
def test_large_maps_take_neither_memory_nor_time(positions):
    tracemalloc.start()
    started = time.process_time()
    found = draw(spec(224), 3000, positions, 0)
    taken, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 5 and peak < 3 * found.nbytes + (100 << 20)

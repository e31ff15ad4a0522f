"""A deeper network takes proportionally longer, not more."""
import time

import pytest

from accnn.graph.checkpoint import load_model, save_model
from accnn.planning.accelerator import Accelerator
from networks import random_model, residual_net, saved

pytestmark = pytest.mark.alone

NODES_OF_A_BLOCK = 17  # two convolutions with weight, two BatchNorms with four parameters, two ReLUs, a sum


def seconds(folder, nodes):
    """(nodes, processor seconds) to load, plan, rewrite and save a residual network of about `nodes` nodes."""
    prefix = saved(random_model(residual_net(nodes // NODES_OF_A_BLOCK), data=(3, 8, 8)), folder / "deep")
    started = time.process_time()
    model = load_model(prefix)
    bench = Accelerator(model, {"data": (3, 8, 8)})
    save_model(bench.accelerate(bench.select_ranks(1.5)), str(folder / "new"))
    return len(model.graph.nodes), time.process_time() - started


def test_time_grows_linearly(tmp_path):
    seconds(tmp_path, 200)  # imports and first allocations
    points = [min((seconds(tmp_path, nodes) for _ in range(2)), key=lambda p: p[1]) for nodes in (500, 1000, 2000)]
    for point in points:
        print("%d nodes: %.2f s" % point)
    small, large = points[0], points[-1]
    # A quadratic step would make it 16 times as long; 8 leaves room for a noisy machine.
    assert large[1] / small[1] <= 2 * large[0] / small[0]

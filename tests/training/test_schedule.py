"""Learning rates over the updates of a run against closed formulas."""
import math

import pytest

from accnn.core.compat import mx
from accnn.training.optimizer import scheduler

RATE, UPDATES, FACTOR = 0.5, 40, 0.1


def wanted(kind, update, warmup, how, steps):
    if update < warmup:
        return RATE * update / warmup if how == "linear" else 0.0
    share = min(1.0, (update - warmup) / (UPDATES - warmup))
    if kind == "cosine":
        return RATE * (1 + math.cos(math.pi * share)) / 2
    if kind == "poly":
        return RATE * (1 - share) ** 2
    return RATE * FACTOR ** sum(update > step for step in steps) if kind == "step" else RATE


@pytest.mark.parametrize("how", ["linear", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "poly"])
def test_rates(kind, warmup, how):
    steps = [10, 25] if kind == "step" else []
    made = scheduler(kind, RATE, UPDATES, steps, FACTOR, warmup, how)
    for update in range(1, UPDATES + 1):
        assert made(update) == pytest.approx(wanted(kind, update, warmup, how, steps), abs=1e-12), update
    for update in (1, 9, 11, 30, 40):  # as in a run that is resumed there
        anew = scheduler(kind, RATE, UPDATES, steps, FACTOR, warmup, how)
        assert anew(update) == pytest.approx(wanted(kind, update, warmup, how, steps), abs=1e-12)


def test_rates_reach_the_optimizer():
    """Steps of a linear loss are as long as the rate says."""
    made = mx.optimizer.create("sgd", learning_rate=RATE, lr_scheduler=scheduler("step", RATE, 6, [2, 4], FACTOR, 2))
    weight, gradient = mx.nd.zeros(1), mx.nd.ones(1)
    lengths = []
    for _ in range(6):
        before = weight.asscalar()
        made.update(0, weight, gradient, made.create_state(0, weight))
        lengths.append(before - weight.asscalar())
    assert lengths == pytest.approx([RATE / 2, RATE, RATE * FACTOR, RATE * FACTOR, RATE * FACTOR ** 2,
                                     RATE * FACTOR ** 2], rel=1e-5)

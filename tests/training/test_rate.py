"""The learning rate that a short test finds."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import TargetError
from accnn.runtime.distributed import Job
from accnn.training.optimizer import scheduler
from accnn.training.rate import HIGHEST, LOWEST, STEPS, RangeTest, chosen_rate, rising
from trainers import BATCH, CLASSES, batch, small_model, trainer


def test_rises_by_the_same_factor_to_the_end():
    rates = [rising()(step) for step in range(1, STEPS + 1)]
    assert rates[0] == LOWEST and abs(rates[-1] - HIGHEST) < 1e-12
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(HIGHEST / LOWEST) / (STEPS - 1))


@pytest.mark.parametrize("last", [float("nan"), float("inf"), 50.0])
def test_stays_below_where_the_loss_grows(last):
    """It falls until step 60, and grows beyond measure at step 81."""
    losses = [1 - 0.01 * min(step, 60) for step in range(80)] + [last] * 20
    assert rising()(60) / 2 < chosen_rate(losses) <= rising()(81) / 3


def test_a_loss_that_never_grows_takes_the_lowest_place_below_the_end():
    assert chosen_rate([1 / (1 + step) for step in range(STEPS)]) == pytest.approx(HIGHEST / 3)


def test_a_flat_loss_is_no_reason_for_a_low_rate():
    random = np.random.RandomState(0)
    losses = list(1 + 0.05 * random.normal(size=60)) + [1.3 ** step for step in range(40)]
    assert rising()(60) / 4 < chosen_rate(losses) < rising()(64) / 2


def test_a_loss_that_grows_at_once():
    assert chosen_rate([1.0, 2.0, float("nan")]) is None


class Pictures:
    """Eight batches an epoch."""

    batch_size = BATCH

    def epoch(self, number, skip=0):
        return ((mx.nd.array(images), mx.nd.array(labels)) for images, labels in map(batch, range(8)))


def found(model):
    def make(schedule):
        return trainer(model, schedule=schedule)
    return RangeTest(make, lambda rate: scheduler("constant", rate, 10), Pictures(), CLASSES, Job()).find()


def test_is_the_same_again_and_changes_nothing():
    model = small_model()
    before = {name: array.asnumpy() for name, array in model.arg_params.items()}
    rate = found(model)
    assert LOWEST < rate <= HIGHEST / 3 and rate == found(model)
    assert all(np.array_equal(array.asnumpy(), before[name]) for name, array in model.arg_params.items())


def test_no_rate_is_told():
    model = small_model()
    model.arg_params["fc_weight"][:] *= 1e30
    with pytest.raises(TargetError, match="at every learning rate"):
        found(model)

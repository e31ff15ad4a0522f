"""A learning rate found by a short test: raised step by step on a copy of the network until its loss grows."""
import itertools
import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import TargetError
from accnn.core.progress import Progress
from accnn.training.matching import counted, tally_of

STEPS, LOWEST, HIGHEST = 100, 1e-5, 1.0


def rising(lowest=LOWEST, highest=HIGHEST, steps=STEPS):
    """mx.lr_scheduler.LRScheduler: lowest (highest / lowest)^((t - 1) / (steps - 1)) at update t."""

    class Rising(mx.lr_scheduler.LRScheduler):
        """Made here, as MXNet is imported late."""

        def __call__(self, update):
            return lowest * (highest / lowest) ** ((max(update, 1) - 1) / (steps - 1))

    return Rising(lowest)


@dataclass
class RangeTest:
    """Finds the learning rate of a run, and makes its schedule.

    Attributes
    ----------
    make_trainer : callable
        ``make_trainer(schedule)`` gives a Trainer on a copy of the network, in a job of its own.
    schedule : callable
        ``schedule(rate)`` gives the mx.lr_scheduler of the run.
    stream : TrainingStream
    classes : int
    job : Job

    References
    ----------
    L. Smith. Cyclical learning rates for training neural networks. WACV 2017. Section 3.3.
    """

    make_trainer: Callable
    schedule: Callable
    stream: object
    classes: int
    job: object

    def find(self):
        """float: the rate to train with, of several workers the geometric mean of what each found on its images.

        Raises
        ------
        TargetError
            The loss grows at the lowest rate already.
        """
        rate = chosen_rate(self._losses())
        power = self.job.total(math.nan if rate is None else math.log(rate)) / self.job.workers
        if math.isnan(power):
            raise TargetError("the loss grows at every learning rate from %g on: give `lr`, and check `mean` and `std`"
                              % LOWEST)
        return math.exp(power)

    def _losses(self):
        """list of float: the mean loss of every step, up to the first that is no number or far too large."""
        trainer, losses, progress = self.make_trainer(rising()), [], Progress("learning rate, steps", STEPS)
        for step, (images, labels) in enumerate(self._batches()):
            tally = tally_of(trainer, self.classes)
            counted(tally, trainer.step(images, labels, 0, step))
            losses.append(tally.loss / tally.images)
            self.job.advanced()
            progress(step + 1, "loss %.4g at %.2g" % (losses[-1], trainer.rate()))
            if _is_over(losses):
                break
        progress.close()
        return losses

    def _batches(self):
        """The first batches of an epoch that no run trains on, as often as it takes."""
        return itertools.islice((batch for _ in range(STEPS) for batch in self.stream.epoch(0)), STEPS)


_FIRST, _SMOOTHED = 10, 0.8  # steps whose mean loss is the one before; share of the running mean that stays
_NEAR, _GROWN, _HOPELESS = 1.1, 1.5, 10.0


def _is_over(losses):
    return bool(losses) and (not math.isfinite(losses[-1]) or losses[-1] > _HOPELESS * np.mean(losses[:_FIRST]) + 1)


def chosen_rate(losses):
    """The largest rate with a smoothed loss near its least, but at most a third of that at which it had grown by half.

    A network that is nearly repaired has a flat loss, whose least value says nothing.

    Parameters
    ----------
    losses : list of float
        Of the steps of :func:`rising`.

    Returns
    -------
    float or None
        None where it had grown within the first steps.
    """
    usual = float(np.mean(losses[:_FIRST]))
    smoothed, running, grown = [], usual, HIGHEST
    for step, loss in enumerate(losses[_FIRST:], _FIRST + 1):
        running = _SMOOTHED * running + (1 - _SMOOTHED) * loss
        if not running <= _GROWN * usual:
            grown = rising()(step)
            break
        smoothed.append(running)
    if not smoothed:
        return None
    near = np.flatnonzero(np.array(smoothed) <= _NEAR * min(smoothed))
    return float(min(rising()(_FIRST + 1 + int(near[-1])), grown / 3))

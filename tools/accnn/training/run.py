"""A run of fine-tuning: epochs, their validation, and what is kept of them."""
import math
import os
import time
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Callable, List, Optional

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import Progress, say
from accnn.core.text import percent
from accnn.graph.ir import reason
from accnn.runtime.predictor import compute_errors_as_sentences
from accnn.training import resume
from accnn.training.checkpoints import CheckpointManager
from accnn.training.history import EpochRecord
from accnn.training.matching import counted, tally_of
from accnn.training.rate import STEPS

_NOTHING = (0, 0, 0.0)  # images, how many of them right, loss

Place = namedtuple("Place", "epoch step")
Place.__doc__ = "The epoch, counted from 1, and the step in it that come next."


@dataclass
class Run:
    """Everything a run needs; see :meth:`go`.

    Attributes
    ----------
    trainer : Trainer
    stream : TrainingStream
    keeper : CheckpointManager
    job : Job
    epochs : int
    classes : int
    validate : callable or None
        ``validate(model)`` returns a Tally over the validation images.
    entries : list of EpochRecord
        Epochs that are over.
    place : Place
    save_every : float
        Seconds between two saves of the resume file inside an epoch.
    range_test : RangeTest or None
        Finds the learning rate before the first step; None leaves the trainer's schedule.
    rate : float or None
        That was found.
    unfinished : (int, int, float)
        Of the epoch that was begun: images, how many of them right, sum of the losses.
    """

    trainer: object
    stream: object
    keeper: CheckpointManager
    job: object
    epochs: int
    classes: int
    validate: Optional[Callable] = None
    entries: List[EpochRecord] = field(default_factory=list)
    place: Place = Place(1, 0)
    save_every: float = 600.0
    range_test: Optional[object] = None
    rate: Optional[float] = None
    unfinished: tuple = _NOTHING
    _has_begun: bool = False  # and nothing but what begins it may have been written

    def go(self):
        """Train until the last epoch is over.

        Returns
        -------
        list of EpochRecord

        Raises
        ------
        AccnnError
            MXNet cannot compute a step here; it says so only when an answer or a parameter is read.
        TargetError
            The loss or a parameter is no number any more; the last good epoch is kept.
        AccnnError
            An image cannot be read, say; nothing is kept of a run that has learnt nothing yet.
        """
        try:
            with compute_errors_as_sentences("the training of %s" % self.trainer.network):
                self._go()
        except TargetError:
            raise
        except AccnnError:
            if self._has_begun and self.place == Place(1, 0):
                self.keeper.forget()
            raise
        return self.entries

    def _go(self):
        if not self.entries:
            self._begin()
        for epoch in range(self.place.epoch, self.epochs + 1):
            self._epoch(epoch)

    def _begin(self):
        self.job.advanced()
        if self.range_test and self.rate is None:
            self._follow(self.range_test.find())
            if self.job.leads:
                say("learning rate %.3g, by a range test of %d steps" % (self.rate, STEPS))
        if self.place == Place(1, 0):
            self._save()  # before anything else is written, so that all of it is known to belong to this run
            self._has_begun = True
        if self.validate:
            self.entries.append(scored(self.validate, self.trainer.model()))
            self.keeper.keep_best(self.entries, self.trainer.model())

    def _follow(self, rate):
        if rate is not None:
            self.rate = rate
            self.trainer.follow(self.range_test.schedule(rate))

    def model(self):
        """Return the model to keep of the steps that were made; see :meth:`Trainer.result`."""
        return self.trainer.result(images for images, _ in self.stream.epoch(0))

    def _epoch(self, epoch):
        started = time.monotonic()
        tally, speed = self._train(epoch)
        self.trainer.share_statistics()
        self._check(self.trainer.model(), epoch)
        model = self.model()
        validation = self.validate(model) if self.validate else None
        if validation and not math.isfinite(validation.loss):
            raise self._diverged(epoch, "the loss of the validation images is %s" % validation.loss)
        entry = EpochRecord(epoch, self.trainer.rate(), tally.loss / tally.images, tally.right[1] / tally.images,
                      images_per_second=speed, **_validation(validation))
        self.entries.append(_timed(entry, started))
        self.place, self.unfinished = Place(epoch + 1, 0), _NOTHING
        self.keeper.keep_epoch(self.entries, model, last=epoch == self.epochs)
        self._save()

    def _train(self, epoch):
        """Make the steps of an epoch; return the Tally of its answers and the images per second."""
        tally = tally_of(self.trainer, self.classes)
        tally.images, tally.right[1], tally.loss = self.unfinished
        first, steps = self.place.step, self.stream.steps
        progress = Progress("epoch %d of %d, batches" % (epoch, self.epochs), steps, first=first)
        started, due, waiting = time.monotonic(), _Due(self.save_every, self.job), None
        for step, (images, labels) in enumerate(self.stream.epoch(epoch, first), first):
            answer = self.trainer.step(images, labels, epoch, step)
            # The answer before this one is read while MXNet computes this one.
            if waiting:
                self._count(tally, waiting, epoch, step - 1)
            waiting = answer
            self.job.advanced()
            speed = (step + 1 - first) * self.stream.batch_size * self.job.workers / (time.monotonic() - started)
            progress(step + 1, _progress_text(tally, speed))
            if step + 1 < steps and due.now():
                self._count(tally, waiting, epoch, step)
                waiting = None
                self._save_inside(Place(epoch, step + 1), tally)
        if waiting:
            self._count(tally, waiting, epoch, steps - 1)
        progress.close()
        speed = (steps - first) * self.stream.batch_size * self.job.workers / (time.monotonic() - started)
        return tally.summed(self.job), speed

    def _save_inside(self, place, tally):
        """Save inside an epoch, which all workers do at the same step."""
        self._check(self.trainer.model(), place.epoch)
        self.place = place
        self.unfinished = tuple(map(self.job.total, (tally.images, tally.right[1], tally.loss)))
        self._save(self.trainer.mean_statistics() if self.job.workers > 1 else {})

    def _count(self, tally, answer, epoch, step):
        counted(tally, answer)
        if not math.isfinite(tally.loss):
            raise self._diverged(epoch, "the loss is %s after batch %d" % (tally.loss, step + 1))

    def _check(self, model, epoch):
        """Refuse parameters that are no numbers: the last update of an epoch is not seen in its loss."""
        for name, array in list(model.arg_params.items()) + list(model.aux_params.items()):
            if not np.isfinite(array.asnumpy()).all():
                raise self._diverged(epoch, "the parameter %s holds NaN or infinity" % name)

    def _diverged(self, epoch, what):
        return TargetError("fine-tuning diverged in epoch %d (%s, learning rate %.3g): lower `lr` or add "
                           "`warmup_epochs`, with `force`; %s"
                           % (epoch, what, self.trainer.rate(), self.keeper.keep_last_good()))

    def _save(self, statistics=()):
        if self.job.leads:
            note = {"place": list(self.place), "unfinished": list(self.unfinished), "updates": self.trainer.updates(),
                    "rate": self.rate,
                    "entries": [entry.as_dict() for entry in self.entries], "settings": self.keeper.settings,
                    "stale": [os.path.basename(path) for path in self.keeper.stale]}
            arrays = self.trainer.arrays()
            resume.save(self.keeper.prefix, dict(arrays, aux=dict(arrays["aux"], **dict(statistics))), note)

    def resume(self, arrays, note):
        """Go on from a resume file.

        Raises
        ------
        AccnnError
            It is damaged.
        """
        try:
            self.trainer.restore(arrays, note["updates"])
            self._follow(note.get("rate"))
            self.entries = [EpochRecord(**entry) for entry in note["entries"]]
            self.place = Place(*note["place"])
            # The first worker goes on with what all of them counted.
            self.unfinished = tuple(note["unfinished"]) if self.job.leads else _NOTHING
        except (KeyError, TypeError, mx.base.MXNetError) as error:
            raise AccnnError("%s is damaged (%s): say `force` to start again"
                             % (resume.resume_path(self.keeper.prefix), reason(error))) from error


def scored(validate, model):
    """EpochRecord of a model before the first update.

    Raises
    ------
    AccnnError
        Its answers are not finite.
    """
    started = time.monotonic()
    tally = validate(model)
    if not math.isfinite(tally.loss):
        raise AccnnError("the network's answers to the validation images are not finite: check `mean` and `std`")
    return _timed(EpochRecord(0, seconds=0.0, **_validation(tally)), started)


class _Due:
    """When to save inside an epoch: all workers get the same answer after the same step."""

    def __init__(self, seconds, job):
        self._seconds, self._job = seconds, job
        self._begin()

    def now(self):
        """Whether it is time; to be asked after every step."""
        self._steps += 1
        if self._steps < self._look:
            return False
        waited = self._job.total(time.monotonic() - self._started) / self._job.workers
        if waited >= self._seconds:
            self._begin()
            return True
        # Asking the others takes time: how many steps until then, but no more than were made.
        ahead = 1 if self._job.workers == 1 else int(self._steps * min(1.0, (self._seconds - waited) / waited))
        self._look = self._steps + max(1, ahead)
        return False

    def _begin(self):
        self._started, self._steps, self._look = time.monotonic(), 0, 1


def _timed(entry, started):
    return EpochRecord(**dict(entry.as_dict(), seconds=time.monotonic() - started))


def _validation(tally):
    """dict: the fields of an EpochRecord that a Tally of validation images fills."""
    if tally is None:
        return {}
    return {"val_images": tally.images, "val_right": tally.right[1], "val_right_top5": tally.right.get(5),
            "val_loss": tally.loss / tally.images}


def _progress_text(tally, speed):
    seen = "" if not tally.images else ", loss %.4f, top-1 %s" % (
        tally.loss / tally.images, percent(tally.right[1] / tally.images))
    return "%.0f images/s%s" % (speed, seen)

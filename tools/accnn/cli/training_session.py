"""What training reads and obeys whatever network is trained: images, a teacher, the rule, the workers."""
import json
import zlib
from dataclasses import replace

import numpy as np

from accnn.cli.data_options import preprocessing
from accnn.cli.training_options import augmentation
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.settings import renamed
from accnn.data.enlarged import check_alike, tell_enlarged
from accnn.data.images import image_input, read_images
from accnn.data.records import open_records
from accnn.data.stream import DRAWING, JoinedStream, TrainingStream
from accnn.graph.checkpoint import load_model, tell_remarks
from accnn.graph.shapes import chosen_batch
from accnn.runtime.distributed import Job
from accnn.runtime.predictor import Predictor, contexts
from accnn.scoring.heads import class_head, settled
from accnn.scoring.passes import answers, first_outputs
from accnn.scoring.tally import Tally
from accnn.training import objective, optimizer, resume
from accnn.training.objective import Teacher
from accnn.training.optimizer import scheduler
from accnn.training.own_loss import own_loss
from accnn.training.rate import LOWEST, RangeTest
from accnn.training.run import Run, scored
from accnn.training.trainer import Steps, Trainer

_BATCH_SIZE = 128


def check_precision(model):
    """Refuse networks that compute in anything but float32; whole numbers are theirs to keep, and are not trained.

    Parameters
    ----------
    model : Model

    Raises
    ------
    AccnnError
        Names a parameter.
    """
    read = set(model.graph.variables())
    for name, array in list(model.arg_params.items()) + list(model.aux_params.items()):
        kind = np.dtype(array.dtype)
        if name in read and kind.kind == "f" and kind != np.float32:
            raise AccnnError("%s reads the parameter %s of %s precision: only float32 networks are fine-tuned, cast it "
                             "first" % (model.prefix, name, {2: "half"}.get(kind.itemsize, "double")))


class Session:
    """Runs of fine-tuning on the same images by the same rule, each of a network of its own.

    Parameters
    ----------
    args : Namespace
        The options of :mod:`accnn.cli.training_options` and of preprocessing, ``gpus``.
    job : Job
    model : Model
        Whose classes all the networks have.
    shapes : dict of str to tuple of int
        Of the input.
    head : Head
        Of `model`.

    Attributes
    ----------
    shapes : dict
    train, val : Records
        `val` is None without ``--data-val``.

    Raises
    ------
    AccnnError
        Images, labels, teacher or batches are not what training needs.
    """

    def __init__(self, args, job, model, shapes, head):
        args.batch_size = chosen_batch(model, shapes, args.batch_size, _BATCH_SIZE)
        self.shapes, self._args, self._job, self._classes = shapes, args, job, head.classes
        self.train, self.unlabelled, self.val = (
            open_records(path, index) if path else None for path, index in (
                (args.data_train, args.data_train_idx), (args.data_unlabelled, args.data_unlabelled_idx),
                (args.data_val, args.data_val_idx)))
        for records in filter(None, (self.train, self.val)):
            records.check_classes(head.classes)
        self._how = preprocessing(args, next(iter(shapes.values())))
        if self.unlabelled and not args.random_resized_crop:
            check_alike(self.unlabelled, self.train or self.val, self._how, args.pad_size)
        self._stream(args.seed)
        if job.leads:
            self._tell_enlarged(args)
        remark = own_loss(model, head).remark()
        if remark and job.leads:
            say(remark)
        self._form = self._taught = None
        self._teacher = self._load_teacher(model)

    def _tell_enlarged(self, args):
        if self.train and not args.random_resized_crop:
            tell_enlarged(self.train, self._how, args.pad_size)
        if self.val:
            tell_enlarged(self.val, self._how)

    def settings(self):
        """dict: what runs must have in common to go on with one another, by option."""
        args = self._args
        names = ["lr", "lr_schedule", "lr_step_epochs", "lr_factor", "warmup_epochs", "warmup_strategy", "optimizer",
                 "mom", "wd", "clip_gradient", "average", "mixup", "dropout", "freeze", "num_examples", "output",
                 "seed", "rgb_mean", "rgb_std", "resize"]
        if self._teacher:
            names += ["distill_weight", "temperature"]
        # Whatever the files are called now, they are the same.
        said = {"teacher": self._teacher and "of fingerprint %08x" % self._teacher.fingerprint}
        said.update((name.replace("_", "-"), getattr(args, name)) for name in names)
        # None where it is off: as a run says that was begun before there was this option.
        said["teacher-mirror"] = bool(self._teacher and args.teacher_mirror) or None
        said["batch-size"] = args.batch_size * self._job.workers
        said["data-train"] = self.train and records_identity(self.train)
        said["data-unlabelled"] = self.unlabelled and records_identity(self.unlabelled)
        said["image-shape"] = self._how.shape
        said["augmentation"] = augmentation(args).iterator_arguments()
        said[resume.DRAWING] = DRAWING
        return json.loads(json.dumps(said))  # as it comes back from a file

    def run_of(self, model, head, keeper, epochs, frozen=(), seed=0):
        """Return the Run that trains `model`, not begun.

        Parameters
        ----------
        model : Model
        head : Head
            Of this model.
        keeper : CheckpointManager
        epochs : int
        frozen : list of str
            Parameters that stay as they are.
        seed : int
            Of order, augmentation and dropout.
        """
        stream = self._stream(seed)
        schedule = self._schedule(stream.steps, epochs)
        trainer = self._trainer(model, head, stream, schedule(self._args.lr or LOWEST), frozen, seed)
        test = None if self._args.lr else RangeTest(
            lambda rising: self._trainer(model, head, stream, rising, frozen, seed, Job()), schedule, stream,
            head.classes, self._job)
        return Run(trainer, stream, keeper, self._job, epochs, head.classes, save_every=self._args.save_every,
                   range_test=test, validate=self.val and self._validator(model, head))

    def rehearse(self, model, head, frozen=()):
        """Refuse a network that MXNet cannot train here, before anything is written; see :meth:`Trainer.rehearse`."""
        self._trainer(model, head, self._stream(0), self._schedule(1, 1)(LOWEST), frozen, 0).rehearse()

    def settled(self, model, head):
        """Return a head of a network in the form that the first training images showed that of the first one to have.

        See :func:`accnn.scoring.heads.settled`.
        """
        if self._form is None:
            self._form = self._look(model, head, self.shapes)
        return replace(head, form=self._form.form, total=self._form.total, scores=self._form.scores and head.scores)

    def _look(self, model, head, shapes):
        if head.plain:
            return head
        args = self._args
        predictor = Predictor(model, shapes, args.batch_size, contexts(args.gpus), head.symbol(model))
        rows, = first_outputs(predictor, self.train or self.unlabelled, self._how, args.batch_size)
        return settled(model, head, rows)

    def score(self, model, head):
        """dict: the Entry of a model on the validation images, before any training; None without images.

        Raises
        ------
        AccnnError
            The network's answers are not finite.
        """
        return scored(self._validator(model, head), model).as_dict() if self.val else None

    @property
    def images(self):
        """int: images of one epoch, of all workers."""
        return self._stream(0).steps * self._args.batch_size * self._job.workers

    def _stream(self, seed):
        args, job = self._args, self._job

        def made(records, batch_size):
            share = len(records) / sum(map(len, files))
            limit = args.num_examples and max(1, round(args.num_examples * share))
            return TrainingStream(records, self._how, augmentation(args), batch_size, seed, job.rank, job.workers,
                                  limit)

        files = [records for records in (self.train, self.unlabelled) if records]
        if len(files) == 1:
            return made(files[0], args.batch_size)
        return JoinedStream(*files, args.batch_size, made)

    def _schedule(self, steps, epochs):
        """A function that gives the mx.lr_scheduler of so many epochs, each of so many steps, at a rate."""
        args = self._args
        kind = args.lr_schedule or ("step" if args.lr_step_epochs else "constant")
        return lambda rate: scheduler(kind, rate, epochs * steps,
                                      [max(1, round(epoch * steps)) for epoch in args.lr_step_epochs], args.lr_factor,
                                      round(args.warmup_epochs * steps), args.warmup_strategy)

    def _trainer(self, model, head, stream, schedule, frozen, seed, job=None):
        args = self._args
        horizon = args.average and max(1, round(args.average * stream.steps))
        return Trainer(model, head, self.shapes, args.batch_size, job or self._job, contexts(args.gpus), args.optimizer,
                       optimizer.parameters(args.optimizer, schedule, args.mom, args.wd), frozen, self._teacher, seed,
                       args.dropout, Steps(args.mixup, args.clip_gradient, horizon))

    def _load_teacher(self, model):
        args = self._args
        if not args.teacher or not args.distill_weight:
            return None
        with renamed(prefix="teacher", epoch="teacher_epoch"):
            teacher = load_model(args.teacher, args.teacher_epoch)
        tell_remarks(teacher)
        given = image_input(teacher, {None: next(iter(self.shapes.values()))})
        known = class_head(teacher, given, args.output)
        if known.classes != self._classes:
            raise AccnnError("the teacher %s knows %d classes and %s has %d: choose a teacher with the same classes"
                             % (teacher.prefix, known.classes, model.prefix, self._classes))
        known = self._look(teacher, known, given)
        self._taught = teacher, known
        return Teacher(teacher, known, given, args.batch_size, contexts(args.gpus),
                       objective.Distillation(args.distill_weight, args.temperature, args.teacher_mirror))

    def teacher_right(self):
        """int: validation images that the teacher has right; None without a teacher or images.

        All workers must ask for it together.
        """
        return self._validator(*self._taught)(self._taught[0]).right[1] if self._taught and self.val else None

    def _validator(self, model, head):
        """A function that scores a model with the network of `model` on the validation images."""
        args, job = self._args, self._job
        symbol, devices = head.symbol(model), contexts(args.gpus)
        top_k = (1, 5) if head.classes > 5 else (1,)

        def validate(current):
            # A new one for every epoch: once run, oneDNN's fused layers stay with the weights that they saw first.
            predictor = Predictor(current, self.shapes, args.batch_size, devices, symbol)
            tally = Tally(head, top_k)
            batches = read_images(self.val, self._how, args.batch_size, job.rank, job.workers)
            for batch, ((scores,),) in answers([predictor], batches):
                tally.add(scores, batch.labels.astype(int))
                job.advanced()
            return tally.summed(job)

        return validate


def records_identity(records):
    """str: what tells one file of images from another, whatever it is called."""
    return "of %d records, fingerprint %08x" % (len(records), zlib.crc32(records.labels.tobytes(), zlib.crc32(
        records.offsets.tobytes())))

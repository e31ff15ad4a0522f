"""The steps of fine_tune.py: checks, a run, the report."""
import json
import os
import tempfile
import zlib

import numpy as np

from accnn import options, output
from accnn.cli import say
from accnn.compat import mx
from accnn.data.images import read_images
from accnn.data.options import image_input, preprocessing
from accnn.data.records import open_records
from accnn.data.stream import TrainingStream
from accnn.errors import AccnnError
from accnn.graph.checkpoint import load_model, params_path, symbol_path
from accnn.graph.fingerprint import fingerprint
from accnn.graph.ir import reason
from accnn.predictor import Predictor, contexts
from accnn.scoring.heads import class_head
from accnn.scoring.passes import answers
from accnn.scoring.tally import Tally
from accnn.training import diary, objective, optimizer, resume
from accnn.training.classifier import with_classes
from accnn.training.frozen import frozen_parameters
from accnn.training.keeping import Keeper
from accnn.training.options import augmentation, check
from accnn.training.run import Run
from accnn.training.schedule import scheduler
from accnn.training.teacher import Teacher
from accnn.training.trainer import Trainer


def run(args, job):
    """Do what the options of fine_tune.py say, as one worker of `job`.

    Raises
    ------
    AccnnError
    """
    check(args)
    stale = _check_prefix(args, job)
    begun = resume.load(args.model_prefix) if args.resume and resume.exists(args.model_prefix) else None
    model, shapes, head = _subject(args)
    train = open_records(args.data_train, args.data_train_idx)
    val = open_records(args.data_val, args.data_val_idx) if args.data_val else None
    for records in filter(None, (train, val)):
        records.check_classes(head.classes)
    how = preprocessing(args, next(iter(shapes.values())))
    stream = TrainingStream(train, how, augmentation(args), args.batch_size, args.seed, job.rank, job.workers,
                            args.num_examples)
    teacher = _teacher(args, model, shapes, head)
    settings = _settings(args, job, train, model, teacher, how)
    if begun:
        resume.check_fits(args.model_prefix, *begun, model, settings)
    trainer = _trainer(args, job, model, shapes, head, stream, teacher)
    keeper = Keeper(args.model_prefix, settings, args.save_period, job.leads, stale)
    going = Run(trainer, stream, keeper, job, args.num_epochs, head.classes, save_every=args.save_every)
    if val:
        going.validate = _validator(args, job, model, shapes, head, val, how)
    if begun:
        _resume(going, *begun)
        keeper.kept = [path for path in (params_path(keeper.prefix, entry.epoch) for entry in going.entries)
                       if os.path.exists(path)]
    _agree(job, going)
    entries = going.go()
    if job.leads:
        _report(args, keeper, entries, model)


def _resume(going, arrays, note):
    try:
        going.resume(arrays, note)
    except (KeyError, TypeError, mx.base.MXNetError) as error:
        raise AccnnError("%s is damaged (%s): say --force to start again" % (
            resume.resume_path(going.keeper.prefix), reason(error))) from error


def _check_prefix(args, job):
    """Refuse to lose anything; return the files of an earlier run that --force replaces."""
    output.check_folder("--model-prefix", args.model_prefix)
    keeper = Keeper(args.model_prefix)
    written = {os.path.realpath(symbol_path(prefix)) for prefix in (keeper.prefix, keeper.best_prefix)}
    for option, prefix in (("--pretrained-model", args.model), ("--teacher", args.teacher)):
        if prefix and os.path.realpath(symbol_path(prefix)) in written:
            raise AccnnError("--model-prefix %s would overwrite %s %s: choose another prefix"
                             % (args.model_prefix, option, prefix))
    _check_names(args.model_prefix, keeper)
    there = keeper.files()
    begun = resume.exists(args.model_prefix)
    if job.leads and args.resume and not begun:
        if there:
            raise AccnnError("there is no %s to resume, but %s is there: say --force to replace it, or choose another "
                             "--model-prefix" % (resume.resume_path(args.model_prefix), there[0]))
        say("there is no %s: starting from the beginning" % resume.resume_path(args.model_prefix))
    if job.leads and there and not args.resume and not args.force:
        raise AccnnError("%s is there already: %s--force to replace it, or choose another --model-prefix"
                         % (there[0], "say --resume to go on with that run, " if begun else "say "))
    if not args.force:
        return []
    if job.leads:
        output.say_replaced(there)
    return there


def _check_names(prefix, keeper):
    """Refuse, before any work, names that no file can have here."""
    for path in keeper.files():
        if os.path.isdir(path):
            raise AccnnError("--model-prefix %s: %s is a folder, choose another prefix" % (prefix, path))
    try:
        prefix.encode("utf-8")
        # What is written under the longest name goes to a longer one first.
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(os.path.abspath(prefix)), suffix=".tmp",
                                         prefix="." + os.path.basename(symbol_path(keeper.best_prefix)) + "."):
            pass
    except UnicodeEncodeError as error:
        raise AccnnError("--model-prefix %r is no UTF-8 name, which MXNet needs" % prefix) from error
    except OSError as error:
        raise AccnnError("--model-prefix %s cannot be written: %s" % (prefix, error.strerror)) from error


def _subject(args):
    """The model to train, the shape of its input, and the output that is trained."""
    model = options.open_model(args)
    if any(array.dtype != np.float32 for array in list(model.arg_params.values()) + list(model.aux_params.values())):
        raise AccnnError("%s holds parameters of half or double precision: only float32 networks are fine-tuned, cast "
                         "it first" % model.prefix)
    shapes = image_input(model, options.input_shapes(args))
    head = class_head(model, shapes, args.output)
    if args.num_classes:
        model = with_classes(model, head, args.num_classes, args.seed)
        head = class_head(model, shapes, args.output)
    objective.check_trainable(model, head, shapes)
    return model, shapes, head


def _settings(args, job, train, model, teacher, how):
    """dict: what a resumed run must have in common with the one it goes on with, by option."""
    names = ["lr", "lr_schedule", "lr_step_epochs", "lr_factor", "warmup_epochs", "warmup_strategy", "optimizer", "mom",
             "wd", "dropout", "freeze", "num_classes", "num_examples", "output", "seed", "rgb_mean", "rgb_std",
             "resize"]
    if teacher:
        names += ["distill_weight", "temperature"]
    if args.lr_schedule in ("cosine", "poly"):
        names.append("num_epochs")
    # Whatever the files are called now, they are the same.
    said = {"pretrained-model": "of fingerprint %08x" % fingerprint(model),
            "teacher": teacher and "of fingerprint %08x" % teacher.fingerprint}
    said.update((name.replace("_", "-"), getattr(args, name)) for name in names)
    said["batch-size"] = args.batch_size * job.workers
    said["data-train"] = "of %d records, fingerprint %08x" % (len(train), zlib.crc32(train.labels.tobytes(), zlib.crc32(
        train.offsets.tobytes())))
    said["image-shape"] = how.shape
    said["augmentation"] = augmentation(args).iterator_arguments()
    return json.loads(json.dumps(said))  # as it comes back from the file


def _trainer(args, job, model, shapes, head, stream, teacher):
    frozen = frozen_parameters(model, args.freeze, objective.class_scores(model, head).list_arguments())
    kind = args.lr_schedule or ("step" if args.lr_step_epochs else "constant")
    schedule = scheduler(kind, args.lr, args.num_epochs * stream.steps,
                         [max(1, round(epoch * stream.steps)) for epoch in args.lr_step_epochs], args.lr_factor,
                         round(args.warmup_epochs * stream.steps), args.warmup_strategy)
    return Trainer(model, head, shapes, args.batch_size, job, contexts(args.gpus), args.optimizer,
                   optimizer.parameters(args.optimizer, schedule, args.mom, args.wd), frozen,
                   teacher, args.seed, args.dropout)


def _teacher(args, model, shapes, head):
    if not args.teacher or not args.distill_weight:
        return None
    teacher = load_model(args.teacher, args.teacher_epoch)
    given = image_input(teacher, {None: next(iter(shapes.values()))})
    known = class_head(teacher, given, args.output)
    if known.classes != head.classes:
        raise AccnnError("the teacher %s knows %d classes and %s has %d: choose a teacher with the same classes"
                         % (teacher.prefix, known.classes, model.prefix, head.classes))
    return Teacher(teacher, known, given, args.batch_size, contexts(args.gpus),
                   objective.Distillation(args.distill_weight, args.temperature))


def _validator(args, job, model, shapes, head, val, how):
    """A function that scores a model with the network of `model` on the validation images."""
    symbol, devices = head.symbol(model), contexts(args.gpus)
    top_k = (1, 5) if head.classes > 5 else (1,)

    def validate(current):
        # A new one for every epoch: once run, oneDNN's fused layers stay with the weights that they saw first.
        predictor = Predictor(current, shapes, args.batch_size, devices, symbol)
        tally = Tally(head, top_k)
        batches = read_images(val, how, args.batch_size, job.rank, job.workers)
        for batch, ((scores,),) in answers([predictor], batches):
            tally.add(scores, batch.labels.astype(int))
            job.advanced()
        return tally.summed(job)

    return validate


def _agree(job, going):
    """Refuse to start where workers read different checkpoints or resume files."""
    place = going.place.epoch * 10 ** 6 + going.place.step
    if job.total(place) != job.workers * place:
        raise AccnnError("the workers do not resume at the same place: give all of them the same resume file, in a "
                         "shared folder")
    mark = fingerprint(going.trainer.model())
    if job.total(mark) != job.workers * mark:
        raise AccnnError("the workers do not read the same checkpoint: give all of them the same files")


def _report(args, keeper, entries, model):
    best = diary.best(entries)
    found = {"epochs": [entry.as_dict() for entry in entries], "model_prefix": args.model_prefix,
             "best": best and {"epoch": best.epoch, "prefix": keeper.best_prefix}, "log": keeper.log_path,
             "last": {"epoch": entries[-1].epoch, "params": params_path(args.model_prefix, entries[-1].epoch)}}
    if args.json:
        print(json.dumps(found, indent=2))
        return
    print("\n".join(diary.table(entries)) + "\n")
    print("last   %s" % found["last"]["params"])
    if best:
        print("best   %s, epoch %d" % (params_path(keeper.best_prefix, 0), best.epoch))
    print("log    %s" % keeper.log_path)

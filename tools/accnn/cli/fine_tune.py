"""fine_tune.py: its options, checks, a run, the report."""
import contextlib
import json
import os

from accnn.cli import next_step, options, outputs
from accnn.cli import training_options as training
from accnn.cli.data_options import add_preprocessing_options, images_of
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.cli.training_session import Session, check_precision
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.data.images import image_input
from accnn.graph.checkpoint import params_path, symbol_path
from accnn.graph.fingerprint import fingerprint
from accnn.runtime import distributed
from accnn.scoring.heads import class_head
from accnn.training import history, objective, resume
from accnn.training.checkpoints import CheckpointManager, check_names
from accnn.training.classifier import with_classes
from accnn.training.frozen import frozen_parameters
from accnn.training.objective import trainable_head


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-fine-tune", description)
    options.add_model_options(arguments, "checkpoint to start from", "--pretrained-model")
    add = arguments.add_argument
    add("--model-prefix", required=True, metavar="PREFIX",
        help="checkpoint to write: every epoch, the best as PREFIX-best, PREFIX-log.csv, PREFIX-resume.params")
    training.add_data_options(arguments)
    add("--resume", action="store_true", help="go on exactly where an earlier run of --model-prefix stopped")
    add_force_option(arguments)
    add("--save-period", type=int, default=1, metavar="N", help="keep every Nth epoch, and the last (default: 1)")
    add_preprocessing_options(arguments, batch_size=None, batch_help="default: 128, or what the network is made for")
    training.add_training_options(arguments)
    training.add_teacher_options(arguments)
    training.add_augmentation_options(arguments)
    options.add_job_options(arguments)
    add("--json", action="store_true", help="print results as JSON")
    return arguments


def run(args):
    """Do what the options say, as a job of one process or as one worker of several.

    Raises
    ------
    AccnnError
    """
    with distributed.open_job(args.kv_store, args.worker_timeout) as job:
        training.check(args)
        with outputs.claimed("--model-prefix", args.model_prefix) if job.leads else contextlib.nullcontext():
            _run(args, job)


def _run(args, job):
    stale = _check_prefix(args, job)
    begun = resume.load(args.model_prefix) if args.resume and resume.exists(args.model_prefix) else None
    model, shapes, head = _subject(args)
    session = Session(args, job, model, shapes, head)
    head = session.settled(model, head)
    settings = _settings(args, session, model)
    if begun:
        resume.check_fits(args.model_prefix, *begun, model, settings)
    frozen = frozen_parameters(model, args.freeze, objective.class_scores(model, head).list_arguments())
    keeper = CheckpointManager(args.model_prefix, settings, args.save_period, job.leads, stale)
    going = session.run_of(model, head, keeper, args.num_epochs, frozen, args.seed)
    if begun:
        going.resume(*begun)
        keeper.resumed(going.entries, begun[1].get("stale", []))
    else:
        going.trainer.rehearse()  # before anything is written
    _agree(job, going)
    entries = going.go()
    taught = session.teacher_right()
    if job.leads:
        _report(args, keeper, entries, going.rate, taught)


def _check_prefix(args, job):
    """Refuse to lose anything; return the files of an earlier run that --force replaces."""
    outputs.check_prefix("--model-prefix", args.model_prefix)
    keeper = CheckpointManager(args.model_prefix)
    written = {os.path.realpath(symbol_path(prefix)) for prefix in (keeper.prefix, keeper.best_prefix)}
    for option, prefix in (("--pretrained-model", args.model), ("--teacher", args.teacher)):
        if prefix and os.path.realpath(symbol_path(prefix)) in written:
            raise AccnnError("--model-prefix %s would overwrite %s %s: choose another prefix"
                             % (args.model_prefix, option, prefix))
    check_names("--model-prefix", args.model_prefix, keeper.files(), symbol_path(keeper.best_prefix))
    there = keeper.files()
    begun = resume.exists(args.model_prefix)
    if job.leads and args.resume and not begun:
        if there:
            raise AccnnError("there is no %s to resume, but %s is there: say --force to replace it, or choose another "
                             "--model-prefix" % (resume.resume_path(args.model_prefix), there[0]))
        say("there is no %s: starting from the beginning" % resume.resume_path(args.model_prefix))
    if job.leads:
        check_replaced("--model-prefix", args.model_prefix, there, args.resume or args.force,
                       instead="say --resume to go on with that run, " if begun else "")
    if not args.force:
        return []
    if job.leads:
        outputs.say_replaced(there)
    return there


def _subject(args):
    """The model to train, the shape of its input, and the output that is trained."""
    model = options.open_float_model(args)
    check_precision(model)
    images = images_of(args, "data_val", "data_train", "data_unlabelled")
    shapes = image_input(model, options.input_shapes(args), images)
    if args.num_classes:
        model = with_classes(model, class_head(model, shapes, args.output), shapes, args.num_classes, args.seed)
    return model, shapes, trainable_head(model, shapes, args.output)


def _settings(args, session, model):
    """dict: what a resumed run must have in common with the one it goes on with, by option."""
    said = {"pretrained-model": "of fingerprint %08x" % fingerprint(model)}
    said.update(session.settings(), **{"num-classes": args.num_classes})
    if args.lr_schedule in ("cosine", "poly"):
        said["num-epochs"] = args.num_epochs
    return said


def _agree(job, going):
    """Refuse to start where workers read different checkpoints or resume files."""
    place = going.place.epoch * 10 ** 6 + going.place.step
    if job.total(place) != job.workers * place:
        raise AccnnError("the workers do not resume at the same place: give all of them the same resume file, in a "
                         "shared folder")
    mark = fingerprint(going.trainer.model())
    if job.total(mark) != job.workers * mark:
        raise AccnnError("the workers do not read the same checkpoint: give all of them the same files")


def _report(args, keeper, entries, rate, taught):
    best = history.best(entries)
    found = {"epochs": [entry.as_dict() for entry in entries], "model_prefix": args.model_prefix,
             "curve": history.curve(entries, taught), "teacher_right": taught, "found_lr": rate,
             "best": best and {"epoch": best.epoch, "prefix": keeper.best_prefix}, "log": keeper.log_path,
             "last": {"epoch": entries[-1].epoch, "params": params_path(args.model_prefix, entries[-1].epoch)}}
    if args.json:
        print(json.dumps(found, indent=2))
        return
    print("\n".join(history.table(entries, taught)) + "\n")
    print("last   %s" % found["last"]["params"])
    if best:
        print("best   %s, epoch %d" % (params_path(keeper.best_prefix, 0), best.epoch))
    print("log    %s" % keeper.log_path)
    next_step.tell(args, next_step.after_training(args, best and keeper.best_prefix, entries[-1].epoch))

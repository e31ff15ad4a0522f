"""Networks that the options of a script name, scored on its images: what score.py does, and others do in the end."""
import time
from dataclasses import dataclass, replace

from accnn import engines
from accnn.cli import calibration, options
from accnn.cli.data_options import preprocessing
from accnn.core.errors import AccnnError
from accnn.core.progress import Progress
from accnn.core.settings import renamed
from accnn.data.enlarged import tell_enlarged
from accnn.data.images import image_input, read_images
from accnn.data.records import part_range
from accnn.graph.checkpoint import load_model, tell_remarks
from accnn.graph.ir import Graph
from accnn.graph.shapes import chosen_batch
from accnn.quantization.conversion import precision_of
from accnn.runtime.predictor import Predictor, contexts
from accnn.scoring import report
from accnn.scoring.engine import EnginePredictor
from accnn.scoring.fidelity import FidelityTally, check_same_outputs, compared_symbol
from accnn.scoring.heads import class_head, settled
from accnn.scoring.passes import answers, first_outputs, speeds
from accnn.scoring.tally import PairTally, Tally, check_finite

_DEFAULT_TOP = (1, 5)
_BATCH_SIZE = 64
# What other scripts that score have no options for: pass it with theirs to :func:`scored`.
NOT_ASKED = {"fidelity": False, "per_class": False, "confusion": None, "top_k": None, "precision": None,
             "data_calib": None}


@dataclass(frozen=True)
class Subject:
    """A network to be scored."""

    model: object
    input_shapes: dict
    head: object
    predictor: object  # Predictor or EnginePredictor


def scored(args, job, records, watch=None):
    """Score the networks that the options name.

    Parameters
    ----------
    args : Namespace
    job : Job
    records : Records
    watch : callable, optional
        ``watch(heads)`` returns an object whose ``add(first, outputs, best, labels)`` sees every batch, see
        :class:`accnn.scoring.changes.ChangeTally`.

    Returns
    -------
    dict
        What ``--json`` prints.
    ndarray or None
        The confusion matrix, where one was asked for.
    """
    subjects = _subjects(args, records)
    how = preprocessing(args, next(iter(subjects[0].input_shapes.values())))
    if job.leads:
        tell_enlarged(records, how)
    if not args.fidelity:
        subjects = [_settled(subject, records, how, args.batch_size) for subject in subjects]
    started = time.perf_counter()
    tallies, pair = (_fidelity(args, job, records, how, subjects) if args.fidelity else
                     _count(args, job, records, how, subjects, watch and watch(*(one.head for one in subjects))))
    seconds = time.perf_counter() - started
    found = _report(args, subjects, tallies, pair)
    found["data"] = {"file": args.data_val, "images": tallies[0].images, "image_shape": list(how.shape),
                     "batch_size": args.batch_size, "workers": job.workers}
    if job.leads:
        found["images_per_second"] = _speeds(args, records, how, subjects, tallies[0].images, seconds)
    if by_engine(args):
        found["ran"] = dict(zip(("model", "baseline"), (subject.predictor.ran for subject in subjects)))
    if args.confusion:
        found["confusion"] = args.confusion
    return found, tallies[0].confusion if args.confusion else None


def _settled(subject, records, how, batch_size):
    """The subject with its head as the first images, the same ones for every worker, show it to be."""
    if subject.head.plain:
        return subject
    rows, = first_outputs(subject.predictor, records, how, batch_size)
    return replace(subject, head=settled(subject.model, subject.head, rows))


def _count_asked(args, records):
    return min(len(records), args.max_num_examples or len(records))


def _subjects(args, records):
    """The model, and the baseline where there is one."""
    models = [options.open_model(args)]
    if args.baseline is not None:
        with renamed(prefix="baseline", epoch="baseline_epoch"):
            models.append(load_model(args.baseline, args.baseline_epoch))
        tell_remarks(models[-1])
    subjects = []
    for model in models:
        given = _same_shape(subjects) if subjects else options.input_shapes(args)
        shapes = image_input(model, given, None if args.resize else lambda: records, labels=True)
        size = chosen_batch(model, shapes, args.batch_size, _BATCH_SIZE)
        size = min(size, _count_asked(args, records))  # rows that are no images would cost as much
        head = None if args.fidelity else class_head(model, shapes, args.output)
        if head:
            records.check_classes(head.classes)
        symbol = head.symbol(model) if head else compared_symbol(model, args.output)
        subjects.append(Subject(model, shapes, head, _predictor(args, model, shapes, size, symbol)))
    args.batch_size = subjects[0].predictor.batch_size
    _check_pair(args, subjects)
    return subjects


def by_engine(args):
    """bool: whether the networks run otherwise than by MXNet as they are stored."""
    return args.engine != engines.DEFAULT or args.precision is not None


def _predictor(args, model, shapes, size, symbol):
    if not by_engine(args):
        return Predictor(model, shapes, size, contexts(args.gpus), symbol)
    scored = replace(model, graph=Graph.from_symbol(symbol))
    return EnginePredictor(engines.get(args.engine), scored, shapes, size, args.precision or precision_of(model),
                           calibration.range_batches(args, shapes))


def _same_shape(subjects):
    (_, image), *labels = subjects[0].input_shapes.items()
    return {**dict(labels), None: image}


def _check_pair(args, subjects):
    if len(subjects) < 2:
        return
    after, before = subjects
    if args.fidelity:
        check_same_outputs(after.predictor, before.predictor, (after.model.prefix, before.model.prefix))
    elif after.head.classes != before.head.classes:
        raise AccnnError("%s scores %d classes and the baseline %s scores %d: only networks with the same classes can "
                         "be compared" % (after.model.prefix, after.head.classes, before.model.prefix,
                                          before.head.classes))


def _count(args, job, records, how, subjects, watcher=None):
    tallies = [Tally(subject.head, _top_k(args, subject.head), bool(args.confusion)) for subject in subjects]
    pair = PairTally() if len(subjects) == 2 else None
    for batch, outputs in _pass(args, job, records, how, subjects):
        labels, best = batch.labels.astype(int), []
        for subject, tally, (scores,) in zip(subjects, tallies, outputs):
            check_finite(scores, subject.head.name, subject.model, batch.first)
            best.append(tally.add(scores, labels))
        if pair:
            pair.add(*best, labels)
        if watcher:
            watcher.add(batch.first, [scores for scores, in outputs], best, labels)
    return [tally.summed(job) for tally in tallies], pair and pair.summed(job)


def _fidelity(args, job, records, how, subjects):
    tally = FidelityTally(subjects[0].predictor.output_shapes)
    for batch, outputs in _pass(args, job, records, how, subjects):
        for subject, some in zip(subjects, outputs):
            for name, values in zip(tally.outputs, some):
                check_finite(values, name, subject.model, batch.first)
        tally.add(*outputs, batch.size)
    return [tally.summed(job)], None


def _pass(args, job, records, how, subjects):
    """Yield what :func:`answers` does for this worker's share, telling progress."""
    count = _count_asked(args, records)
    mine = part_range(len(records), job.rank, job.workers)
    progress = Progress("scoring images", max(0, min(mine.stop, count) - mine.start))
    batches = read_images(records, how, args.batch_size, job.rank, job.workers, count)
    done, started = 0, time.perf_counter()
    for batch, outputs in answers([subject.predictor for subject in subjects], batches):
        yield batch, outputs
        done += batch.size
        progress(done, "%.0f images/s" % (done / (time.perf_counter() - started)))
        job.advanced()
    progress.close()


def _top_k(args, head):
    asked = args.top_k or tuple(k for k in _DEFAULT_TOP if k == 1 or k < head.classes)
    if max(asked) > head.classes:
        raise AccnnError("--top-k %d: the output %s has only %d classes" % (max(asked), head.name, head.classes))
    return asked


def _report(args, subjects, tallies, pair):
    if args.fidelity:
        return {"fidelity": report.fidelity_report(tallies[0])}
    reports = [report.model_report(subject.model.prefix, subject.model.epoch, tally)
               for subject, tally in zip(subjects, tallies)]
    found = dict(zip(("model", "baseline"), reports))
    if pair:
        found["paired"] = report.pair_report(*reports, pair)
    if args.per_class:
        found["per_class"] = report.class_report(tallies)
    return found


def _speeds(args, records, how, subjects, images, seconds):
    decoding, networks = speeds([subject.predictor for subject in subjects], records, how, args.batch_size, seconds)
    return dict({"pass": images / seconds, "decoding": decoding}, **dict(zip(("model", "baseline"), networks)))

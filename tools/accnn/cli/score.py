"""score.py: its options, what it refuses, what it prints and writes."""
import json
import os

from accnn import engines
from accnn.cli import calibration, next_step, options
from accnn.cli import outputs as output
from accnn.cli.data_options import add_preprocessing_options
from accnn.cli.replacing import add_force_option, check_replaced, is_counts
from accnn.cli.scoring import by_engine, scored
from accnn.cli.types import Parser
from accnn.core.errors import AccnnError
from accnn.core.files import check_writable, written_whole
from accnn.core.layers import FP32, PRECISIONS
from accnn.data.records import open_records
from accnn.runtime import distributed
from accnn.scoring import report


def parser(description):
    """Parser: the options."""
    arguments = Parser("accnn-score", description)
    options.add_model_options(arguments, "checkpoint to score")
    arguments.add_argument("--baseline", metavar="PREFIX", help="a second checkpoint, scored on the same images")
    arguments.add_argument("--baseline-epoch", type=int, metavar="N", help="its epoch")
    arguments.add_argument("--data-val", required=True, metavar="REC", help="RecordIO file of labelled images")
    arguments.add_argument("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it, if any)")
    add_preprocessing_options(arguments, batch_size=None, batch_help="default: 64, or what the network is made for")
    arguments.add_argument("--max-num-examples", type=int, metavar="N", help="stop after the first N records")
    arguments.add_argument("--top-k", type=_ranks, metavar="K,K", help="default: 1,5, or 1 for fewer than 6 classes")
    arguments.add_argument("--output", metavar="NAME",
                           help="the output that scores classes, where there are several; NAME:0 is the first of name")
    arguments.add_argument("--fidelity", action="store_true",
                           help="compare all outputs, or the one of --output, with those of --baseline, labels unread: "
                                "for detectors")
    arguments.add_argument("--per-class", action="store_true", help="accuracy of every class")
    arguments.add_argument("--confusion", metavar="FILE",
                           help="write how often each class (row) was answered as each (column), as CSV")
    arguments.add_argument("--engine", default=engines.DEFAULT, choices=engines.names(),
                           help="what runs the networks (default: %(default)s)")
    arguments.add_argument("--precision", choices=PRECISIONS,
                           help="run float32 checkpoints in this precision (default: as they are)")
    calibration.add_range_options(arguments)
    options.add_job_options(arguments)
    add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def run(args):
    """Do what the options say, as a job of one process or as one worker of several.

    Raises
    ------
    AccnnError
    """
    with distributed.open_job(args.kv_store, args.worker_timeout) as job:
        _run(args, job)


def _run(args, job):
    _check(args)
    records = open_records(args.data_val, args.data_val_idx)
    found, confusion = scored(args, job, records)
    if not job.leads:
        return
    try:
        if args.confusion:
            _write_confusion(args.confusion, confusion)
    finally:  # a file that cannot be written is no reason to keep what was found
        print(json.dumps(found, indent=2) if args.json else "\n".join(report.table(found)))
    next_step.tell(args, next_step.after_scoring(args))


def _check(args):
    for option in ("fidelity", "baseline_epoch"):
        if getattr(args, option) not in (None, False) and args.baseline is None:
            raise AccnnError("--%s is about a baseline: give --baseline PREFIX" % option.replace("_", "-"))
    if args.fidelity and (args.confusion or args.per_class or args.top_k):
        raise AccnnError("--fidelity reads no labels: leave out --top-k, --per-class and --confusion")
    if args.max_num_examples is not None and args.max_num_examples < 1:
        raise AccnnError("--max-num-examples must be at least 1")
    calibration.check_ranges(args, [args.precision])
    if by_engine(args):
        _check_engine(args)
    if args.confusion is not None:
        _check_confusion(args)


def _check_engine(args):
    if args.gpus is not None:
        raise AccnnError("--gpus is for MXNet, on checkpoints as they are: leave out --engine and --precision")
    engines.get(args.engine).check(args.precision or FP32)


def _check_confusion(args):
    """Refuse a file that is read, and what is no file but would be replaced by one."""
    for prefix in filter(None, (args.model, args.baseline)):
        output.check_config("--confusion", prefix, args.confusion)
    index = args.data_val_idx or os.path.splitext(args.data_val)[0] + ".idx"
    if os.path.realpath(args.confusion) in map(os.path.realpath, (args.data_val, index)):
        raise AccnnError("--confusion %s is a file of the images that are read: choose another name" % args.confusion)
    check_replaced("--confusion", args.confusion, [args.confusion], args.force, is_counts)
    try:  # what permissions do not tell, /proc among it, is told before the pass
        check_writable(args.confusion)
    except OSError as error:
        raise AccnnError("--confusion %s cannot be written: %s" % (args.confusion, error.strerror)) from error


def _write_confusion(path, confusion):
    with written_whole(path) as temporary, open(temporary, "w") as handle:
        handle.writelines(",".join(map(str, row)) + "\n" for row in confusion.tolist())


def _ranks(text):
    ranks = tuple(sorted({int(k) for k in text.split(",")}))
    if ranks[0] < 1:
        raise ValueError
    return ranks


_ranks.__name__ = "list of numbers"

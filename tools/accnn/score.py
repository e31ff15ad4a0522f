"""Score a checkpoint on labelled images, alone or beside the one it was made from.

    python score.py -m new-vgg16 --data-val val.rec --rgb-mean 123.68,116.779,103.939
    python score.py -m new-vgg16 --baseline vgg16 --data-val val.rec --rgb-mean 123.68,116.779,103.939
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import sys

from accnn.cli import main as cli
from accnn.cli import options, replacing


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    from accnn.cli.data_options import add_preprocessing_options

    arguments = argparse.ArgumentParser("accnn-score", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
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
    options.add_job_options(arguments)
    replacing.add_force_option(arguments)
    arguments.add_argument("--json", action="store_true", help="print results as JSON")
    return arguments


def _main(argv):
    from accnn.runtime import distributed

    distributed.serve_if_asked()
    args = cli.parsed(parser(), argv)
    from accnn.cli import score as command

    with distributed.open_job(args.kv_store, args.worker_timeout) as job:
        command.run(args, job)


def _ranks(text):
    ranks = tuple(sorted({int(k) for k in text.split(",")}))
    if ranks[0] < 1:
        raise ValueError
    return ranks


_ranks.__name__ = "list of numbers"

if __name__ == "__main__":
    sys.exit(main())

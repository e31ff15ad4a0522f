"""``--data-val`` of scripts that write a network: it is scored beside the original before the script ends."""
import argparse

from accnn import engines
from accnn.cli.scoring import NOT_ASKED, scored
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.data.records import open_records
from accnn.runtime import distributed

_PLAIN = dict(NOT_ASKED, engine=engines.DEFAULT, output=None, max_num_examples=None, batch_size=None)


def add_scoring_option(parser):
    """The options ``--data-val`` and ``--data-val-idx``."""
    parser.add_argument("--data-val", metavar="REC",
                        help="labelled images: score what is written beside the original, read as the images of "
                             "--data-calib are")
    parser.add_argument("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it, if any)")


def check(args):
    """Refuse, before any work, images that cannot be read, or with which there is nothing to score."""
    if args.data_val is not None and args.dry_run:
        raise AccnnError("--data-val scores what is written, and --dry-run writes nothing: leave one of them out")
    if args.data_val is not None:
        open_records(args.data_val, args.data_val_idx)


def scores(args, prefix):
    """Score a checkpoint that was written, epoch 1, beside the one that it was made from.

    Parameters
    ----------
    args : Namespace
    prefix : str

    Returns
    -------
    dict or None
        What ``score.py`` prints as JSON; None without images, or where they cannot be scored, which is said.
    """
    if args.data_val is None:
        return None
    how = argparse.Namespace(**dict(vars(args), model=prefix, load_epoch=1, baseline=args.model,
                                    baseline_epoch=args.load_epoch, **_PLAIN))
    try:
        with distributed.open_job() as job:
            return scored(how, job, open_records(args.data_val, args.data_val_idx))[0]
    except AccnnError as error:  # the checkpoint is there all the same
        say("what was written could not be scored: %s" % error)
        return None

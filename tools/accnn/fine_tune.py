"""Fine-tune a checkpoint, such as an accelerated one, on RecordIO images.

    python fine_tune.py --pretrained-model new-vgg16 --data-train train.rec --data-val val.rec --model-prefix tuned \\
        --rgb-mean 123.68,116.779,103.939
    python fine_tune.py ... --teacher vgg16        the original network teaches the accelerated one
    python fine_tune.py ... --resume               go on where a killed run stopped
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
    from accnn.cli import training_options as training
    from accnn.cli.data_options import add_preprocessing_options

    arguments = argparse.ArgumentParser("accnn-fine-tune", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments, "checkpoint to start from", "--pretrained-model")
    add = arguments.add_argument
    add("--model-prefix", required=True, metavar="PREFIX",
        help="checkpoint to write: every epoch, the best as PREFIX-best, PREFIX-log.csv, PREFIX-resume.params")
    training.add_data_options(arguments)
    add("--resume", action="store_true", help="go on exactly where an earlier run of --model-prefix stopped")
    replacing.add_force_option(arguments)
    add("--save-period", type=int, default=1, metavar="N", help="keep every Nth epoch, and the last (default: 1)")
    add_preprocessing_options(arguments, batch_size=None, batch_help="default: 128, or what the network is made for")
    training.add_training_options(arguments)
    training.add_teacher_options(arguments)
    training.add_augmentation_options(arguments)
    options.add_job_options(arguments)
    add("--json", action="store_true", help="print results as JSON")
    return arguments


def _main(argv):
    from accnn.runtime import distributed

    distributed.serve_if_asked()
    args = cli.parsed(parser(), argv)
    from accnn.cli import fine_tune as command

    with distributed.open_job(args.kv_store, args.worker_timeout) as job:
        command.run(args, job)


if __name__ == "__main__":
    sys.exit(main())

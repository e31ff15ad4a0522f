"""Speed up a network group by group, training it in between: iterative two-pass decomposition.

    python two_pass.py -m vgg16 --ratio 4 --data-train train.rec --data-val val.rec --save-model new-vgg16 \\
        --rgb-mean 123.68,116.779,103.939
    python two_pass.py ... --resume                go on where a killed run stopped
    python two_pass.py ... --one-pass together     to compare with: everything at once, as many epochs
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import sys

from accnn.cli import calibration, options, replacing
from accnn.cli import main as cli


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    from accnn.cli import training_options as training
    from accnn.cli import two_pass_options as iterative

    arguments = argparse.ArgumentParser("accnn-two-pass", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    add = arguments.add_argument
    add("--save-model", required=True, metavar="PREFIX",
        help="checkpoint to write, as epoch 1; --resume goes by PREFIX-two-pass.json and a checkpoint beside it")
    training.add_data_options(arguments)
    add("--resume", action="store_true", help="go on after the last finished stage of an earlier run")
    replacing.add_force_option(arguments)
    iterative.add_flow_options(arguments)
    options.add_planning_options(arguments)
    options.add_effort_options(arguments)
    add("--config", metavar="FILE", help="ranks to use instead of choosing them: a plan, or a config of the original")
    calibration.add_calibration_options(arguments)
    training.add_rule_options(arguments.add_argument_group("training", "of every stage; a schedule begins with each"))
    training.add_teacher_options(arguments)
    training.add_augmentation_options(arguments)
    add("--json", action="store_true", help="print results as JSON")
    iterative.set_defaults(arguments)
    return arguments


def _main(argv):
    args = cli.parsed(parser(), argv)
    from accnn.cli import two_pass as command
    from accnn.runtime import distributed

    with distributed.open_job() as job:
        command.run(args, job)


if __name__ == "__main__":
    sys.exit(main())

"""Look at a checkpoint: what is damaged, missing or of the wrong shape in it, and what is worth knowing.

    python check.py -m vgg16
    accnn check -m vgg16

One row for each finding. Errors: no script takes the checkpoint. Warnings: scripts take it and say the same on stderr.
Exit code 2 where there is an error, else 0.
"""
if not __package__:
    import _inplace  # noqa: F401

import argparse
import json
import sys

from accnn.cli import main as cli
from accnn.cli import options
from accnn.core.errors import AccnnError


def main(argv=None):
    """Run the command line; return the exit code."""
    return cli.run(_main, argv)


def parser():
    """Return the argument parser."""
    arguments = argparse.ArgumentParser("accnn-check", description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_checkpoint_options(arguments, "checkpoint to look at")
    arguments.add_argument("--json", action="store_true", help="print the findings as JSON")
    return arguments


def _main(argv):
    args = parser().parse_args(argv)
    from accnn.graph.checkpoint import examine

    model, findings = examine(args.model, args.load_epoch)
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        print(json.dumps({"epoch": model and model.epoch, "errors": errors, "findings": [
            dict(vars(finding)) for finding in findings]}, indent=2))
    else:
        print("\n".join(_table(findings) + _summary(args.model, model, findings)))
    return AccnnError.exit_code if errors else 0


def _table(findings):
    from accnn.core.text import columns

    rows = [("severity", "where", "what")] + [(one.severity, one.where, one.what) for one in findings]
    return columns(rows, "<<<") if findings else []


def _summary(prefix, model, findings):
    if model is None:
        return []
    operators = sum(not node.is_variable for node in model.graph.nodes)
    return ["%s, epoch %d: %d operators, %d parameters; %s" % (
        prefix, model.epoch, operators, len(model.arg_params) + len(model.aux_params),
        "%d findings" % len(findings) if findings else "nothing to say")]


if __name__ == "__main__":
    sys.exit(main())

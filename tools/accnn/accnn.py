"""Speed up a whole network. The three commands to know first:

    python accnn.py -m vgg16 --cost latency --ratio 2 --save-model new-vgg16       twice as fast, by this clock
    python score.py -m new-vgg16 --baseline vgg16 --data-val val.rec               what that costs in accuracy
    python fine_tune.py --pretrained-model new-vgg16 --teacher vgg16 --data-train train.rec --model-prefix tuned

More:

    python accnn.py -m vgg16 --config my-ranks.json --save-model new-vgg16         with ranks of your own
    python accnn.py -m vgg16 --sweep 2,3,4,6 --cost latency --dry-run              plans of several ratios, compared
    python accnn.py models                                                         networks to try it on
    python accnn.py check -m vgg16        what is damaged or missing in a checkpoint (--help: after the word)
    python accnn.py export -m vgg16 --save-model vgg16.onnx
    python accnn.py report -m new-vgg16 --baseline vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn import check, export, report
from accnn.cli import zoo
from accnn.cli.main import Script

# Other scripts that the first argument can name.
_WORDS = {"check": check.main, "export": export.main, "report": report.main, "models": zoo.main}
script = Script("accnn.cli.accnn", __doc__)
parser = script.parser


def main(argv=None):
    """Run the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in _WORDS:
        return _WORDS[argv[0]](argv[1:])
    return script.main(argv)


if __name__ == "__main__":
    sys.exit(main())

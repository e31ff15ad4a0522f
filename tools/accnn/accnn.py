"""Speed up a whole network.

    python accnn.py -m vgg16 --ratio 2 --save-model new-vgg16
    python accnn.py -m vgg16 --config my-ranks.json --save-model new-vgg16

    python accnn.py check -m vgg16        what is damaged or missing in a checkpoint (--help: after the word)
    python accnn.py export -m vgg16 --save-model vgg16.onnx
    python accnn.py report -m new-vgg16 --baseline vgg16
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn import check, export, report
from accnn.cli.main import Script

# Other scripts that the first argument can name.
_WORDS = {"check": check.main, "export": export.main, "report": report.main}
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

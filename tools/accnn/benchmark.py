"""Time a network, against the one it was made from.

    python benchmark.py -m new-vgg16 --baseline vgg16 --threads 1,2 --batch-size 1,32
    python benchmark.py -m new-vgg16 --baseline vgg16 --layers
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.benchmark", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())

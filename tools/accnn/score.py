"""Score a checkpoint on labelled images, alone or beside the one it was made from.

    python score.py -m new-vgg16 --data-val val.rec --rgb-mean 123.68,116.779,103.939
    python score.py -m new-vgg16 --baseline vgg16 --data-val val.rec --rgb-mean 123.68,116.779,103.939
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import JobScript

script = JobScript("accnn.cli.score", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())

"""Look at a checkpoint: what is damaged, missing or of the wrong shape in it, and what is worth knowing.

    python check.py -m vgg16
    accnn check -m vgg16

One row for each finding. Errors: no script takes the checkpoint. Warnings: scripts take it and say the same on stderr.
Exit code 2 where there is an error, else 0.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.check", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())

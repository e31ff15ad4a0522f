"""Show what became of a network, as one page with plots.

    python report.py -m new-vgg16 --baseline vgg16 --config config-rksel-2.0.json --output new-vgg16.html

The package ``accnn.report`` has the same name: what this script offers stands in ``cli/report_script.py``.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.report_script import main, parser, script

__all__ = ["main", "parser", "script"]

if __name__ == "__main__":
    sys.exit(main())

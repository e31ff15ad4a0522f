"""``accnn models``: the folder model_zoo/, which lies beside the package in the repository."""
import os
import sys

from accnn.cli.main import Script, run
from accnn.core.errors import AccnnError

_REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_DESCRIPTION = """List the networks of the zoo: name, input, size, where it comes from, whether it is here.

    python accnn.py models
"""


def main(argv=None):
    """Run the command line; return the exit code."""
    return run(_listed, argv)


def _listed(argv):
    if not os.path.isfile(os.path.join(_REPOSITORY, "model_zoo", "listing.py")):
        raise AccnnError("the list of networks is that of the repository's folder model_zoo, and %s has none: run "
                         "accnn.py of a clone" % _REPOSITORY)
    if _REPOSITORY not in sys.path:
        sys.path.append(_REPOSITORY)
    return Script("model_zoo.listing", _DESCRIPTION).main(argv)

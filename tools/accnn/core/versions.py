"""The version of accnn, and which interpreters and NumPy releases mxnet 1.9.1 can be imported with."""
import sys

from accnn.core.errors import AccnnError

VERSION = "2.0.0.dev0"
_FIRST, _BEHIND = (3, 8), (3, 14)
_NUMPY_2_FROM = (3, 13)  # no NumPy 1.x was built for it


def check_python(version=sys.version_info[:2]):
    """Raise AccnnError, one sentence, unless `version` (major, minor) is one that works."""
    if not _FIRST <= tuple(version) < _BEHIND:
        raise AccnnError("mxnet 1.9.1 needs Python 3.8 to 3.13, but this is Python %d.%d: make a virtual environment "
                         "with one of those" % tuple(version))


def check_numpy(version, python=sys.version_info[:2]):
    """Raise AccnnError, one sentence, unless the NumPy release `version` (a string) goes with this Python.

    NumPy 2 was tried with MXNet where there is no NumPy 1: on Python 3.13.
    """
    if tuple(int(part) for part in version.split(".")[:2]) >= (2, 0) and tuple(python) < _NUMPY_2_FROM:
        raise AccnnError("mxnet 1.9.1 does not go with numpy %s on Python %d.%d: pip install 'numpy<2'"
                         % ((version,) + tuple(python)))

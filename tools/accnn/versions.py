"""Which interpreters and NumPy releases mxnet 1.9.1 can be imported with."""
import sys

from accnn.errors import AccnnError


def check_python(version=sys.version_info[:2]):
    """Raise AccnnError, one sentence, unless `version` (major, minor) is one that works."""
    if not (3, 8) <= tuple(version) < (3, 12):
        raise AccnnError("mxnet 1.9.1 needs Python 3.8 to 3.11, but this is Python %d.%d: make a virtual environment "
                         "with one of those" % tuple(version))


def check_numpy(version):
    """Raise AccnnError, one sentence, unless the NumPy release `version` (a string) is one that works."""
    if tuple(int(part) for part in version.split(".")[:2]) >= (2, 0):
        raise AccnnError("mxnet 1.9.1 cannot be imported with numpy %s: pip install 'numpy<2'" % version)

"""The one door to MXNet: checks the versions and mends NumPy before ``import mxnet`` runs.

Every module of the package says ``from accnn.compat import mx``, never ``import mxnet``.
"""
import os
import sys

import numpy as np

from accnn.errors import AccnnError


def _version(text):
    """Return (major, minor) of a version string such as '1.23.5' or '2.0.0rc1'."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def check_versions(python=sys.version_info[:2], numpy=np.__version__):
    """Refuse interpreters and NumPy releases that mxnet 1.9.1 cannot be imported with.

    Parameters
    ----------
    python : tuple of int, default=the running interpreter
    numpy : str, default=the imported release

    Raises
    ------
    AccnnError
        One sentence that names the version found and the ones that work.
    """
    if not (3, 8) <= tuple(python) < (3, 12):
        raise AccnnError("mxnet 1.9.1 needs Python 3.8 to 3.11, but this is Python %d.%d: make a virtual "
                         "environment with one of those" % tuple(python))
    if _version(numpy) >= (2, 0):
        raise AccnnError("mxnet 1.9.1 cannot be imported with numpy %s: pip install 'numpy<2'" % numpy)


def _import_mxnet():
    check_versions()
    # numpy 1.24 removed the alias that mxnet 1.9.1 still reads when it is imported.
    if "bool" not in np.__dict__:
        np.bool = bool
    # Without this the executor logs 'Subgraph backend MKLDNN is activated' at every bind.
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    try:
        import mxnet
    except ImportError as error:
        raise AccnnError("mxnet cannot be imported (%s): pip install mxnet==1.9.1" % error) from error
    except OSError as error:
        raise AccnnError("mxnet's library cannot be loaded (%s): install the system packages libgomp1 and "
                         "libquadmath0" % error) from error
    return mxnet


mx = _import_mxnet()

"""The one import of MXNet: checks the versions and mends NumPy before ``import mxnet`` runs.

Every module of the package says ``from accnn.core.compat import mx``, never ``import mxnet``. MXNet itself, which takes
more than a second, is imported when the first attribute of ``mx`` is read: help and a mistyped option, which need
none of it, do not wait. So nothing that runs while a module of the package is imported may read one.
"""
import importlib
import os
import sys
import types

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.versions import check_numpy, check_python

# mxnet 1.9.1 reads these names of NumPy when it is imported; releases from 1.24 on took them away one after the other.
_VALUES = {"bool": bool, "PZERO": 0.0, "NZERO": -0.0, "PINF": np.inf, "NINF": -np.inf, "NAN": np.nan, "NaN": np.nan,
           "Inf": np.inf}
_NEW_NAMES = {"product": "prod", "sometrue": "any", "alltrue": "all", "cumproduct": "cumprod", "round_": "round",
              "trapz": "trapezoid", "row_stack": "vstack"}
_FINANCIAL = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")


def mend_numpy():
    """Set the names of NumPy that mxnet 1.9.1 needs, where this release has them no more.

    The financial functions stay unusable, as they have been since NumPy 1.20; none of accnn's calls reaches them.
    """
    names = dict(_VALUES, in1d=_in1d, msort=_msort, **dict.fromkeys(_FINANCIAL, _gone))
    names.update({old: getattr(np, new, None) for old, new in _NEW_NAMES.items()})
    for name, value in names.items():
        if name not in np.__dict__:
            setattr(np, name, value)


def _in1d(ar1, ar2, **options):
    return np.isin(np.ravel(ar1), ar2, **options)


def _msort(a):
    return np.sort(a, axis=0)


def _gone(*_arguments, **_options):
    raise RuntimeError("NumPy's financial functions are in the package numpy_financial")


def _mend_distutils():
    """Bring back ``distutils``, which mxnet imports and Python 3.12 took away: setuptools carries a copy."""
    if sys.version_info >= (3, 12):
        try:
            importlib.import_module("setuptools")
        except ImportError as error:
            raise AccnnError("mxnet 1.9.1 needs setuptools on Python %d.%d: pip install setuptools"
                             % sys.version_info[:2]) from error


def import_mxnet():
    """Import MXNet now, unless it is there; in a process that a launcher made a server this does not return.

    Returns
    -------
    module

    Raises
    ------
    AccnnError
        It is missing, does not go with this Python or NumPy, or its library cannot be loaded.
    """
    check_python()
    check_numpy(np.__version__)
    mend_numpy()
    _mend_distutils()
    # Without this the executor logs 'Subgraph backend MKLDNN is activated' at every bind.
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    try:
        import mxnet  # here, since NumPy must be mended first, and only when it is needed
    except ImportError as error:
        raise AccnnError("mxnet cannot be imported (%s): pip install mxnet==1.9.1%s" % (
            error, " --no-deps" if sys.version_info >= (3, 13) else "")) from error
    except OSError as error:
        raise AccnnError("mxnet's library cannot be loaded (%s): install the system packages libgomp1 and "
                         "libquadmath0" % error) from error
    return mxnet


class _LazyModule(types.ModuleType):
    """MXNet, imported when the first attribute is read; from then on with all of MXNet's own."""

    def __getattr__(self, name):
        mxnet = import_mxnet()
        self.__dict__.update(mxnet.__dict__)
        return getattr(mxnet, name)

    def __dir__(self):
        return dir(import_mxnet())


mx = _LazyModule("mxnet")

"""The one door to MXNet: checks the versions and mends NumPy before ``import mxnet`` runs.

Every module of the package says ``from accnn.core.compat import mx``, never ``import mxnet``.
"""
import importlib
import os
import sys

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


def _import_mxnet():
    check_python()
    check_numpy(np.__version__)
    mend_numpy()
    _mend_distutils()
    # Without this the executor logs 'Subgraph backend MKLDNN is activated' at every bind.
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    try:
        import mxnet
    except ImportError as error:
        raise AccnnError("mxnet cannot be imported (%s): pip install mxnet==1.9.1%s" % (
            error, " --no-deps" if sys.version_info >= (3, 13) else "")) from error
    except OSError as error:
        raise AccnnError("mxnet's library cannot be loaded (%s): install the system packages libgomp1 and "
                         "libquadmath0" % error) from error
    return mxnet


mx = _import_mxnet()

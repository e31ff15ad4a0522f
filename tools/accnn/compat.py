"""The one door to MXNet: checks the versions and mends NumPy before ``import mxnet`` runs.

Every module of the package says ``from accnn.compat import mx``, never ``import mxnet``.
"""
import os

import numpy as np

from accnn.errors import AccnnError
from accnn.versions import check_numpy, check_python


def _import_mxnet():
    check_python()
    check_numpy(np.__version__)
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

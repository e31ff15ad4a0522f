"""Versions that cannot work are refused with a sentence, and the shim for newer NumPy releases is in place."""
import numpy as np
import pytest

from accnn.compat import check_versions, mx
from accnn.errors import AccnnError


@pytest.mark.parametrize("python", [(3, 7), (3, 12), (3, 13), (2, 7)])
def test_python_versions_that_mxnet_does_not_run_on(python):
    with pytest.raises(AccnnError, match="Python 3.8 to 3.11, but this is Python %d.%d" % python):
        check_versions(python, "1.23.5")


@pytest.mark.parametrize("numpy", ["2.0.0", "2.4.6", "2.1.0rc1"])
def test_numpy_2_is_refused(numpy):
    with pytest.raises(AccnnError, match="numpy<2"):
        check_versions((3, 11), numpy)


@pytest.mark.parametrize("python, numpy", [((3, 8), "1.19.5"), ((3, 11), "1.23.5"), ((3, 11), "1.26.4")])
def test_versions_that_work(python, numpy):
    check_versions(python, numpy)


def test_the_name_mxnet_needs_is_there():
    assert np.dtype(np.bool) == np.dtype(bool) and mx.__version__ == "1.9.1"

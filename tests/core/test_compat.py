"""Versions that cannot work are refused with a sentence; what newer NumPy and Python lack is put in place."""
import os
import subprocess
import sys

import numpy as np
import pytest

import accnn
from accnn.core.compat import mend_numpy, mx
from accnn.core.errors import AccnnError
from accnn.core.versions import check_numpy, check_python


@pytest.mark.parametrize("python", [(3, 7), (3, 14), (2, 7)])
def test_python_versions_that_mxnet_does_not_run_on(python):
    with pytest.raises(AccnnError, match="Python 3.8 to 3.13.* but this is Python %d.%d" % python):
        check_python(python)


@pytest.mark.parametrize("numpy", ["2.0.0", "2.4.6", "2.1.0rc1"])
@pytest.mark.parametrize("python", [(3, 9), (3, 12)])
def test_numpy_2_is_refused_where_there_is_numpy_1(numpy, python):
    with pytest.raises(AccnnError, match="numpy<2"):
        check_numpy(numpy, python)


@pytest.mark.parametrize("python, numpy", [((3, 8), "1.19.5"), ((3, 11), "1.23.5"), ((3, 12), "1.26.4"),
                                           ((3, 13), "2.1.0"), ((3, 13), "2.5.5")])
def test_versions_that_work(python, numpy):
    check_python(python)
    check_numpy(numpy, python)


def test_the_names_mxnet_needs_are_there():
    assert np.dtype(np.bool) == np.dtype(bool) and mx.__version__ == "1.9.1"
    assert np.PINF == -np.NINF == np.inf and np.isnan(np.NaN) and np.signbit(np.NZERO) and not np.signbit(np.PZERO)


def test_functions_that_numpy_renamed_compute_what_they_did(monkeypatch):
    for name in ("in1d", "msort", "product", "sometrue", "alltrue", "cumproduct", "round_", "row_stack", "trapz"):
        monkeypatch.delitem(np.__dict__, name, raising=False)
    mend_numpy()
    values = np.array([[3.25, 1.0], [2.0, 4.0]])
    assert np.product(values) == 26 and np.alltrue(values) and np.sometrue(values) and np.round_(3.26, 1) == 3.3
    assert np.cumproduct([1, 2, 3]).tolist() == [1, 2, 6] and np.row_stack([[1], [2]]).tolist() == [[1], [2]]
    assert np.in1d(values, [4, 3.25]).tolist() == [True, False, False, True]
    assert np.msort(values).tolist() == [[2.0, 1.0], [3.25, 4.0]]


@pytest.mark.parametrize("script", ["accnn.py", "acc_conv.py", "acc_fc.py", "rank_selection.py"])
def test_a_missing_library_is_one_sentence(tmp_path, script):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('gone', name='numpy')")
    path = os.path.join(os.path.dirname(accnn.__file__), script)
    done = subprocess.run([sys.executable, path, "-m", "x"], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 2 and "error: numpy is missing" in done.stderr and "Traceback" not in done.stderr

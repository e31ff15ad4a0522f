"""Versions that cannot work are refused with a sentence, and the shim for newer NumPy releases is in place."""
import os
import subprocess
import sys

import numpy as np
import pytest

import accnn
from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.versions import check_numpy, check_python


@pytest.mark.parametrize("python", [(3, 7), (3, 12), (3, 13), (2, 7)])
def test_python_versions_that_mxnet_does_not_run_on(python):
    with pytest.raises(AccnnError, match="Python 3.8 to 3.11, but this is Python %d.%d" % python):
        check_python(python)


@pytest.mark.parametrize("numpy", ["2.0.0", "2.4.6", "2.1.0rc1"])
def test_numpy_2_is_refused(numpy):
    with pytest.raises(AccnnError, match="numpy<2"):
        check_numpy(numpy)


@pytest.mark.parametrize("python, numpy", [((3, 8), "1.19.5"), ((3, 11), "1.23.5"), ((3, 11), "1.26.4")])
def test_versions_that_work(python, numpy):
    check_python(python)
    check_numpy(numpy)


def test_the_name_mxnet_needs_is_there():
    assert np.dtype(np.bool) == np.dtype(bool) and mx.__version__ == "1.9.1"


@pytest.mark.parametrize("script", ["accnn.py", "acc_conv.py", "acc_fc.py", "rank_selection.py"])
def test_a_missing_library_is_one_sentence(tmp_path, script):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('gone', name='numpy')")
    path = os.path.join(os.path.dirname(accnn.__file__), script)
    done = subprocess.run([sys.executable, path, "-m", "x"], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 2 and "error: numpy is missing" in done.stderr and "Traceback" not in done.stderr

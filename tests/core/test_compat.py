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


def test_mxnet_is_there_whole_once_an_attribute_was_read():
    import mxnet

    assert mx.nd is mxnet.nd and vars(mx)["gluon"] is mxnet.gluon and not hasattr(mx, "no_such_thing")
    assert set(dir(mx)) == set(dir(mxnet))


# ---- what a script says where a library is missing, or is being imported

SCRIPTS = {"accnn": "-m x", "acc_conv": "-m x --layer y --K 3", "acc_fc": "-m x --layer y --K 3", "check": "-m x",
           "export": "-m x --save-model y",
           "rank_selection": "-m x", "score": "-m x --data-val y", "benchmark": "-m x", "pack": "x y",
           "fine_tune": "--pretrained-model x --model-prefix y --data-train z",
           "two_pass": "-m x --save-model y --data-train z"}


def ended(folder, script, library, code, **more):
    """(int, str): how a script ends, and what it says, where `code` is what a library consists of."""
    (folder / (library + ".py")).write_text(code)
    path = os.path.join(os.path.dirname(accnn.__file__), script + ".py")
    done = subprocess.run([sys.executable, path] + SCRIPTS[script].split(), capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(folder), **more), timeout=60)
    assert "Traceback" not in done.stderr and os.listdir(folder / "here") == []
    return done.returncode, done.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_a_missing_library_is_one_sentence(folder, script):
    code, said = ended(folder, script, "numpy", "raise ModuleNotFoundError('gone', name='numpy')")
    assert code == 2 and said == "error: numpy is missing: pip install accnn's folder, the one with setup.py\n"


@pytest.mark.parametrize("error, remedy", [
    ("ModuleNotFoundError('gone', name='mxnet')", "error: mxnet cannot be imported (gone): pip install mxnet==1.9.1"),
    ("OSError('no libgomp.so.1')", "error: mxnet's library cannot be loaded (no libgomp.so.1): install")])
def test_a_missing_mxnet_is_one_sentence(folder, error, remedy):
    code, said = ended(folder, "score", "mxnet", "raise " + error, DMLC_ROLE="server")  # which needs it at once
    assert code == 2 and said.startswith(remedy) and said.count("\n") == 1


def test_an_interrupt_while_libraries_are_imported_is_told(folder):
    code, said = ended(folder, "accnn", "scipy", "import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    assert code == 130 and said == "interrupted: nothing half-written was left behind\n"

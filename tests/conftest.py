"""Shared by all tests: the package of this checkout comes first, whatever else is installed; no test sees a cache."""
import contextlib
import fcntl
import gc
import itertools
import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
for folder in (HERE, os.path.join(ROOT, "tools")):
    sys.path.insert(0, folder)

from accnn.core.compat import import_mxnet

import_mxnet()  # tests import parts of it themselves, which needs NumPy as compat leaves it

# A shell that starts a job in the background lets it ignore Ctrl-C, which tests raise and expect to be seen.
signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()


def pytest_collection_finish():
    """Every script collects garbage at its end: modules and tests that stay anyway are not looked through each time."""
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test marked as ``alone`` runs while no other of this folder does, in any process (``pytest -n 2``)."""
    with open(os.path.join(HERE, "conftest.py")) as queue, open(os.path.join(ROOT, ".pytest.ini")) as running:
        fcntl.flock(queue, fcntl.LOCK_EX)  # who waits to be alone keeps others from beginning
        fcntl.flock(running, fcntl.LOCK_SH if item.get_closest_marker("alone") is None else fcntl.LOCK_EX)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
        fcntl.flock(running, fcntl.LOCK_UN)  # processes that a test forked hold the open file too


@pytest.fixture(autouse=True)
def no_cache_but_its_own(tmp_path_factory, monkeypatch):
    """What this person's runs learnt, or other tests, is nothing to a test; child processes see the folder too."""
    # Made by what writes there: most tests write nothing.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "caches" / str(next(_numbers))))


@pytest.fixture(autouse=True)
def no_clock(request, monkeypatch):
    """Scripts that are called in this process time what they write only where a test is marked as ``timed``."""
    if request.node.get_closest_marker("timed") is None:
        monkeypatch.setattr("accnn.cli.verify.clock", lambda *_: contextlib.nullcontext())
        monkeypatch.setattr("accnn.cli.verify.timed", lambda *_, **__: None)
        monkeypatch.setattr("accnn.cli.verify.timed_in_engine", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def brief_rates(monkeypatch):
    """Images per second are told of a moment: nothing here depends on how well they are known."""
    monkeypatch.setattr("accnn.scoring.passes._LEAST_SECONDS", 0.01)
    monkeypatch.setattr("accnn.scoring.passes._MOST_SECONDS", 0.05)


@pytest.fixture
def shared():
    """Folder of real checkpoints and images; tests that need it are skipped without."""
    folder = os.path.abspath(os.environ.get("ACCNN_SHARED", os.path.join(ROOT, os.pardir, "shared")))
    if not os.path.isdir(os.path.join(folder, "models")):
        pytest.skip("needs real checkpoints: set ACCNN_SHARED to the folder that holds models/")
    return folder

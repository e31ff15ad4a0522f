"""One process at a time writes a prefix; what says so ends with the process."""
import os
import signal
import subprocess
import sys

import pytest

from accnn.core import locks
from accnn.core.errors import AccnnError
from accnn.core.locks import lock_path, locked

_HOLD = """
import sys
from accnn.core.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""
# Without a lock some of the additions to a counter would be lost.
_COUNT = """
import sys
from accnn.core import locks
if sys.argv[2] == "without":
    locks.fcntl = None
for _ in range(60):
    with locks.locked(sys.argv[1], lambda: None), open(sys.argv[1] + ".count", "r+") as handle:
        number = int(handle.read())
        handle.seek(0)
        handle.write(str(number + 1))
"""


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.dirname(locks.__file__))))


@pytest.fixture
def other(tmp_path, environment):
    """Another process that holds the lock of a prefix until it reads a line."""
    child = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path / "out")], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def test_another_process_is_refused_and_named(tmp_path, other):
    with pytest.raises(locks.Busy, match=r"out is being written by another process \(%d, -c\): wait until" % other.pid):
        with locked(str(tmp_path / "out")):
            pass
    with locked(str(tmp_path / "out-best")), locked(str(tmp_path / "ou")):
        pass
    other.communicate(b"\n")
    assert os.listdir(tmp_path) == []
    with locked(str(tmp_path / "out")):
        pass


def test_one_that_was_killed_is_forgotten(tmp_path, other):
    other.kill()
    other.wait()
    assert os.listdir(tmp_path) == [".out.accnn-lock"]
    with locked(str(tmp_path / "out")):
        assert os.listdir(tmp_path) == [".out.accnn-lock"]
    assert os.listdir(tmp_path) == []


def test_one_that_is_waited_for_is_told_once(tmp_path, other):
    told = []

    def waiting():
        told.append(True)
        other.stdin.write(b"\n")
        other.stdin.flush()

    with locked(str(tmp_path / "out"), waiting):
        assert told == [True] and other.wait(60) == 0


def test_the_same_process_may_take_it_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with locked("out"):
        with locked(str(tmp_path / "out")):
            pass
        assert os.listdir(tmp_path) == [".out.accnn-lock"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("flock", ["with", "without"])
def test_processes_never_hold_it_together(tmp_path, environment, flock):
    (tmp_path / "out.count").write_text("0")
    children = [subprocess.Popen([sys.executable, "-c", _COUNT, str(tmp_path / "out"), flock]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert (tmp_path / "out.count").read_text() == "180" and os.listdir(tmp_path) == ["out.count"]


def test_without_file_locks_the_name_of_the_holder_counts(tmp_path, other, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(AccnnError, match="is being written by another process"), locked(str(tmp_path / "out")):
        pass
    other.kill()
    other.wait()
    with locked(str(tmp_path / "out")):
        pass
    assert os.listdir(tmp_path) == []


def test_an_interrupt_while_the_lock_is_taken_gives_it_back(tmp_path, monkeypatch):
    take = locks._take

    def interrupted(*arguments):
        take(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(locks, "_take", interrupted)
    with pytest.raises(KeyboardInterrupt), locked(str(tmp_path / "net")):
        pytest.fail("the block must not be reached")
    assert os.listdir(tmp_path) == []


def test_who_lives():
    assert locks.is_alive(locks.owner()) is True
    machine, number, started = locks.owner().split("-")
    assert locks.is_alive("%s-%s-%x" % (machine, number, int(started, 16) + 1)) is False  # its number came round
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert locks.is_alive("%s-%x-1" % (machine, child.pid)) is False
    assert locks.is_alive("%04x-1-1" % (int(machine, 16) ^ 1)) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(AccnnError, match="nowhere/out cannot be written: .*No such file"):
        with locked(str(tmp_path / "nowhere" / "out")):
            pass


def test_long_names_have_locks_too(tmp_path):
    path = str(tmp_path / ("é" * 120))
    with locked(path):
        assert len(os.fsencode(os.path.basename(lock_path(path)))) <= 255

"""How a run ends."""
import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from accnn.cli import main
from accnn.core.errors import AccnnError, TargetError
from accnn.core.progress import Progress, say
from processes import interruptible

TOOLS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(main.__file__))))


def _raise(error):
    raise error


def test_exit_codes(capsys):
    assert main.run(lambda: None) == 0 and main.run(lambda: 3) == 3
    assert main.run(_raise, AccnnError("one\ntwo")) == 2
    assert main.run(_raise, TargetError("best is 2x")) == 1
    assert main.run(_raise, OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err.splitlines() == ["error: one two", "error: best is 2x",
                                                    "error: No space left on device"]


def test_an_interrupt_is_told_once_and_handlers_come_back(capsys):
    before = signal.getsignal(signal.SIGINT)
    assert main.run(lambda: os.kill(os.getpid(), signal.SIGTERM)) == main.INTERRUPTED
    assert capsys.readouterr().err.count("interrupted") == 1
    assert signal.getsignal(signal.SIGINT) is before


def _swallow():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass


def test_an_interrupt_that_was_swallowed_is_no_success_and_the_next_one_counts(capsys, monkeypatch):
    assert main.run(_swallow) == main.INTERRUPTED
    assert capsys.readouterr().err == ("interrupted, but the work came to its end before it could be stopped: all its "
                                       "files are written\n")
    monkeypatch.setattr(main, "_UNWINDING", -1.0)

    def lost_then_not():
        _swallow()
        signal.raise_signal(signal.SIGINT)

    assert main.run(lost_then_not) == main.INTERRUPTED
    assert "nothing half-written was left" in capsys.readouterr().err


def test_who_tells_an_interrupt_himself_is_left_to_it(capsys):
    assert main.run(lambda: _swallow() or main.INTERRUPTED) == main.INTERRUPTED and capsys.readouterr().err == ""


class Interrupted:
    """Is interrupted as it goes, where Python drops the exception."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_stops_the_work_all_the_same(capsys, number):
    def body():
        Interrupted(number)
        with subprocess.Popen(["sleep", "20"]) as child:  # a wait that only a signal ends
            try:
                child.wait()
            finally:
                child.kill()

    begun = time.monotonic()
    assert main.run(body) == main.INTERRUPTED and time.monotonic() - begun < 30
    assert capsys.readouterr().err == "interrupted: nothing half-written was left behind\n"


def test_an_interrupt_that_is_dropped_again_and_again_still_stops_the_work(capsys, monkeypatch):
    left = [signal.SIGINT] * 3

    def body():
        Interrupted(left.pop())
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                if not left:
                    raise
                Interrupted(left.pop())

    monkeypatch.setattr(main, "_UNWINDING", -1.0)
    assert main.run(body) == main.INTERRUPTED and not left
    assert "nothing half-written was left" in capsys.readouterr().err


def test_an_object_that_an_interrupt_left_half_made_says_nothing(capsys):
    class HalfMade:
        def __init__(self):
            signal.raise_signal(signal.SIGINT)
            self.handle = 1

        def __del__(self):
            print(self.handle)

    assert main.run(HalfMade) == 130
    gc.collect()
    said = capsys.readouterr()
    assert said.out == "" and said.err == "interrupted: nothing half-written was left behind\n"


def test_an_interrupt_that_is_dropped_at_the_very_end_is_no_success_and_nothing_comes_after(capsys):
    hook, alarm = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    assert main.run(lambda: Interrupted(signal.SIGINT) and None) == main.INTERRUPTED
    assert "came to its end before it could be stopped" in capsys.readouterr().err
    time.sleep(2 * main._AGAIN)
    assert sys.unraisablehook is hook and signal.getsignal(signal.SIGALRM) is alarm


def test_other_errors_that_python_drops_are_told_as_ever(monkeypatch):
    class Careless:
        def __del__(self):
            raise ValueError

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    assert main.run(lambda: Careless() and None) == 0 and told == [ValueError]


def test_an_import_that_an_interrupt_broke_is_an_interrupt():
    def body():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None

    assert main.run(body) == main.INTERRUPTED


ENDING = """
import atexit, os, sys, time
sys.path.insert(0, {tools!r})
from accnn.cli import main

class Late:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(1, b"objects go\\n")
        sleep(0.3)

def late():
    print("exit handlers run", flush=True)
    time.sleep(0.3)

atexit.register(late)
sys.late = Late()
sys.exit(main.run(lambda: 3))
"""


def test_an_interrupt_while_the_interpreter_ends_does_nothing():
    """Beside MXNet that takes a second on a busy machine, and a person presses Ctrl-C twice."""
    child = subprocess.Popen([sys.executable, "-c", ENDING.format(tools=TOOLS)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)
    for told in ("exit handlers run", "objects go"):
        assert child.stdout.readline() == told + "\n"
        child.send_signal(signal.SIGINT)
    assert (child.communicate()[1], child.returncode) == ("", 3)


# ---- a stderr that takes nothing

class Full:
    """A stderr on a disk that is full."""

    def __init__(self, terminal):
        self.isatty = lambda: terminal

    def write(self, text):
        raise OSError(28, "No space left on device")

    flush = write

    def fileno(self):
        raise OSError("no file")


@pytest.mark.parametrize("terminal", [False, True])
def test_remarks_that_cannot_be_written_cost_nothing(monkeypatch, terminal):
    def body():
        say("a remark")
        progress = Progress("work", 2, patience=-1.0, every=-1.0)
        progress(1)
        progress.close()

    monkeypatch.setattr(sys, "stderr", Full(terminal))
    assert main.run(body) == 0 and main.run(_raise, AccnnError("one")) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("body, code", [
    ("lambda: progress.say('a remark')", 0), ("lambda: 1", 1), ("lambda: progress.say('a remark') or 1", 1),
    ("lambda: argparse.ArgumentParser().parse_args(['--nonsense'])", 2)])
def test_what_stderr_did_not_take_does_not_change_the_exit_code(body, code):
    """As it does where Python finds something left to write when it ends."""
    program = ("import argparse, sys; sys.path.insert(0, %r); from accnn.cli import main; from accnn.core import "
               "progress; sys.exit(main.run(%s))" % (TOOLS, body))
    with open("/dev/full", "w") as full:
        assert subprocess.run([sys.executable, "-c", program], stderr=full).returncode == code

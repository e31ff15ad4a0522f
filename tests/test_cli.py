"""How a run ends."""
import os
import signal

from accnn import cli
from accnn.errors import AccnnError, TargetError


def _raise(error):
    raise error


def test_exit_codes(capsys):
    assert cli.run(lambda: None) == 0 and cli.run(lambda: 3) == 3
    assert cli.run(_raise, AccnnError("one\ntwo")) == 2
    assert cli.run(_raise, TargetError("best is 2x")) == 1
    assert cli.run(_raise, OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err.splitlines() == ["error: one two", "error: best is 2x",
                                                    "error: No space left on device"]


def test_an_interrupt_is_told_once_and_handlers_come_back(capsys):
    before = signal.getsignal(signal.SIGINT)
    assert cli.run(lambda: os.kill(os.getpid(), signal.SIGTERM)) == cli.INTERRUPTED
    assert capsys.readouterr().err.count("interrupted") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_that_got_lost_is_not_told_and_the_next_one_counts(capsys, monkeypatch):
    def lost(times):
        for _ in range(times):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass
        return 0

    assert cli.run(lost, 1) == 0 and "interrupted" not in capsys.readouterr().err
    monkeypatch.setattr(cli, "_UNWINDING", -1.0)

    def lost_then_not():
        lost(1)
        signal.raise_signal(signal.SIGINT)

    assert cli.run(lost_then_not) == cli.INTERRUPTED


def test_an_import_that_an_interrupt_broke_is_an_interrupt():
    def body():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None

    assert cli.run(body) == cli.INTERRUPTED

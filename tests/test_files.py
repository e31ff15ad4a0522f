"""Files that belong together appear together, whatever happens in between."""
import os
import signal
import threading

import pytest

from accnn.errors import AccnnError
from accnn.files import interrupts_wait, written_together


def _contents(folder):
    return {name: (folder / name).read_text() for name in sorted(os.listdir(folder)) if (folder / name).is_file()}


def _write(paths, text):
    with written_together([str(path) for path in paths]) as temporaries:
        for temporary in temporaries:
            with open(temporary, "w") as handle:
                handle.write(text)


def test_all_or_none(tmp_path):
    _write([tmp_path / "a", tmp_path / "b"], "old")
    assert _contents(tmp_path) == {"a": "old", "b": "old"}
    with pytest.raises(RuntimeError), written_together([str(tmp_path / "a"), str(tmp_path / "b")]):
        raise RuntimeError
    assert _contents(tmp_path) == {"a": "old", "b": "old"}
    _write([tmp_path / "a", tmp_path / "b"], "new")
    assert _contents(tmp_path) == {"a": "new", "b": "new"}


def test_a_rename_that_is_refused_takes_the_others_back(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").write_text("")
    with pytest.raises(AccnnError, match="folder cannot be written"):
        _write([tmp_path / "a", tmp_path / "b", tmp_path / "folder"], "new")
    assert _contents(tmp_path) == {"a": "old"}
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_an_interrupt_waits_for_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_wait():
        signal.raise_signal(signal.SIGINT)
        done.append(True)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_there_is_no_interrupt_to_wait_for():
    done = []

    def work():
        with interrupts_wait():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_an_interrupt_while_the_handlers_are_exchanged_leaves_the_old_ones(monkeypatch):
    def interrupted(number, handler):
        if number == signal.SIGTERM and not seen:
            seen.append(number)
            raise KeyboardInterrupt
        return real(number, handler)

    real, seen, before = signal.signal, [], [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(signal, "signal", interrupted)
    with pytest.raises(KeyboardInterrupt), interrupts_wait():
        pass
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(AccnnError, match="nowhere/a cannot be written"):
        _write([tmp_path / "nowhere" / "a"], "new")

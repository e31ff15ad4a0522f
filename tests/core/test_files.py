"""Files that belong together appear together, whatever happens in between."""
import errno
import os
import signal
import threading

import pytest

from accnn.core import locks
from accnn.core.errors import AccnnError
from accnn.core.files import interrupts_wait, locked, recover, written_together


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


# --- refused operations ---------------------------------------------------------------------

CALLS = ("open", "replace", "rename", "link", "unlink", "fsync", "chmod", "scandir", "listdir", "ftruncate", "pwrite")


class Refusing:
    """Lets calls of the system fail: the one with the number `first`, or all from there on."""

    def __init__(self, monkeypatch, first=None, on=False, code=errno.ENOSPC, calls=CALLS):
        self.count, self._first, self._on, self._code = 0, first, on, code
        for name in calls:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, plain):
        def call(*arguments, **more):
            self.count += 1
            if self._first is not None and (self.count >= self._first if self._on else self.count == self._first):
                raise OSError(self._code, os.strerror(self._code))
            return plain(*arguments, **more)
        return call


def _replace_set(folder):
    """Write a new set over an old one: 'c' goes with the old one alone, 'd' is new."""
    with locked(str(folder / "set")):
        with written_together([str(folder / name) for name in "abd"], [str(folder / "c")]) as temporaries:
            for temporary in temporaries:
                with open(temporary, "w") as handle:
                    handle.write("new")


OLD_SET, NEW_SET = {"a": "old", "b": "old", "c": "old"}, {"a": "new", "b": "new", "d": "new"}


def _old_set(folder):
    folder.mkdir()
    for name in OLD_SET:
        (folder / name).write_text("old")
    return folder


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("on", [False, True])
def test_whatever_is_refused_all_files_are_old_or_new(tmp_path, monkeypatch, links, on):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    with pytest.MonkeyPatch.context() as patched:
        if not links:
            Refusing(patched, 1, True, errno.EPERM, ["link"])
        counted = Refusing(patched)
        _replace_set(_old_set(tmp_path / "counted"))
    assert _contents(tmp_path / "counted") == NEW_SET and counted.count > 30
    refused = 0
    for number in range(1, counted.count + 1):
        folder = _old_set(tmp_path / str(number))
        with pytest.MonkeyPatch.context() as patched:
            if not links:
                Refusing(patched, 1, True, errno.EPERM, ["link"])
            Refusing(patched, number, on)
            try:
                _replace_set(folder)
                told = NEW_SET
            except AccnnError:
                told = OLD_SET
                refused += 1
        pending = any(name.endswith(".journal") for name in os.listdir(folder))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(locks, "is_alive", lambda owner: False)  # as the next process finds it
            recover(str(folder / "set"))
        found = _contents(folder)
        # Where taking it back is refused too, it is finished as soon as that can be.
        assert found == told or on and pending and found == NEW_SET, (number, found)
        assert sorted(os.listdir(folder)) == sorted(found)
    assert refused > 5


def test_without_hard_links_a_set_is_replaced_and_taken_back(tmp_path, monkeypatch):
    Refusing(monkeypatch, 1, True, errno.EPERM, ["link"])
    _write([tmp_path / "a", tmp_path / "b"], "old")
    _write([tmp_path / "a", tmp_path / "b"], "newer")
    assert _contents(tmp_path) == {"a": "newer", "b": "newer"}
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(AccnnError, match="folder cannot be written"):
        _write([tmp_path / "a", tmp_path / "c", tmp_path / "folder"], "new")
    assert _contents(tmp_path) == {"a": "newer", "b": "newer"} and len(os.listdir(tmp_path)) == 3


def test_folders_of_a_set_may_be_several(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    paths = [tmp_path / "one" / "a", tmp_path / "two" / "b"]
    _write(paths, "old")
    _write(paths, "new")
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert os.listdir(tmp_path / "one") == ["a"] and os.listdir(tmp_path / "two") == ["b"]

"""What a killed process left is put in place or removed by the next; what a living one has is left alone."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from accnn.cli import main
from accnn.core import journal, leftovers, locks
from accnn.core.errors import AccnnError
from accnn.core.files import recover, temporary_folder, written_together

# Ends itself, killed, before its n-th rename; or waits there for a line.
_SAVE = """
import os, signal, sys
from accnn.core.files import written_together
left, plain = int(sys.argv[1]), os.replace
def replace(*arguments):
    global left
    left -= 1
    if not left and sys.argv[2] == "wait":
        print("there", flush=True)
        sys.stdin.readline()
    elif not left:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(*arguments)
os.replace = replace
with written_together(sys.argv[4:], sys.argv[3].split()) as temporaries:
    for temporary in temporaries:
        with open(temporary, "w") as handle:
            handle.write("new")
"""
_FOLDER = """
import os, signal
from accnn.core.files import temporary_folder
with temporary_folder() as folder:
    open(os.path.join(folder, "some.rec"), "w").close()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.%s)
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.dirname(locks.__file__))))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))


def saving(folder, rename, how="kill", names=("a", "b"), removed=""):
    """A process that replaces files by new ones, and does not get beyond one of its renames."""
    return subprocess.Popen([sys.executable, "-c", _SAVE, str(rename), how, removed] + [
        str(folder / name) for name in names], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def killed(folder, rename, **how):
    assert saving(folder, rename, **how).wait(120) == -signal.SIGKILL


def old(folder, names="ab"):
    for name in names:
        (folder / name).write_text("old")


def contents(folder):
    return {name: (folder / name).read_text() for name in sorted(os.listdir(folder))}


# The first rename is that of the journal, with which the set counts as written.
@pytest.mark.parametrize("rename", [1, 2, 3])
def test_a_set_that_was_cut_off_is_finished(tmp_path, rename):
    old(tmp_path, "abc")
    killed(tmp_path, rename, removed=str(tmp_path / "c"))
    assert len(os.listdir(tmp_path)) > 3
    recover(str(tmp_path / "a"))
    assert contents(tmp_path) == ({"a": "old", "b": "old", "c": "old"} if rename == 1 else {"a": "new", "b": "new"})


@pytest.mark.parametrize("rename", [1, 2, 3, 4])
def test_a_set_in_two_folders_is_one(tmp_path, rename):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    names = ("one/a", "two/b")
    old(tmp_path, names)
    killed(tmp_path, rename, names=names)
    for name in names[::-1] if rename % 2 else names:
        recover(str(tmp_path / name))
    expected = "old" if rename < 3 else "new"
    assert [contents(tmp_path / name) for name in ("one", "two")] == [{"a": expected}, {"b": expected}]


def test_a_living_process_is_waited_for(tmp_path, monkeypatch):
    old(tmp_path)
    child = saving(tmp_path, 3, "wait")
    assert child.stdout.readline() == b"there\n"
    with monkeypatch.context() as patched:
        patched.setattr(journal, "_PATIENCE", 0.1)
        with pytest.raises(AccnnError, match="another process is writing these files: wait"):
            recover(str(tmp_path / "a"))
    child.stdin.write(b"\n")
    child.stdin.flush()
    recover(str(tmp_path / "a"))
    assert {name: contents(tmp_path).get(name) for name in "ab"} == {"a": "new", "b": "new"}
    assert child.wait(120) == 0 and len(os.listdir(tmp_path)) == 2


def test_temporary_files_of_a_living_process_stay(tmp_path):
    child = saving(tmp_path, 1, "wait")
    assert child.stdout.readline() == b"there\n"
    before = sorted(os.listdir(tmp_path))
    assert len(before) == 3
    recover(str(tmp_path / "a"))
    with written_together([str(tmp_path / "a2")]):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted(before + ["a2"])
    child.communicate(b"\n")
    assert contents(tmp_path) == {"a": "new", "a2": "", "b": "new"}


def test_what_earlier_versions_left(tmp_path):
    for name in (".out-0001.params.ab12_xyz.tmp", ".other.params.ab12_xyz.tmp", ".out.short.tmp", "out-1.abcd1234.tmp"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - 1e4,) * 2)
    (tmp_path / ".out-0002.params.ab12_xyz.tmp").write_text("")  # younger than this process
    os.utime(tmp_path / ".out-0002.params.ab12_xyz.tmp", (time.time() + 1e4,) * 2)
    recover(str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path)) == [".other.params.ab12_xyz.tmp", ".out-0002.params.ab12_xyz.tmp",
                                            ".out.short.tmp", "out-1.abcd1234.tmp"]


# --- journals that must not be followed ------------------------------------------------------

OWN = locks.owner().split("-")[0] + "-3fffffff-1"  # no process has that number
TEMPORARY = ".a.%s-abcd1234.tmp" % OWN


def pending(folder, text=None, **changed):
    """Write a journal, and what it would rename; return its path."""
    (folder / TEMPORARY).write_text("new")
    plain = {"accnn_journal": 1, "renames": [[TEMPORARY, "a"]], "removed": [], "asides": [], "set": []}
    document = dict(plain, **changed)
    path = folder / (".accnn.%s-abcd1234.journal" % OWN)
    path.write_text(json.dumps(document) if text is None else text)
    return path


@pytest.mark.parametrize("changed", [
    {"text": ""}, {"text": "[]"}, {"text": "{"}, {"text": "[" * 100000}, {"text": "\0\xff"}, {"accnn_journal": 2},
    {"renames": {}}, {"renames": [[TEMPORARY]]}, {"renames": [[TEMPORARY, 1]]}, {"renames": [[TEMPORARY, "../a"]]},
    {"renames": [["../" + TEMPORARY, "a"]]}, {"renames": [["/etc/passwd", "a"]]}, {"renames": [["mine", "a"]]},
    {"renames": [[TEMPORARY, "b"]]}, {"renames": [[TEMPORARY, "."]]}, {"removed": ["../b"]}, {"removed": ["/tmp"]},
    {"removed": [".."]}, {"removed": [""]}, {"removed": [None]}, {"asides": ["b"]}, {"set": ["b"]}, {"set": [3]},
    {"more": 1}])
def test_a_journal_that_is_damaged_or_leads_elsewhere_is_refused(tmp_path, changed):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("folder/a", "folder/b", "b", "mine"):
        (tmp_path / name).write_text("old")
    path = pending(folder, **changed)
    before = contents(folder)
    with pytest.raises(AccnnError, match="abcd1234.journal is damaged or not of accnn .*remove it") as caught:
        recover(str(folder / "a"))
    assert "\n" not in str(caught.value)
    assert contents(folder) == before and sorted(os.listdir(tmp_path)) == ["b", "folder", "mine"]
    path.unlink()
    recover(str(folder / "a"))
    assert contents(folder) == {"a": "old", "b": "old"}


def test_a_set_that_lacks_a_file_is_said(tmp_path):
    pending(tmp_path, renames=[[TEMPORARY, "a"], [".b.%s-abcd1234.tmp" % OWN, "b"]])
    with pytest.raises(AccnnError, match="killed while it replaced a, b in .*do not fit together"):
        recover(str(tmp_path / "a"))


def test_a_folder_that_is_read_only(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(30, "Read-only file system")

    old(tmp_path)
    for name in ("replace", "unlink", "rename"):
        monkeypatch.setattr(os, name, refused)
    recover(str(tmp_path / "a"))
    path = pending(tmp_path)
    recover(str(tmp_path / "b"))  # it is none of theirs
    with pytest.raises(AccnnError, match="killed while it replaced a in .*Read-only file system.*make the folder"):
        recover(str(tmp_path / "a"))
    os.remove(tmp_path / TEMPORARY)
    recover(str(tmp_path / "a"))  # all was done but the removing of the journal
    assert path.exists()


# --- temporary folders -----------------------------------------------------------------------


def test_temporary_folders_of_killed_runs_go_with_the_next(tmp_path):
    ended = subprocess.run([sys.executable, "-c", _FOLDER % "SIGKILL"], stdout=subprocess.PIPE, text=True,
                           env=dict(os.environ, TMPDIR=tempfile.gettempdir()), timeout=120)
    folder = ended.stdout.strip()
    assert ended.returncode == -signal.SIGKILL and os.listdir(folder) == ["some.rec"]
    mine = os.path.join(os.path.dirname(folder), "accnn-pictures")
    os.mkdir(mine)
    with temporary_folder() as own:
        assert main.run(lambda: 0) == 0
        assert sorted(os.listdir(os.path.dirname(folder))) == sorted([os.path.basename(own), "accnn-pictures"])
    assert os.listdir(os.path.dirname(folder)) == ["accnn-pictures"]


def test_an_interrupt_while_a_temporary_folder_is_made_leaves_none(tmp_path, monkeypatch):
    made = leftovers.new_folder

    def interrupted():
        found = made()
        signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(leftovers, "new_folder", interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder():
        pytest.fail("the block must not be reached")
    assert os.listdir(tmp_path) == []

"""Files of latency tables that are damaged or cannot be written: refused, or told once; what is there stays."""
import json
import os
import resource
import signal
import stat

import pytest
from table_for_tests import CHAIN, OTHER, SETTING, THIRD, Timed, filled, known

from accnn.core.errors import AccnnError
from accnn.latency.table import LatencyTable, check_target, network_key

# ---- files that are no tables

GOOD = {"holds": "table of milliseconds", "version": 2, "measured": [
    {"cpu": "An Abacus", "mxnet": "1.9.1", "settings": {}, "threads": 2, "batch_size": 1, "reference_ms": 2.0,
     "times": {CHAIN: {"relative": 1.5, "spread": 0.0, "rounds": 5}}}]}


def damaged(change):
    document = json.loads(json.dumps(GOOD))
    change(document, document["measured"][0])
    return json.dumps(document)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{}", '"a"', "\x00", "[" * 100000, '{"holds": "list of energies"}'] + [
    damaged(change) for change in (
        lambda whole, row: whole.update(holds="something"),
        lambda whole, row: whole.update(measured=None),
        lambda whole, row: row.pop("cpu"),
        lambda whole, row: row.update(cpu=3),
        lambda whole, row: row.update(settings={"A": 1}),
        lambda whole, row: row.update(threads=0),
        lambda whole, row: row.update(batch_size=True),
        lambda whole, row: row.update(reference_ms=None),
        lambda whole, row: row.update(reference_ms=-1),
        lambda whole, row: row.update(times=[CHAIN]),
        lambda whole, row: row.pop("times"),
        lambda whole, row: row.update(chains=row.pop("times")),  # as in earlier versions, but without their networks
        lambda whole, row: row.update(chains={}, networks={"n": {"relative": 1e-320}}),
        lambda whole, row: row.update(chains={}, networks=[1]),
        lambda whole, row: row["times"].update(a={"relative": 1.0}),
        lambda whole, row: row["times"][CHAIN].update(relative=0),
        lambda whole, row: row["times"][CHAIN].update(relative=float("nan")),
        lambda whole, row: row["times"][CHAIN].update(relative=10 ** 400),
        lambda whole, row: row["times"][CHAIN].update(relative="1.5"),
        lambda whole, row: row["times"][CHAIN].update(relative=1e299),
        lambda whole, row: row["times"][CHAIN].update(relative=1e-320),
        lambda whole, row: row["times"][CHAIN].update(spread=1e299),
        lambda whole, row: row["times"][CHAIN].update(rounds=10 ** 30),
        lambda whole, row: row.update(reference_ms=1e-320),
        lambda whole, row: row.update(reference_ms=1e7),
        lambda whole, row: row.update(threads=10 ** 400),
        lambda whole, row: row["times"][CHAIN].update(spread=-1),
        lambda whole, row: row["times"][CHAIN].update(spread=float("inf")),
        lambda whole, row: row["times"][CHAIN].update(rounds=0.5),
        lambda whole, row: row["times"][CHAIN].update(refused=None),
    )])
def test_what_is_no_table_is_refused_with_the_remedy(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(AccnnError, match="table.json is no table of milliseconds: remove it, or name another folder "
                                         "with `cache`"):
        known(path)
    with pytest.raises(AccnnError, match="table.json is no table of milliseconds"):
        LatencyTable.imported(str(path), 2, 1)
    with pytest.raises(AccnnError, match="table.json is no table of milliseconds: remove it, or name another file"):
        filled(tmp_path / "good.json").export(str(path))
    assert path.read_text() == text


def test_the_sound_table_of_these_tests_is_one(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps(GOOD))
    assert known(tmp_path / "table.json").ms(CHAIN) == 3.0


def test_a_table_of_an_earlier_version_which_kept_networks_apart_is_read_and_written_anew(tmp_path):
    document, path = json.loads(json.dumps(GOOD)), tmp_path / "table.json"
    (row,) = document["measured"]
    row["chains"] = row.pop("times")
    row["networks"] = {"n": {"relative": 3, "corrections": {"895af7bb": {"3": 1.01}}}, "m": {"inside": {}}}
    path.write_text(json.dumps(document))
    table = known(path)
    assert (table.ms(CHAIN), table.ms(network_key("n")), table.ms(network_key("m"))) == (3.0, 6.0, None)
    table.add(Timed(OTHER, 2.0))
    table.save()
    (row,) = json.loads(path.read_text())["measured"]
    assert set(row["times"]) == {CHAIN, OTHER, network_key("n")} and "chains" not in row and "networks" not in row


@pytest.mark.parametrize("version", [1, "2", None])
def test_a_table_of_another_version_is_told_and_left_alone(tmp_path, version):
    path, text = tmp_path / "table.json", json.dumps(dict(GOOD, version=version))
    path.write_text(text)
    with pytest.raises(AccnnError, match="is a table of milliseconds of another version of accnn: remove it, or name "
                                         "another folder with `cache`"):
        known(path)
    with pytest.raises(AccnnError, match="of another version of accnn"):
        LatencyTable.imported(str(path), 2, 1)
    with pytest.raises(AccnnError, match="of another version of accnn: remove it, or name another file"):
        filled(tmp_path / "good.json").export(str(path))
    assert path.read_text() == text


def test_numbers_that_are_too_large_are_damage(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps(GOOD).replace("1.5", "1e999"))
    with pytest.raises(AccnnError, match="is no table"):
        known(tmp_path / "table.json")


@pytest.fixture
def pipe(tmp_path):
    """Path of a pipe into which nobody writes; who waits for its end is stopped."""
    def stop(_number, _frame):
        raise TimeoutError

    os.mkfifo(str(tmp_path / "pipe"))
    other, alarm = os.open(str(tmp_path / "pipe"), os.O_RDWR), signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 5)
    yield str(tmp_path / "pipe")
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, alarm)
    os.close(other)


def test_what_is_no_regular_file_is_not_opened(tmp_path, capsys, pipe):
    for refused in (lambda: LatencyTable.imported(pipe, 2, 1), lambda: check_target(pipe),
                    lambda: filled(tmp_path / "good.json").export(pipe)):
        with pytest.raises(AccnnError, match="pipe cannot be read: it is a pipe, no regular file"):
            refused()
    assert "pipe cannot be read: it is a pipe, no regular file: measuring anew" in saved_in_vain(known(pipe), capsys)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


# ---- a cache that cannot be written is no error

def saved_in_vain(table, capsys):
    """str: what was said when it could not be saved, once, with all that was measured still there."""
    for key in (CHAIN, OTHER):
        table.add(Timed(key, 1.5))
        table.save()
    assert table.ms(CHAIN) == table.ms(OTHER) == 3.0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "table.json"
    assert "%s cannot be read: Not a directory: measuring anew" % path in saved_in_vain(known(path), capsys)


def test_a_read_only_folder_is_said_once(tmp_path, capsys, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    path = tmp_path / "table.json"
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.mkstemp", read_only)
        table = known(path)
        assert saved_in_vain(table, capsys) == "%s cannot be written: Read-only file system: what this run finds out " \
            "is not kept for the next one\n" % path
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", read_only)
        assert "cannot be written: Read-only" in saved_in_vain(known(tmp_path / "new" / "table.json"), capsys)
    table.save()  # it can be again
    assert known(path).ms(CHAIN) == 3.0


def test_a_full_disk_is_said_once_and_the_old_file_stays(tmp_path, capsys):
    path = tmp_path / "table.json"
    filled(path, Timed(THIRD, 1.0))
    table, before = known(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        said = saved_in_vain(table, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "%s cannot be written: " % path in said
    assert known(path).ms(THIRD) == 2.0 and os.listdir(tmp_path) == ["table.json"]


def test_a_file_that_is_damaged_meanwhile_is_left_alone(tmp_path, capsys):
    path = tmp_path / "table.json"
    table = known(path)
    path.write_text("my diary")
    assert saved_in_vain(table, capsys).startswith("%s is no table of milliseconds: " % path)
    assert path.read_text() == "my diary"


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_interrupt_while_it_saves_leaves_the_old_file(tmp_path, monkeypatch, moment):
    path = tmp_path / "table.json"
    filled(path)
    table, real = known(path), getattr(os, moment)

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    table.add(Timed(OTHER, 1.0))
    with monkeypatch.context() as patched:
        patched.setattr(os, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            table.save()
    assert os.listdir(tmp_path) == ["table.json"] and known(path).ms(CHAIN) == 3.0
    # Renaming is not interrupted; before it nothing has happened.
    assert (known(path).ms(OTHER) is not None) == (moment == "replace")
    table.save()  # and the lock is gone
    assert known(path).ms(OTHER) == 2.0


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = LatencyTable(SETTING)
    table.add(Timed(CHAIN, 1.0))
    table.save()
    assert os.listdir(tmp_path) == [] and capsys.readouterr().err == ""

"""What is known of milliseconds: kept, shared by runs that write at once, and never the reason that a run fails."""
import json
import os
import resource
import signal
import stat
import time
from dataclasses import dataclass
from typing import Optional

import pytest

from accnn.core import json_store, locks
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.latency.table import LatencyTable, Setting, check_target, network_key
from accnn.timing import machine
from processes import Forked

CHAIN, OTHER, THIRD = "256,28,28|conv 256-64 3x1 p1x0", "512|fc 512-10 b", "3,8,8|conv 3-4 1x1"


@dataclass(frozen=True)
class Timed:
    key: str
    relative: Optional[float]
    spread: Optional[float] = 0.02
    rounds: int = 5
    reference_ms: Optional[float] = 2.0
    refused: Optional[str] = None


SETTING = Setting("An Abacus", "1.9.1", (), 2, 1)


def filled(path, *timed, setting=SETTING):
    table = LatencyTable(setting, str(path))
    for one in timed or [Timed(CHAIN, 1.5)]:
        table.add(one)
    table.save()
    return table


def known(path, setting=SETTING):
    return LatencyTable(setting, str(path))


# ---- what it answers

def test_milliseconds_are_the_relative_times_of_the_first_reference():
    table = LatencyTable(SETTING)
    assert table.reference_ms is None and table.ms(CHAIN) is None and table.entry(CHAIN) is None
    table.add(Timed(CHAIN, 1.5))
    table.add(Timed(OTHER, 0.25, spread=0.1, rounds=9, reference_ms=4.0))
    assert table.reference_ms == 2.0
    assert (table.ms(CHAIN), table.ms(OTHER), table.ms(THIRD)) == (3.0, 0.5, None)
    assert table.entry(OTHER) == {"relative": 0.25, "spread": 0.1, "rounds": 9}
    table.add(Timed(CHAIN, 1.25))
    assert table.ms(CHAIN) == 2.5


def test_refusals_are_remembered_and_give_way_to_times_but_not_the_other_way(tmp_path):
    path = tmp_path / "table.json"
    filled(path, Timed(CHAIN, None, None, 0, None, "too large"), Timed(OTHER, 1.0),
           Timed(OTHER, None, refused="out of memory"))
    table = known(path)
    assert table.entry(CHAIN) == {"relative": None, "spread": None, "rounds": 0, "refused": "too large"}
    assert table.ms(CHAIN) is None and table.ms(OTHER) == 2.0 and "refused" not in table.entry(OTHER)
    filled(path, Timed(CHAIN, 1.0), Timed(OTHER, None, refused="out of memory"))
    assert known(path).ms(CHAIN) == 2.0 and known(path).ms(OTHER) == 2.0


def test_a_table_of_refusals_takes_the_reference_of_the_first_time(tmp_path):
    filled(tmp_path / "table.json", Timed(CHAIN, None, None, 0, 1.0, "too large"))
    assert known(tmp_path / "table.json").reference_ms is None
    assert filled(tmp_path / "table.json", Timed(OTHER, 1.5, reference_ms=3.0)).ms(OTHER) == 4.5


@pytest.mark.parametrize("wrong", [{"relative": float("nan")}, {"relative": 0.0}, {"relative": -1.0},
                                   {"relative": 1e299}, {"relative": 1e-320}, {"reference_ms": 1e-7},
                                   {"spread": 1e299},
                                   {"relative": float("inf")}, {"reference_ms": 0.0}, {"reference_ms": None},
                                   {"spread": float("nan")}, {"spread": -1.0}, {"rounds": 0}])
def test_what_is_no_time_is_not_taken(wrong):
    table = LatencyTable(SETTING)
    with pytest.raises(ValueError):
        table.add(Timed(CHAIN, **dict({"relative": 1.0}, **wrong)))
    assert table.entry(CHAIN) is None and table.reference_ms is None


def test_a_network_is_an_entry_beside_the_chains(tmp_path):
    name = network_key("abc data:3,8,8")
    filled(tmp_path / "table.json", Timed(CHAIN, 1.5), Timed(name, 12.3456789, 0.1, 7))
    table = known(tmp_path / "table.json")
    assert table.ms(name) == 24.6914 and table.entry(name) == {"relative": 12.3457, "spread": 0.1, "rounds": 7}
    assert table.ms(network_key("x")) is None


# ---- the setting

def test_the_setting_is_that_of_this_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith(machine._TELLING)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for name in ("MKL_VERBOSE", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"):
        monkeypatch.setenv(name, "1")
    plain = Setting.here(2, 8)
    assert plain == Setting(machine.cpu_model(), mx.__version__, (), 2, 8)
    assert str(plain) == "%s with mxnet %s, 2 threads, batch 8" % (machine.cpu_model(), mx.__version__)
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
    bound = Setting.here(1, 8)
    assert bound.settings == (("MXNET_SUBGRAPH_BACKEND", "NONE"), ("OMP_PROC_BIND", "true"))
    assert str(bound).endswith(" and MXNET_SUBGRAPH_BACKEND=NONE, OMP_PROC_BIND=true, 1 thread, batch 8")


@pytest.mark.parametrize("cpu, mxnet, settings, foreign", [
    ("An Abacus", "1.9.1", {}, False), ("An Abacus", "1.9.1", {"MXNET_VERBOSE": "1"}, False),
    ("A Slide Rule", "1.9.1", {}, True), ("An Abacus", "1.8.0", {}, True),
    ("An Abacus", "1.9.1", {"MXNET_A": "1"}, True)])
def test_a_table_of_another_processor_mxnet_or_environment_is_foreign(monkeypatch, cpu, mxnet, settings, foreign):
    monkeypatch.setattr(machine, "environment", lambda: {"cpu": cpu, "mxnet": mxnet, "settings": settings})
    assert LatencyTable(SETTING).foreign is foreign


# ---- the file

def test_a_table_is_read_again_to_the_last_digit(tmp_path):
    path = tmp_path / "new" / "folders" / "table.json"
    table = filled(path, Timed(CHAIN, 1 / 3, 2 / 3, 5, 200 / 3))
    assert known(path).ms(CHAIN) == table.ms(CHAIN) == 0.333333 * 66.6667
    assert known(path).entry(CHAIN) == table.entry(CHAIN)
    (row,) = json.loads(path.read_text())["measured"]
    assert (row["cpu"], row["threads"], row["reference_ms"]) == ("An Abacus", 2, 66.6667)
    assert row["times"] == {CHAIN: {"relative": 0.333333, "spread": 0.666667, "rounds": 5}}


def test_keys_are_sorted_and_nothing_new_leaves_the_file_alone(tmp_path):
    path = tmp_path / "table.json"
    filled(path, Timed(OTHER, 1), Timed(CHAIN, 2))
    one = path.read_bytes()
    path.unlink()
    filled(path, Timed(CHAIN, 2), Timed(OTHER, 1))
    assert path.read_bytes() == one
    os.utime(path, (1, 1))
    known(path).save()
    assert path.stat().st_mtime == 1 and os.listdir(tmp_path) == ["table.json"]


def test_runs_that_share_a_file_keep_what_the_others_wrote(tmp_path):
    path = tmp_path / "table.json"
    filled(path, Timed(CHAIN, 1.0))
    one, two = known(path), known(path)
    one.add(Timed(OTHER, 3.0, reference_ms=9.0))
    one.add(Timed(network_key("n"), 5.0))
    two.add(Timed(CHAIN, 2.0))
    two.save()
    one.save()  # its 1.0 of CHAIN was only read
    after = known(path)
    assert (after.ms(CHAIN), after.ms(OTHER), after.ms(network_key("n"))) == (4.0, 6.0, 10.0)


def test_of_two_runs_that_begin_a_table_the_first_to_save_has_the_reference(tmp_path):
    path = tmp_path / "table.json"
    two = LatencyTable(SETTING, str(path))
    two.add(Timed(OTHER, 1.0, reference_ms=5.0))
    filled(path, Timed(CHAIN, 1.0, reference_ms=4.0))
    two.save()
    assert known(path).reference_ms == 4.0 and two.ms(OTHER) == 5.0  # a run's own milliseconds stay as they are
    assert known(path).ms(OTHER) == 4.0


def test_what_was_read_survives_the_removal_of_the_file(tmp_path):
    path = tmp_path / "table.json"
    filled(path)
    table = known(path)
    path.unlink()
    table.add(Timed(OTHER, 1.0))
    table.save()
    assert known(path).ms(CHAIN) == 3.0 and known(path).ms(OTHER) == 2.0


def write_slowly(path, name, other):
    """Save a time twelve times, once the other process is there too."""
    dumps = json_store.json.dumps
    json_store.json.dumps = lambda *a, **k: time.sleep(0.02) or dumps(*a, **k)  # between reading and writing
    json_store._PATIENCE = 60  # on a busy machine the other one may take long
    open(path + name, "w").close()
    while not os.path.exists(path + other):
        time.sleep(0.002)
    for number in range(12):
        table = LatencyTable(SETTING, path)
        table.add(Timed("%s %d" % (name, number), 1.0))
        table.save()


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    path = str(tmp_path / "table.json")
    writers = [Forked(write_slowly, path, *names, log=tmp_path / ("said by " + names)) for names in ("ab", "ba")]
    assert [writer.said(60) for writer in writers] == ["", ""] and [writer.returncode for writer in writers] == [0, 0]
    table = known(path)
    assert all(table.ms("%s %d" % (name, number)) for name in "ab" for number in range(12))


def test_a_run_that_is_stopped_while_it_writes_holds_nobody_up_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(json_store, "_PATIENCE", 0.2)
    with json_store._locked(str(tmp_path)):
        begun = time.monotonic()
        filled(tmp_path / "table.json")
    assert time.monotonic() - begun >= 0.2 and known(tmp_path / "table.json").ms(CHAIN) == 3.0


# ---- other settings in the file

def test_other_threads_and_batches_are_kept_and_need_no_word(tmp_path, capsys):
    path, batch = tmp_path / "table.json", Setting("An Abacus", "1.9.1", (), 2, 8)
    filled(path)
    filled(path, Timed(CHAIN, 4.0), setting=batch)
    assert known(path).ms(CHAIN) == 3.0 and known(path, batch).ms(CHAIN) == 8.0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("other", [Setting("A Slide Rule", "1.9.1", (), 2, 1), Setting("An Abacus", "1.8.0", (), 2, 1),
                                   Setting("An Abacus", "1.9.1", (("OMP_PROC_BIND", "true"),), 2, 1)])
def test_other_machines_are_named_ignored_and_kept(tmp_path, capsys, other):
    path = tmp_path / "table.json"
    filled(path, Timed(CHAIN, 7.0), setting=other)
    assert capsys.readouterr().err == ""
    table = known(path)
    assert capsys.readouterr().err == "%s was measured on %s: ignoring it, measuring here\n" % (path, other.machine)
    assert table.ms(CHAIN) is None
    table.add(Timed(CHAIN, 1.0))
    table.save()
    assert known(path).ms(CHAIN) == 2.0 and known(path, other).ms(CHAIN) == 14.0
    assert capsys.readouterr().err == ""


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


# ---- tables for other machines

def test_an_exported_table_is_imported_whatever_the_machine(tmp_path):
    path = tmp_path / "new" / "abacus.json"
    table = filled(tmp_path / "cache.json", Timed(CHAIN, 1.5), Timed(OTHER, 2.5), Timed(THIRD, None, refused="no"))
    table.export(str(path), [CHAIN, THIRD, "never asked"])
    found = LatencyTable.imported(str(path), 2, 1)
    assert found.setting == SETTING and found.foreign and found.reference_ms == 2.0
    assert found.ms(CHAIN) == 3.0 and found.entry(OTHER) is None and found.entry(THIRD)["refused"] == "no"
    written = path.read_bytes()
    found.add(Timed(OTHER, 1.0))
    found.save()
    assert path.read_bytes() == written
    table.export(str(path))
    assert LatencyTable.imported(str(path), 2, 1).ms(OTHER) == 5.0


def test_an_export_names_its_networks(tmp_path):
    a, b = network_key("a"), network_key("b")
    table = filled(tmp_path / "cache.json", Timed(CHAIN, 1.5), Timed(a, 4.0), Timed(b, 5.0))
    table.export(str(tmp_path / "some.json"), [CHAIN, a, network_key("never seen")])
    found = LatencyTable.imported(str(tmp_path / "some.json"), 2, 1)
    assert (found.ms(a), found.ms(b), found.ms(CHAIN)) == (8.0, None, 3.0)
    table.export(str(tmp_path / "some.json"), [b])  # beside what is there
    found = LatencyTable.imported(str(tmp_path / "some.json"), 2, 1)
    assert (found.ms(a), found.ms(b), found.ms(CHAIN)) == (8.0, 10.0, 3.0)


def test_an_export_keeps_what_the_file_holds(tmp_path):
    batch, path = Setting("An Abacus", "1.9.1", (), 2, 8), str(tmp_path / "abacus.json")
    filled(tmp_path / "a", Timed(CHAIN, 1.0)).export(path)
    filled(tmp_path / "b", Timed(CHAIN, 4.0), setting=batch).export(path)
    filled(tmp_path / "c", Timed(OTHER, 2.0)).export(path)
    one, eight = LatencyTable.imported(path, 2, 1), LatencyTable.imported(path, 2, 8)
    assert (one.ms(CHAIN), one.ms(OTHER), eight.ms(CHAIN), eight.ms(OTHER)) == (2.0, 4.0, 8.0, None)


def test_imports_name_what_there_is(tmp_path):
    path = tmp_path / "table.json"
    with pytest.raises(AccnnError, match="there is no file .*table.json"):
        LatencyTable.imported(str(path), 2, 1)
    with pytest.raises(AccnnError, match="cannot be read: it is a folder"):
        LatencyTable.imported(str(tmp_path), 2, 1)
    filled(path)
    with pytest.raises(AccnnError, match="holds times of no machine with 4 threads and batch 1.*holds, An Abacus with "
                                         "mxnet 1.9.1, 2 threads, batch 1$"):
        LatencyTable.imported(str(path), 4, 1)
    with pytest.raises(AccnnError, match="holds times of no machine with 1 thread and batch 1"):
        LatencyTable.imported(str(path), 1, 1)
    filled(path, setting=Setting("A Slide Rule", "1.9.1", (), 2, 1))
    with pytest.raises(AccnnError, match="holds times of more than one machine .*A Slide Rule .*; An Abacus"):
        LatencyTable.imported(str(path), 2, 1)


def test_an_export_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AccnnError, match="cannot be written: "):
        filled(tmp_path / "good.json").export(str(tmp_path / "file" / "table.json"))


def test_times_count_with_their_standard_error(tmp_path):
    """Chance makes some too short: these are what a choice among hundreds would be made of."""
    table = LatencyTable(Setting.here(1, 1))
    for key, spread, rounds in (("a", 0.0, 5), ("b", 0.1, 9), ("c", 0.9, 4), ("d", 0.5, 2)):
        table.add(Timed(key, 4.0, spread, rounds, 1.5))
    assert [table.ms_plus_stderr(key) for key in "abcd"] == pytest.approx([6, 6 * (1 + 0.93 * 0.1 / 3), 6.6, 6.6])
    assert table.ms_plus_stderr("e") is None and table.ms("c") == 6


def test_what_a_killed_run_left_in_the_cache_is_removed(tmp_path):
    path = tmp_path / "table.json"
    filled(path)
    (tmp_path / (".table.json.%s-3fffffff-1-abcd1234.tmp" % locks.owner().split("-")[0])).write_text("{")
    known(path)
    assert os.listdir(tmp_path) == ["table.json"]

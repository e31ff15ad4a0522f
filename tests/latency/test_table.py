"""What is known of milliseconds: kept, shared by runs that write at once, and never the reason that a run fails."""
import json
import os
import time

import pytest
from table_for_tests import CHAIN, OTHER, SETTING, THIRD, Timed, filled, known

from accnn.core import amx, json_store, locks
from accnn.core.compat import mx
from accnn.latency.config import TimingConfig
from accnn.latency.table import LatencyTable, Setting, network_key, open_table
from accnn.timing import machine
from processes import Forked

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


def test_times_count_with_their_standard_error(tmp_path):
    """Chance makes some too short: these are what a choice among hundreds would be made of."""
    table = LatencyTable(Setting.here(1, 1))
    for key, spread, rounds in (("a", 0.0, 5), ("b", 0.1, 9), ("c", 0.9, 4), ("d", 0.5, 2)):
        table.add(Timed(key, 4.0, spread, rounds, 1.5))
    assert [table.ms_plus_stderr(key) for key in "abcd"] == pytest.approx([6, 6 * (1 + 0.93 * 0.1 / 3), 6.6, 6.6])
    assert table.ms_plus_stderr("e") is None and table.ms("c") == 6


# ---- the setting

def test_the_setting_is_that_of_this_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith(machine._TELLING)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for name in ("MKL_VERBOSE", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"):
        monkeypatch.setenv(name, "1")
    plain = Setting.here(2, 8)
    assert plain == Setting(machine.cpu_model(), mx.__version__, (), 2, 8, amx.isa(False)) and not plain.amx
    assert str(plain) == "%s with mxnet %s and %s, 2 threads, batch 8" % (
        machine.cpu_model(), mx.__version__, plain.isa)
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
    bound = Setting.here(1, 8)
    assert bound.settings == (("MXNET_SUBGRAPH_BACKEND", "NONE"), ("OMP_PROC_BIND", "true"))
    assert str(bound).endswith(", MXNET_SUBGRAPH_BACKEND=NONE, OMP_PROC_BIND=true, 1 thread, batch 8")


def test_the_setting_says_which_instructions_will_run(monkeypatch, tmp_path):
    monkeypatch.setattr(amx, "unusable", lambda: None)
    monkeypatch.setenv(amx.VARIABLE, amx.AMX)
    asleep, awake = Setting.here(1, 1), Setting.here(1, 1, True)
    assert awake.isa == "AVX512_CORE_AMX" != asleep.isa and awake.amx and not asleep.amx
    assert asleep.settings == awake.settings and (amx.VARIABLE, amx.AMX) not in awake.settings
    assert open_table(TimingConfig(threads=1, amx=True)).setting == awake
    assert not LatencyTable(awake).foreign and not LatencyTable(asleep).foreign
    monkeypatch.setattr(amx, "unusable", lambda: "no such units")
    assert LatencyTable(awake).foreign and not LatencyTable(asleep).foreign
    path = tmp_path / "table.json"
    filled(path, Timed(CHAIN, 2.0, 0.0, 3, 1.0), setting=awake)
    assert known(path, awake).ms(CHAIN) == 2.0 and known(path, asleep).ms(CHAIN) is None


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


def test_what_a_killed_run_left_in_the_cache_is_removed(tmp_path):
    path = tmp_path / "table.json"
    filled(path)
    (tmp_path / (".table.json.%s-3fffffff-1-abcd1234.tmp" % locks.owner().split("-")[0])).write_text("{")
    known(path)
    assert os.listdir(tmp_path) == ["table.json"]


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

"""What scripts write takes the place of nothing that is read or kept, and of nothing that is no file."""
import os
from argparse import Namespace

import pytest

from accnn import rank_selection
from accnn.cli import outputs
from accnn.core.errors import AccnnError
from accnn.timing import clock
from networks import chain_model, saved


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where names begin: a checkpoint with two epochs, a pipe, and a link to it."""
    monkeypatch.chdir(tmp_path)
    for epoch in (1, 3):
        saved(chain_model(), tmp_path / "net", epoch)
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    return tmp_path


def arguments(**more):
    return Namespace(**dict({"model": "net", "cache": "cache", "import_latencies": None, "export_latencies": None,
                             "sensitivity_table": None, "data_calib": None, "data_calib_idx": None,
                             "force": False}, **more))


FILES = {"import_latencies": "times.json", "sensitivity_table": "table.json", "data_calib": "some.rec"}


@pytest.mark.parametrize("name", ["net-symbol.json", "net-0001.params", "net-0003.params", "net-0002.params",
                                  "./net-0017.params", "net-12345.params"])
def test_a_file_of_the_model_is_none_that_was_saved_nor_one_that_may_be(folder, name):
    with pytest.raises(AccnnError, match="--output .* is a file of the model that is read: choose another name"):
        outputs.check_config("--output", "net", name)
    with pytest.raises(AccnnError, match="is a file of the model"):
        outputs.check_config("--output", str(folder / "net"), name)


@pytest.mark.parametrize("name", ["net-1.params", "net-0001.params.json", "internet-0001.params", "Net-0001.params",
                                  "net.json", "cache/net-0001.params"])
def test_other_names_are_free(folder, name):
    (folder / "cache").mkdir()
    outputs.check_config("--output", "net", name)
    outputs.check_output(arguments(**FILES), name)


@pytest.mark.parametrize("name", ["pipe", "link", "/dev/null", "/dev/full"])
def test_what_is_no_regular_file_is_not_replaced(folder, name):
    for check in (lambda: outputs.check_config("--output", "net", name),
                  lambda: outputs.check_export(arguments(export_latencies=name), [])):
        with pytest.raises(AccnnError, match="%s is no regular file: choose another name" % name):
            check()
    outputs.check_folder("PREFIX", "pipe")  # names only begin like that


def test_what_this_process_has_open_is_not_replaced(folder):
    """As /dev/stdout is a link to what stdout was turned to, which may be a file: the link would be lost."""
    with open("log", "w") as log:
        os.symlink("/proc/self/fd/%d" % log.fileno(), "stdout")
        with pytest.raises(AccnnError, match="stdout is no regular file"):
            outputs.check_config("--output", "net", "stdout")
    os.symlink("log", "other")
    outputs.check_config("--output", "net", "other")


def test_a_pipe_where_a_file_of_the_checkpoint_should_go(folder):
    os.mkfifo("new-0001.params")
    with pytest.raises(AccnnError, match="--save-model new: new-0001.params is no regular file, choose another prefix"):
        outputs.check_checkpoint("net", "new", False)
    with pytest.raises(AccnnError, match="--save-model other: pipe is no regular file"):
        outputs.check_checkpoint("net", "other", False, "pipe")


@pytest.mark.parametrize("name, option", [
    ("cache/latencies.json", "--cache"), ("cache/energies.json", "--cache"), ("times.json", "--import-latencies"),
    ("./table.json", "--sensitivity-table"), ("some.rec", "--data-calib"), ("some.idx", "--data-calib-idx")])
def test_an_output_is_nothing_that_is_read_or_kept(folder, name, option):
    (folder / "cache").mkdir()
    with pytest.raises(AccnnError, match="--output .* is a file of %s: choose another name" % option):
        outputs.check_output(arguments(**FILES), name)
    outputs.check_output(arguments(cache=""), name)


def test_a_link_to_what_is_kept_is_that(folder):
    (folder / "cache").mkdir()
    (folder / "cache" / "energies.json").write_text("")
    os.symlink("cache/energies.json", "new.json")
    with pytest.raises(AccnnError, match="is a file of --cache"):
        outputs.check_output(arguments(), "new.json")


@pytest.mark.parametrize("name", ["cache/energies.json", "table.json", "some.rec", "some.idx"])
def test_times_are_exported_into_tables_only(folder, name):
    (folder / "cache").mkdir()
    with pytest.raises(AccnnError, match="--export-latencies .* is a file of --.*: choose another name"):
        outputs.check_export(arguments(export_latencies=name, **FILES), [])
    for table in ("cache/latencies.json", "times.json"):  # which keep what they hold
        outputs.check_export(arguments(export_latencies=table, **FILES), [])


@pytest.mark.parametrize("name, sentence", [
    ("cache/latencies.json", "is a file of --cache"), ("net-0002.params", "is a file of the model that is read"),
    ("pipe", "is no regular file"), ("table.json", "is a file of --sensitivity-table")])
def test_the_script_refuses_before_any_work(folder, capsys, name, sentence):
    (folder / "cache").mkdir()
    before = sorted(os.listdir())
    assert rank_selection.main(["-m", "net", "--output", name, "--cache", "cache", "--sensitivity-table",
                                "table.json"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert sentence in line and sorted(os.listdir()) == before


def test_threads_are_counted_as_people_do():
    assert (clock.conditions(1, 8), clock.conditions(2, 1)) == ("1 thread, batch 8", "2 threads, batch 1")

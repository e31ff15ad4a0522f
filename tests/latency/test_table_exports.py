"""Latency tables that are written for other machines, and read there."""
import pytest
from table_for_tests import CHAIN, OTHER, SETTING, THIRD, Timed, filled

from accnn.core.errors import AccnnError
from accnn.latency.table import LatencyTable, Setting, network_key


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

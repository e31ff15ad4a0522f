"""The table of sensitivities: written beside the result, used again, refused where it is none."""
import contextlib
import errno
import json
import os
import signal

import pytest
from calibration_options import BY_SENSITIVITY, SCALE

from accnn import accnn, rank_selection
from accnn.core import files, json_store
from accnn.reconstruction import split_costs as measuring
from accnn.reconstruction.sensitivity import Comparison
from networks import chain_model, random_model, saved
from pictures import items, packed


def test_the_table_is_written_beside_the_result_and_used_again(prefix, rec, tmp_path, told, monkeypatch):
    told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--fc", name="a")
    table = tmp_path / "net-sensitivity.json"
    before = table.read_bytes()
    monkeypatch.setattr(measuring, "Comparison", None)  # nothing can be measured any more
    result = told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--fc", "--ratio", "3", name="b")
    assert result["network"]["ratio"] >= 3 and result["made_by"]["rank_selection"] == "sensitivity"
    for how in (["--align", "2"], ["--cost", "original"], ["--symmetric"]):
        told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, *how, name="c")
    assert table.read_bytes() == before
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table", str(table), *SCALE]
    assert rank_selection.main(command + ["--output", str(tmp_path / "ranks.json")]) == 0


def test_a_named_table_grows_with_another_method(prefix, rec, tmp_path, told):
    table = tmp_path / "mine.json"
    for method in ("vh", "channel"):
        told("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--method", method, "--sensitivity-table", str(table),
             "--reconstruct", "none", "--json")
    assert set(json.loads(table.read_text())["divergences"]["conv2"]) == {"vh", "channel"}
    assert not (tmp_path / "net-sensitivity.json").exists()


def test_what_was_measured_for_other_wishes_is_measured_anew(prefix, rec, tmp_path, capsys):
    table = tmp_path / "net-sensitivity.json"
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"), *SCALE]
    assert accnn.main(command) == 0
    before = table.read_bytes()
    for options, said in ((["--seed", "1"], "seed"), (["--calib-images", "20"], "images"),
                          (["--reconstruct", "nonlinear"], "solver"), (["--metric", "responses"], "metric"),
                          (["--rgb-mean", "100"], "images")):
        table.write_bytes(before)
        capsys.readouterr()
        assert accnn.main(command + options) == 0
        assert "for other settings (%s): measuring anew" % said in capsys.readouterr().err
        assert table.read_bytes() != before


def test_a_dry_run_writes_no_table(prefix, rec, tmp_path, capsys, folder):
    before = sorted(os.listdir(tmp_path))
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--dry-run", *SCALE]
    table = tmp_path / "table.json"
    for more in (["--save-model", str(tmp_path / "new")], ["--sensitivity-table", str(table)],
                 ["--sensitivity-table", str(tmp_path / "nowhere" / "table.json")]):
        assert accnn.main(command + more) == 0
        assert sorted(os.listdir(tmp_path)) == before and os.listdir(folder) == []
    table.write_text("{}")
    assert accnn.main(command + ["--sensitivity-table", str(table)]) == 2
    assert table.read_text() == "{}"


def test_sensitivity_without_images_is_refused(prefix, refused):
    assert "--data-calib" in refused("-m", prefix, *BY_SENSITIVITY)
    assert "--data-calib" in refused("-m", prefix, *BY_SENSITIVITY, script=rank_selection)


@pytest.mark.parametrize("text", ["{", "no table", "[]", '{"conv_params": {"conv2": 7}}'])
def test_a_file_that_is_no_table(prefix, rec, tmp_path, refused, text):
    (tmp_path / "table.json").write_text(text)
    sentence = refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table",
                       str(tmp_path / "table.json"))
    assert "table.json is no table of sensitivities: remove it" in sentence
    assert (tmp_path / "table.json").read_text() == text


def test_a_table_that_cannot_be_written_is_told_before_measuring(prefix, rec, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(measuring, "Comparison", None)
    for path, sentence in ((tmp_path / "nowhere" / "table.json", "there is no folder"), (tmp_path, "names a folder"),
                           (prefix + "-symbol.json", "is a file of the model that is read")):
        assert sentence in refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--sensitivity-table", str(path))


def test_a_damaged_record_is_named_by_the_file_it_is_in(prefix, tmp_path, refused):
    pictures = items(30)
    pictures[17] = (0.0, b"no picture at all")
    rec = packed(tmp_path / "bad", pictures)
    for more in ([], ["--calib-images", "20"], ["--calib-images", "20", "--seed", "2"]):
        assert "record 17 of %s is no image" % rec in refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, *more)


def test_a_table_on_a_full_disk(prefix, rec, refused, monkeypatch):
    @contextlib.contextmanager
    def full(path):
        with files.written_whole(path) as temporary:
            yield temporary
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(json_store, "written_whole", full)
    sentence = refused("-m", prefix, *BY_SENSITIVITY, "--data-calib", rec)
    assert "net-sensitivity.json cannot be written: No space left on device" in sentence


def test_half_precision_is_told_or_done(tmp_path, rec, capsys):
    prefix = saved(random_model(chain_model().symbol, dtype="float16", data=(3, 12, 12)), tmp_path / "half")
    code = accnn.main(["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"),
                       *SCALE])
    assert code == 0 or code == 2 and "cannot be computed here" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_measured(prefix, rec, tmp_path, folder, capsys, monkeypatch, number):
    real, before = Comparison.of_replaced, sorted(os.listdir(tmp_path))
    command = ["-m", prefix, *BY_SENSITIVITY, "--data-calib", rec, "--save-model", str(tmp_path / "new"), *SCALE]
    seen = []

    def of_replaced(self, replacement):
        seen.append(replacement.spec.name)
        if replacement.spec.name == "conv2":
            signal.raise_signal(number)
        return real(self, replacement)

    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "of_replaced", of_replaced)
        assert accnn.main(command) == 130
        assert "interrupted" in capsys.readouterr().err
    table = tmp_path / "net-sensitivity.json"
    assert sorted(os.listdir(tmp_path)) == sorted(before + [table.name])
    assert list(json.loads(table.read_text())["divergences"]) == ["conv1"]
    del seen[:]
    monkeypatch.setattr(Comparison, "of_replaced", lambda self, replacement: seen.append(
        replacement.spec.name) or real(self, replacement))
    assert accnn.main(command) == 0 and set(seen) == {"conv2", "conv3"}
    assert sorted(json.loads(table.read_text())["divergences"]) == ["conv1", "conv2", "conv3"]

"""Energies are remembered for the kernel, method and effort they were found with, and for no other."""
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv, SubFC
from accnn.methods import Effort
from accnn.ranks import Candidate
from accnn.ranks.energy_cache import Energies

SPEC = LayerSpec("conv", SubConv("", 4, 6, (3, 3), pad=(1, 1)), (4, 8, 8), "conv_weight", "conv_bias", "Convolution")
WEIGHT = np.random.RandomState(0).standard_normal(SPEC.part.weight_shape).astype(np.float32)


def candidate(method="cp", weight=WEIGHT, spec=SPEC, **effort):
    return Candidate(spec, methods.get(method), lambda: weight, Effort(**effort))


def kept(path, *rows):
    energies = Energies(str(path))
    for one, rank, value in rows or [(candidate(), 3, 0.75)]:
        energies.add(one, rank, value)
    energies.save()
    return energies


def test_energies_are_known_by_rank_within_a_run_and_after_it(tmp_path):
    path = tmp_path / "new" / "energies.json"
    exact = 0.99999998765432101
    energies = kept(path, (candidate(), 3, np.float64(0.75)), (candidate("tucker"), (2, 3), exact))
    for one in (energies, Energies(str(path))):
        assert one.energy(candidate(), 3) == 0.75 and one.energy(candidate("tucker"), (2, 3)) == exact
        assert one.energy(candidate(), 4) is None and one.energy(candidate("tucker"), (3, 2)) is None
        assert one.energy(candidate("cp3"), 3) is None


def test_what_a_run_remembers_is_what_a_run_computes(tmp_path):
    one = candidate()
    kept(tmp_path / "e", *[(one, rank, one.decomposition.energy(rank)) for rank in (1, 5)])
    for rank in (1, 5):
        assert Energies(str(tmp_path / "e")).energy(candidate(), rank) == candidate().decomposition.energy(rank)


@pytest.mark.parametrize("effort", [{"seed": 1}, {"restarts": 2}, {"iterations": 7}, {"tolerance": 1e-3}])
def test_effort_counts_where_it_may_change_the_answer(effort):
    energies = Energies()
    for method, rank in (("cp", 3), ("tucker", (2, 3)), ("vh", 3)):
        energies.add(candidate(method), rank, 0.5)
    assert energies.energy(candidate("cp", **effort), 3) is None
    assert energies.energy(candidate("tucker", **effort), (2, 3)) is None
    assert energies.energy(candidate("vh", **effort), 3) == 0.5


def test_a_hasty_candidate_is_another():
    energies, one = Energies(), candidate()
    energies.add(one.hasty(), 3, 0.5)
    assert energies.energy(one, 3) is None and energies.energy(one.hasty(), 3) == 0.5


def test_names_do_not_count_but_every_number_does():
    energies = Energies()
    energies.add(candidate(), 3, 0.5)
    elsewhere = replace(SPEC, name="other", in_shape=(4, 9, 9))
    assert energies.energy(candidate(spec=elsewhere, weight=WEIGHT.copy()), 3) == 0.5
    assert energies.energy(candidate(weight=np.asfortranarray(WEIGHT)), 3) == 0.5
    other = WEIGHT.copy()
    other[-1, -1, -1, -1] += 1e-3
    assert energies.energy(candidate(weight=other), 3) is None
    assert energies.energy(candidate(weight=WEIGHT.astype(np.float64)), 3) is None


def test_the_same_bytes_read_otherwise_are_another_kernel():
    energies = Energies()
    square = np.ones((4, 4, 1, 3), np.float32)
    spec = replace(SPEC, part=SubConv("", 4, 4, (1, 3)))
    energies.add(candidate("vh", square, spec), 1, 0.5)
    energies.add(candidate("fc-tucker", square.reshape(4, 12), fc((3, 2, 2))), (1, 1), 0.25)
    assert energies.energy(candidate("vh", square.reshape(4, 4, 3, 1), spec), 1) is None
    grouped = replace(SPEC, part=SubConv("", 8, 4, (1, 3), groups=2))
    assert energies.energy(candidate("vh", square, grouped), 1) is None
    assert energies.energy(candidate("fc-tucker", square.reshape(4, 12), fc((3, 2, 2))), (1, 1)) == 0.25
    assert energies.energy(candidate("fc-tucker", square.reshape(4, 12), fc((3, 1, 4))), (1, 1)) is None


def fc(maps):
    return LayerSpec("fc", SubFC("", 12, 4), (12,), "w", "b", "FullyConnected", maps=maps)


def test_a_kernel_is_read_once_for_a_candidate():
    read = []
    one = Candidate(SPEC, methods.get("cp"), lambda: read.append(1) or WEIGHT)
    energies = Energies()
    for rank in range(1, 9):
        energies.energy(one, rank)
        energies.add(one, rank, 0.5)
    assert len(read) == 1


def test_candidates_are_not_kept_alive():
    energies, one = Energies(), candidate()
    energies.add(one, 1, 0.5)
    del one
    assert len(energies._marks) == 0 and energies.energy(candidate(), 1) == 0.5


@pytest.mark.parametrize("value", [-1e-12, -3.0, 1.001, float("nan"), float("inf"), 1e200])
def test_what_is_no_share_is_not_kept(tmp_path, value):
    """Whatever made it, it stops no run, and makes no file that the next one calls damaged."""
    kept(tmp_path / "e", (candidate(), 1, 0.5), (candidate(), 2, 1 + 1e-15), (candidate(), 3, 0.0),
         (candidate(), 4, value))
    again = Energies(str(tmp_path / "e"))
    assert [again.energy(candidate(), rank) for rank in (1, 2, 3, 4)] == [0.5, 1 + 1e-15, 0.0, None]


# ---- the file

def test_runs_that_share_a_file_keep_what_the_others_wrote(tmp_path):
    path = tmp_path / "energies.json"
    one, two = Energies(str(path)), Energies(str(path))
    one.add(candidate(), 1, 0.25)
    two.add(candidate(), 2, 0.5)
    one.save()
    two.save()
    after = Energies(str(path))
    assert (after.energy(candidate(), 1), after.energy(candidate(), 2)) == (0.25, 0.5)


def test_nothing_new_leaves_the_file_alone(tmp_path):
    path = tmp_path / "energies.json"
    kept(path)
    os.utime(path, (1, 1))
    kept(path)
    assert path.stat().st_mtime == 1 and os.listdir(tmp_path) == ["energies.json"]


@pytest.mark.parametrize("text", ["", '{"holds": "table of milliseconds", "measured": []}'] + [
    json.dumps({"holds": "list of energies", "kernels": kernels}) for kernels in (
        [], {"a": 1}, {"a": {"cp": []}}, {"a": {"cp": {"1": "0.5"}}}, {"a": {"cp": {"1": float("nan")}}},
        {"a": {"cp": {"1": None}}}, {"a": {"cp": {"1": 1.001}}}, {"a": {"cp": {"1": -0.001}}},
        {"a": {"cp": {"1": 0.5, "2": 1e299}}})])
def test_a_damaged_file_is_ignored_with_a_word_and_written_anew(tmp_path, capsys, text):
    path = tmp_path / "energies.json"
    path.write_text(text)
    kept(path)
    assert capsys.readouterr().err == "%s is no list of energies: ignoring it\n" % path
    assert Energies(str(path)).energy(candidate(), 3) == 0.75


def test_a_read_only_folder_is_said_once_and_nothing_is_lost(tmp_path, capsys, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    path, energies = tmp_path / "energies.json", Energies(str(tmp_path / "energies.json"))
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.mkstemp", read_only)
        for rank in (1, 2):
            energies.add(candidate(), rank, 0.5)
            energies.save()
    assert capsys.readouterr().err == ("%s cannot be written: Read-only file system: what this run finds out is not "
                                       "kept for the next one\n" % path)
    assert energies.energy(candidate(), 1) == 0.5 and not path.exists()
    energies.save()
    assert Energies(str(path)).energy(candidate(), 2) == 0.5


def test_a_file_that_cannot_be_read_is_said_and_left_alone(tmp_path, capsys):
    kept(tmp_path)
    assert capsys.readouterr().err == "%s cannot be read: it is a folder, no regular file: ignoring it\n" % tmp_path
    assert os.path.isdir(tmp_path)

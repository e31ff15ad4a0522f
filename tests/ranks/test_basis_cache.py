"""Bases that are kept between runs: the factors of a run that remembers are those of one that computes."""
import os

import numpy as np
import pytest

from accnn.methods import svd
from accnn.methods.svd import BalancedSVD, bases_kept
from accnn.ranks.basis_cache import FOLDER, Bases

MATRIX = np.random.RandomState(0).standard_normal((40, 60)).astype(np.float32)


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(svd, "LARGE", 30)


@pytest.fixture
def factors(tmp_path):
    """Factors of a matrix at a rank, found in the context of the folder."""
    def found(matrix=MATRIX, rank=7):
        with bases_kept(Bases(str(tmp_path))):
            made = BalancedSVD(matrix)
            return made.singular_values, made.factors(matrix, rank)
    return found


def files(folder):
    return sorted(os.listdir(str(folder / FOLDER))) if (folder / FOLDER).exists() else []


@pytest.mark.parametrize("matrix", [MATRIX, MATRIX.T], ids=["wide", "high"])
@pytest.mark.parametrize("rank", [7, 31, 40])
def test_factors_are_the_same_bytes_and_as_good_as_without(factors, tmp_path, monkeypatch, matrix, rank):
    values, pair = factors(matrix, rank)
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(svd, "_Tridiagonal", None)  # nothing is computed again
    again, pair_again = factors(matrix, rank)
    assert again.tobytes() == values.tobytes()
    assert [one.tobytes() for one in pair_again] == [one.tobytes() for one in pair]
    monkeypatch.undo()
    true = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(values, true, rtol=1e-6)
    error = np.linalg.norm(matrix - pair[0] @ pair[1])
    assert error == pytest.approx(np.sqrt((true[rank:] ** 2).sum()), rel=1e-5, abs=1e-4)


def test_small_ones_and_other_matrices_are_their_own(factors, tmp_path):
    factors(MATRIX[:20])
    assert files(tmp_path) == []
    factors()
    assert factors(MATRIX + 1)[0][0] != factors()[0][0] and len(files(tmp_path)) == 2
    BalancedSVD(MATRIX).factors(MATRIX, 3)  # outside of the context
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_file_is_written_anew(factors, tmp_path, content):
    _, pair = factors()
    path = str(tmp_path / FOLDER / files(tmp_path)[0])
    with open(path, "rb") as handle:
        whole = handle.read()
    with open(path, "wb") as handle:
        handle.write(whole[:len(whole) // 2] if content is None else content)
    assert [one.tobytes() for one in factors()[1]] == [one.tobytes() for one in pair]
    assert os.path.getsize(path) == len(whole)


def test_a_folder_that_cannot_be_written_is_said_and_no_error(factors, tmp_path, capsys):
    (tmp_path / FOLDER).write_text("in the way")
    factors()
    assert "the next run has to decompose large layers again" in capsys.readouterr().err


def test_nothing_is_written_where_nothing_is_to_be_kept(tmp_path):
    with bases_kept(Bases(str(tmp_path), keep=False)):
        BalancedSVD(MATRIX).factors(MATRIX, 3)
    assert files(tmp_path) == []

"""Moments summed up while samples come are those of the samples kept in files."""
import numpy as np
import pytest
from layers_for_tests import written
from test_moments import check, samples

from accnn.reconstruction import streams
from accnn.reconstruction.samples import CalibrationSplit, roots
from accnn.reconstruction.streams import MomentSums

EACH, IMAGES, GROUPS = 5, 40, 2


def summed(x, y, sizes, **more):
    """MomentSums of rows that come in blocks of some sizes."""
    sums, first = MomentSums(x.shape[1:], y.shape[1:], EACH, IMAGES, **more), 0
    for size in sizes:
        sums.responses.append(y[first:first + size])
        sums.append(x[first:first + size])
        first += size
    return sums


@pytest.fixture
def rows():
    x, y = samples(n=IMAGES * EACH, inputs=18, outputs=6, offset=3.0)
    return x.reshape(-1, GROUPS, 9), y


@pytest.mark.parametrize("sizes", [[200], [5] * 40, [35, 165], [15] * 13 + [5]])
@pytest.mark.parametrize("block", [8, 50, 4096])
def test_any_blocks_give_the_moments_of_samples_in_files(rows, tmp_path, sizes, block, monkeypatch):
    monkeypatch.setattr(streams, "_BLOCK", block)
    x, y = rows
    found = summed(x, y, sizes).splits([None] * GROUPS)
    for group, split in enumerate(found):
        kept = CalibrationSplit(written(tmp_path / "x", x), written(tmp_path / "y", y), IMAGES, group, GROUPS)
        assert (split.width, split.fitted, split.enough) == (9, kept.fitted, kept.enough)
        for moments, some in zip(split.moments(), (~kept.held, kept.held)):
            check(moments, x[some, group], y[some, 3 * group:3 * group + 3])
        matrix = np.random.RandomState(0).standard_normal((4, 9))
        for moments, some in zip(split.moments(matrix), (~kept.held, kept.held)):
            check(moments, x[some, group] @ matrix.T, y[some, 3 * group:3 * group + 3], 1e-4)


def test_the_metric_turns_what_is_answered(rows):
    x, y = rows
    half = np.random.RandomState(1).standard_normal((6, 6))
    turned = roots(half @ half.T + np.eye(6), GROUPS, 6)
    split = summed(x, y, [200]).splits(turned)[1]
    some = np.arange(200) // EACH % 8 != 7
    check(split.moments()[0], x[some, 1], (y[some, 3:] @ turned[1].T).astype(np.float32), 1e-4)


def test_responses_may_come_from_blocks_of_another_size(rows):
    x, y = rows
    sums = MomentSums(x.shape[1:], y.shape[1:], EACH, IMAGES, iter([y[:70], y[70:71], y[71:]]))
    for first in range(0, 200, 40):
        sums.append(x[first:first + 40])
    wanted = summed(x, y, [200]).splits([None] * GROUPS)[0].moments()[0]
    np.testing.assert_allclose(sums.splits([None] * GROUPS)[0].moments()[0].yx, wanted.yx, atol=1e-4)


def test_the_same_rows_give_the_same_bytes(rows, monkeypatch):
    monkeypatch.setattr(streams, "_BLOCK", 8)
    monkeypatch.setattr(streams, "threads_wanted", lambda: 4)
    first, again = (summed(*rows, [5] * 40).splits([None] * GROUPS)[0].moments()[0] for _ in range(2))
    assert first.xx.tobytes() == again.xx.tobytes() and first.yx.tobytes() == again.yx.tobytes()


def test_no_more_is_added_once_more_changes_nothing(rows, monkeypatch):
    monkeypatch.setattr(MomentSums, "FIRST", 8)
    asked = []

    def settled(sums):
        asked.append(sums.splits([None] * GROUPS)[0].fitted)
        return len(asked) == 2

    sums = summed(*rows, [5] * 40, settled=settled)
    split = sums.splits([None] * GROUPS)[0]
    assert asked == [35, 70] and (split.fitted, split.available) == (70, 175)
    some = (np.arange(200) < 80) & (np.arange(200) // EACH % 8 != 7)
    check(split.moments()[0], rows[0][some, 0], rows[1][some, :3])

"""Rows come back as they were written, as often as wanted."""
import os

import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.reconstruction.spool import Samples


def test_rows_come_back(tmp_path):
    samples = Samples(str(tmp_path / "a"), (2, 3))
    assert samples.rows == 0 and list(samples.blocks()) == [] and samples.array().shape == (0, 2, 3)
    rows = np.random.RandomState(0).standard_normal((25, 2, 3)).astype(np.float32)
    for first in range(0, 25, 10):
        samples.append(rows[first:first + 10])
    assert samples.rows == 25
    for _ in range(2):
        blocks = list(samples.blocks(7))
        assert [len(block) for block in blocks] == [7, 7, 7, 4]
        np.testing.assert_array_equal(np.concatenate(blocks), rows)
    np.testing.assert_array_equal(samples.array(), rows)
    pairs = list(zip(samples.blocks(5), samples.blocks(5)))
    assert len(pairs) == 5 and all((a == b).all() for a, b in pairs)


def test_what_is_appended(tmp_path):
    samples = Samples(str(tmp_path / "a"), (2,))
    samples.append(np.arange(8).reshape(2, 4).T)  # neither float32 nor contiguous
    samples.append(np.empty((0, 2)))
    np.testing.assert_array_equal(samples.array(), np.arange(8).reshape(2, 4).T)
    with pytest.raises(ValueError, match="shape"):
        samples.append(np.zeros((2, 3)))


def test_a_file_that_was_cut_short(tmp_path):
    samples = Samples(str(tmp_path / "a"), (2,))
    samples.append(np.zeros((5, 2)))
    os.truncate(samples.path, 12)
    with pytest.raises(OSError, match="cut short"):
        samples.array()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk():
    samples = Samples("/dev/full", (1000,))
    with pytest.raises(AccnnError, match="the temporary folder /dev cannot be written to: No space left on device; "):
        samples.append(np.zeros((100, 1000)))
    assert samples.rows == 0

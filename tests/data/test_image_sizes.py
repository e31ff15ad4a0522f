"""Sizes of packed images from their headers, against those that they were drawn with."""
import struct

import pytest

from accnn.data.records import open_records
from accnn.data.sizes import common_size
from pictures import drawn, items, packed


@pytest.mark.parametrize("form", [".png", ".jpg"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("index", [True, False])
def test_one_size(tmp_path, form, channels, index):
    rec = packed(tmp_path / "i", items(7, height=31, width=18, channels=channels, form=form), index)
    assert common_size(open_records(rec)) == (31, 18)


def test_several_labels_and_metadata_before_the_size(tmp_path):
    jpeg = drawn(20, 33, form=".jpg")
    comment = b"\xff\xfe" + struct.pack(">H", 5002) + 5000 * b"x" + b"\xff\xff"  # markers may be filled up
    rec = packed(tmp_path / "i", [([1.0, 2.0, 3.0], jpeg[:2] + comment + jpeg[3:])])
    assert common_size(open_records(rec)) == (20, 33)


@pytest.mark.parametrize("pictures", [
    items(3, height=20) + items(1, height=21), [(0.0, b"\xff\xd8\xff")], [(0.0, b"BM" + bytes(60))], [(0.0, b"")],
    [(0.0, b"\x89PNG\r\n\x1a\n")], [(0.0, b"\xff\xd8" + bytes(30))],
])
def test_no_common_size(tmp_path, pictures):
    assert common_size(open_records(packed(tmp_path / "i", pictures))) is None

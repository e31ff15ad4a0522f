"""Pictures of a second file that a network would see at another scale."""
from types import SimpleNamespace

import pytest

from accnn.core.errors import AccnnError
from accnn.data.enlarged import check_alike
from accnn.data.records import open_records
from pictures import items, packed


@pytest.fixture
def opened(tmp_path):
    def made(name, *heights):
        return open_records(packed(tmp_path / name, sum((items(2, height=one, width=64) for one in heights), [])))
    return made


def how(resize=None):
    return SimpleNamespace(shape=(3, 12, 12), resize=resize)


def test_photos_of_many_sizes_beside_small_pictures_are_refused(opened):
    photos, small = opened("photos", 40, 50, 60), opened("small", 14, 13)
    with pytest.raises(AccnnError, match="photos.rec are 40 to 60 and those of .*small.rec 13 to 14"):
        check_alike(photos, small, how())
    with pytest.raises(AccnnError, match="small.rec are 13 to 14 and those of .*photos.rec 40 to 60"):
        check_alike(small, photos, how())
    check_alike(photos, small, how(resize=12))


def test_sizes_that_overlap_are_alike(opened):
    check_alike(opened("photos", 40, 50, 60), opened("others", 55, 64), how())
    check_alike(opened("photos", 40, 50, 60), None, how())

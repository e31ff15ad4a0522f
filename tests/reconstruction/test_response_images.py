"""Images drawn from a file: which, in which order, decoded as the file alone is."""
import os

import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing
from accnn.data.records import open_records
from accnn.reconstruction.images import ArrayImages, default_count, record_images
from pictures import items, packed, read

SHAPE = (3, 12, 11)


def gathered(images, name, *size):
    found, following = [], 0
    for first, arrays in images.batches(*size):
        assert first == following and set(arrays) == set(images.input_names) == {name}
        found.append(arrays[name].asnumpy())
        following += len(found[-1])
    assert following == images.count
    return np.concatenate(found), [len(batch) for batch in found]


@pytest.mark.parametrize("size, sizes", [((), [7, 2]), ((4,), [4, 4, 1]), ((100,), [9])])
def test_some_images_of_a_file(tmp_path, capsys, size, sizes):
    wanted, _ = read(packed(tmp_path / "a"), SHAPE, (10,), (2,))
    records = open_records(str(tmp_path / "a.rec"))
    chosen = np.sort(np.random.default_rng(5).choice(23, 9, replace=False))
    with record_images(records, Preprocessing(SHAPE, (10.0,), (2.0,)), "data", 9, 5, 7) as images:
        assert images.count == 9 and images.batch_size == 7 and list(images.numbers) == list(chosen)
        for _ in range(2):
            found, found_sizes = gathered(images, "data", *size)
            assert found_sizes == sizes
            np.testing.assert_allclose(found, wanted[chosen], atol=1e-4)
    assert not capsys.readouterr().err
    with record_images(records, Preprocessing(SHAPE), "data", 9, 6, 7) as images:
        assert list(images.numbers) != list(chosen)


@pytest.mark.parametrize("count", [23, 24, 1000])
def test_all_images_of_a_file(tmp_path, capsys, count):
    wanted, _ = read(packed(tmp_path / "a"), SHAPE)
    with record_images(open_records(str(tmp_path / "a.rec")), Preprocessing(SHAPE), "x", count, 0, 10) as images:
        np.testing.assert_allclose(gathered(images, "x")[0], wanted, atol=1e-4)
    said = "%s holds 23 images: all are used, `count` asked for %d\n" % (tmp_path / "a.rec", count)
    assert capsys.readouterr().err == (said if count > 23 else "")


@pytest.mark.parametrize("count", [15, 23])
def test_a_record_that_is_no_image(tmp_path, count):
    pictures = items()
    bad = np.sort(np.random.default_rng(0).choice(23, 15, replace=False))[11]
    pictures[bad] = (0.0, b"no image")
    records = open_records(packed(tmp_path / "a", pictures))
    with record_images(records, Preprocessing(SHAPE), "data", count, 0, 4) as images, pytest.raises(
            AccnnError, match="record %d of %s is no image" % (bad, tmp_path / "a.rec")):
        list(images.batches())


def test_the_copy_goes(tmp_path):
    with record_images(open_records(packed(tmp_path / "a")), Preprocessing(SHAPE), "data", 5, 0, 4) as images:
        path = images._records.path
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_arrays():
    arrays = {"a": np.arange(22.0).reshape(11, 2), "b": np.arange(33.0).reshape(11, 3, 1)}
    images = ArrayImages(arrays, 4)
    assert images.count == 11 and images.batch_size == 4 and set(images.input_names) == {"a", "b"}
    for size in ((), (3,)):
        batches = list(images.batches(*size))
        assert [first for first, _ in batches] == list(range(0, 11, *size or (4,)))
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.concatenate([batch[name].asnumpy() for _, batch in batches]), array)
    with pytest.raises(AccnnError, match="a, b hold 11 and 12 examples"):
        ArrayImages(dict(arrays, b=np.zeros((12, 3))), 4)


@pytest.mark.parametrize("held, multiply_adds, count", [
    (50000, 78e6, 20000), (5000, 78e6, 5000), (50000, 15.5e9, 3000), (50000, 8e8, 5000), (50000, None, 3000),
    (100, None, 100), (50000, 0, 20000)])
def test_how_many_images_calibrate_where_nobody_says(held, multiply_adds, count):
    assert default_count(held, multiply_adds) == count

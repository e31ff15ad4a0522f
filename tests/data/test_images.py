"""Every record exactly once, with the pixels that OpenCV and NumPy give."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing, iterator, read_images
from accnn.data.records import open_records, part_range
from pictures import drawn, items, packed, read

SHAPE = (3, 12, 11)
MEAN, STD = (10.0, 20.0, 30.0), (2.0, 3.0, 4.0)


def gathered(records, how, batch_size, **part):
    """(images, labels, numbers) of all batches."""
    images, labels, numbers = [], [], []
    for batch in read_images(records, how, batch_size, **part):
        assert 0 < batch.size <= batch_size == len(batch.images)
        images.append(batch.images.asnumpy()[:batch.size])
        labels.extend(batch.labels)
        numbers.extend(range(batch.first, batch.first + batch.size))
    return np.concatenate(images) if images else np.empty((0,) + how.shape), labels, numbers


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("batch_size, threads", [(1, 1), (7, 2), (23, 1), (64, 2)])
def test_pixels_and_labels(tmp_path, batch_size, threads, index):
    wanted, true = read(packed(tmp_path / "a"), SHAPE, MEAN, STD)
    records = open_records(packed(tmp_path / "b", index=index))
    images, labels, numbers = gathered(records, Preprocessing(SHAPE, MEAN, STD, 0, threads), batch_size)
    assert numbers == list(range(23)) and labels == true
    np.testing.assert_allclose(images, wanted, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("taken", [1, 3])
def test_grey_and_transparent_pictures(tmp_path, channels, taken):
    rec = packed(tmp_path / "a", items(5, channels=channels))
    wanted, _ = read(rec, (taken, 12, 11), 7, 2)
    images, _, _ = gathered(open_records(rec), Preprocessing((taken, 12, 11), (7.0,), (2.0,)), 4)
    np.testing.assert_allclose(images, wanted, atol=1 if taken == 1 else 1e-4)  # OpenCV versions round grey differently


@pytest.mark.parametrize("count, parts", [(23, 1), (23, 2), (23, 3), (5, 4), (2, 5)])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_parts_share_the_records(tmp_path, count, parts, batch_size):
    rec = packed(tmp_path / "a", items(count))
    wanted, _ = read(rec, SHAPE)
    records, seen = open_records(rec), []
    for part in range(parts):
        images, _, numbers = gathered(records, Preprocessing(SHAPE), batch_size, part=part, parts=parts)
        assert numbers == list(part_range(count, part, parts))
        np.testing.assert_allclose(images, wanted[numbers].reshape(images.shape), atol=1e-4)
        seen += numbers
    assert seen == list(range(count))


@pytest.mark.parametrize("limit", [1, 7, 8, 22, 23, 100])
def test_a_limit(tmp_path, limit):
    records = open_records(packed(tmp_path / "a"))
    for parts in (1, 3):
        seen = [number for part in range(parts) for number in
                gathered(records, Preprocessing(SHAPE), 7, part=part, parts=parts, limit=limit)[2]]
        assert seen == list(range(min(limit, 23)))


def test_the_file_can_be_read_again_and_left_in_the_middle(tmp_path):
    records = open_records(packed(tmp_path / "a"))
    next(read_images(records, Preprocessing(SHAPE), 4)).images.wait_to_read()
    first, again = (gathered(records, Preprocessing(SHAPE), 4)[0] for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("broken", [0, 6, 22])
@pytest.mark.parametrize("content", [b"", b"x", b"no image at all" * 9, drawn(form=".jpg")[:200], drawn()[:90]],
                         ids=["empty", "byte", "text", "half a JPEG", "half a PNG"])
def test_a_record_that_is_no_image_is_named(tmp_path, broken, content):
    pictures = items()
    pictures[broken] = (1.0, content)
    records = open_records(packed(tmp_path / "a", pictures))
    with pytest.raises(AccnnError, match="record %d of .* is no image" % broken):
        gathered(records, Preprocessing(SHAPE), 4)


def test_a_header_that_claims_a_huge_picture_takes_no_memory(tmp_path):
    pictures = items()
    pictures[3] = (1.0, drawn()[:20] + b"\x70" * 300)  # mx.image.imdecode would make room for it
    with pytest.raises(AccnnError, match="record 3 of"):
        gathered(open_records(packed(tmp_path / "a", pictures)), Preprocessing(SHAPE), 4)


def test_several_labels_are_no_obstacle_to_pixels(tmp_path):
    rec = packed(tmp_path / "a", [([float(n)] * (n % 3 + 1), content) for n, (_, content) in enumerate(items())])
    images, _, _ = gathered(open_records(rec), Preprocessing(SHAPE), 7)
    np.testing.assert_allclose(images, read(rec, SHAPE)[0], atol=1e-4)


def test_small_pictures_are_enlarged(tmp_path):
    images, _, _ = gathered(open_records(packed(tmp_path / "a", items(3, height=5, width=4))), Preprocessing(SHAPE), 4)
    assert images.shape == (3,) + SHAPE and images.std() > 1


def test_resize_scales_the_shorter_side(tmp_path):
    flat = drawn(1, 1)  # one colour: a resized picture is that colour everywhere
    images, _, _ = gathered(open_records(packed(tmp_path / "a", [(0.0, flat)])), Preprocessing((3, 9, 9), resize=20), 1)
    assert np.ptp(images.reshape(3, -1), axis=1).max() == 0


def test_an_iterator_takes_more_arguments(tmp_path):
    records = open_records(packed(tmp_path / "a"))
    with iterator(records, Preprocessing(SHAPE), 23, shuffle=True, seed=3) as batches:
        labels = next(batches).label[0].asnumpy()
    assert sorted(labels) == sorted(records.labels) and list(labels) != list(records.labels)


@pytest.mark.parametrize("shape, mean, std, said", [
    ((3, 8), (0.0,), (1.0,), "3,224,224"), ((2, 8, 8), (0.0,), (1.0,), "3,224,224"),
    ((3, 8, 8), (1.0, 2.0), (1.0,), "`mean` has 2 values"), ((3, 8, 8), (1.0, 1.0), (1.0,), "`mean` has 2"),
    ((1, 8, 8), (1.0, 2.0, 3.0), (1.0,), "takes 1"), ((3, 8, 8), (0.0,), (2.0, 2.0), "`std` has 2 values"),
    ((3, 8, 8), (float("nan"),), (1.0,), "`mean` must be finite"),
    ((3, 8, 8), (0.0,), (1.0, float("inf"), 1.0), "`std` must be finite"),
    ((3, 8, 8), (0.0,), (0.0,), "above 0"), ((3, 8, 8), (0.0,), (-1.0,), "above 0"),
    ((3, 8, 8), (0.0,), (1e-45,), "above 0"), ((3, 8, 8), (0.0,), (float("nan"),), "finite"),
])
def test_wrong_preprocessing(shape, mean, std, said):
    with pytest.raises(AccnnError, match=said):
        Preprocessing(shape, mean, std)


def test_part_range_is_what_mxnet_does(tmp_path):
    records = open_records(packed(tmp_path / "a", items(11)))
    for parts in (2, 3, 4):
        for part in range(parts):
            mine = part_range(11, part, parts)
            with records.iterator_arguments() as files:
                batches = mx.io.ImageRecordIter(batch_size=1, data_shape=SHAPE, num_parts=parts, part_index=part,
                                                round_batch=False, verbose=False, **files)
                assert [batch.label[0].asscalar() for batch in batches] == [number % 5 for number in mine]

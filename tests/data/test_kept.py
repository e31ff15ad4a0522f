"""Pictures that are decoded once: the pixels of MXNet's iterator, cropped and mirrored anew in every epoch."""
import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.data import stream
from accnn.data.images import Preprocessing
from accnn.data.kept import KeptPictures, kept_size
from accnn.data.records import open_records
from accnn.data.stream import Augmentation, TrainingStream
from pictures import drawn, items, packed

PLAIN = Augmentation(rand_crop=False, rand_mirror=False)
COUNT, SIZE = 30, (14, 13)


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("pictures") / "a", items(COUNT, form=".jpg"))


def seen(rec, how, changes, **more):
    """dict of tuple of float to ndarray: the pictures of an epoch, and their labels, by the sum of the pixels."""
    made = TrainingStream(open_records(rec), how, changes, 1, **more)
    found = {}
    for images, labels in made.epoch(1):
        found[round(float(images.sum().asscalar()), 2)] = images.asnumpy()[0], labels.asscalar()
    return found, made


@pytest.mark.parametrize("how", [
    Preprocessing((3, 12, 11)), Preprocessing((3, 14, 13), (120.0, 118.5, 103.25), (61.5, 60.0, 59.0)),
    Preprocessing((3, 16, 15), (120.0,), (60.0,)), Preprocessing((1, 12, 12), (120.0,), (3.0,))], ids=str)
def test_pixels_and_labels_are_those_of_mxnets_iterator(rec, how):
    changes = Augmentation(rand_crop=False, rand_mirror=False, pad=2, fill_value=9)
    (kept, made), (read, other) = (seen(rec, how, changes, **more) for more in ({}, {"most": 0}))
    assert made._kept and not other._kept and len(read) == COUNT
    assert sorted(kept) == pytest.approx(sorted(read), abs=0.05)
    for one, two in zip(sorted(kept), sorted(read)):
        np.testing.assert_allclose(kept[one][0], read[two][0], atol=2e-5)
        assert kept[one][1] == read[two][1]


def test_crops_of_padded_pictures_and_their_mirror_images(rec):
    """Each place of the crop as often as another, in each epoch other ones."""
    records, how = open_records(rec), Preprocessing((3, 12, 11), (7.0,), (3.0,))
    made = KeptPictures(records, how, Augmentation(pad=2, fill_value=50), SIZE)
    whole = np.pad(made._pixels[:, :, 2:-2, 2:-2].astype(float), [(0, 0), (0, 0), (2, 2), (2, 2)], constant_values=50)
    found = np.zeros((7, 7, 2), int)
    for seed in range(20):
        for images, labels in made.batches(seed, [slice(0, 10), slice(10, COUNT)]):
            for image, label in zip(images.asnumpy() * 3 + 7, labels.asnumpy()):
                same = whole[records.labels == label]
                at = [(top, left, turned) for top in range(7) for left in range(7) for turned, form in (
                    (0, image), (1, image[..., ::-1])) if (abs(same[:, 0, top, left] - form[0, 0, 0]) < 0.01).any() and
                    (abs(same[:, :, top:top + 12, left:left + 11] - form).max(axis=(1, 2, 3)) < 0.01).any()]
                assert len(at) == 1
                found[at[0]] += 1
    assert found.sum() == 20 * COUNT
    for axis, places in enumerate(found.shape):
        counts = found.sum(axis=tuple({0, 1, 2} - {axis}))
        assert abs(counts - 600 / places).max() < 4 * np.sqrt(600 / places)


def test_what_is_not_kept(rec, tmp_path):
    records, how, bytes_kept = open_records(rec), Preprocessing((3, 12, 11)), COUNT * 3 * 14 * 13
    assert kept_size(records, how, PLAIN, bytes_kept) == SIZE
    assert kept_size(records, how, PLAIN, bytes_kept - 1) is None
    assert kept_size(records, Preprocessing((3, 12, 11), resize=13), PLAIN) is None
    assert kept_size(records, Preprocessing((3, 15, 11)), PLAIN) is None
    assert kept_size(records, Preprocessing((4, 12, 11)), PLAIN) is None
    assert kept_size(records, Preprocessing((3, 15, 11)), Augmentation(pad=1)) == SIZE
    for changes in ({"random_h": 1}, {"random_s": 1}, {"random_l": 1}, {"max_rotate_angle": 1},
                    {"random_resized_crop": True}, {"max_aspect_ratio": 0.1}):
        assert kept_size(records, how, Augmentation(**changes)) is None
    one_is_larger = items(300) + [(0.0, drawn(15, 13))] + items(300)
    assert kept_size(open_records(packed(tmp_path / "b", one_is_larger)), how, PLAIN) is None
    unknown = [(0.0, drawn(form=".bmp"))] * 5
    assert kept_size(open_records(packed(tmp_path / "c", unknown)), how, PLAIN) is None


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    pictures = items(20, form=".png")
    pictures[13] = (1.0, pictures[13][1][:40])
    made = TrainingStream(open_records(packed(tmp_path / "a", pictures)), Preprocessing((3, 12, 11)), PLAIN, 4)
    with pytest.raises(AccnnError, match="record 13 of .* is no image"):
        list(made.epoch(1))


def test_decoded_once(rec, monkeypatch):
    made, plain = [], stream.KeptPictures
    monkeypatch.setattr(stream, "KeptPictures", lambda *how: made.append(how) or plain(*how))
    several = TrainingStream(open_records(rec), Preprocessing((3, 12, 11)), PLAIN, 4)
    assert not made
    for epoch in range(3):
        assert len(list(several.epoch(epoch))) == COUNT // 4
    assert len(made) == 1

"""Records without a picture, as InsightFace's face2rec2 writes them, are none of the images; SSD's labels are named."""
import tempfile

import numpy as np
import pytest

from accnn import fine_tune, score
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing, read_images
from accnn.data.records import open_records
from accnn.data.stream import Augmentation, TrainingStream
from accnn.reconstruction.images import record_images
from networks import chain_model, saved
from pictures import CLASSES, drawn, header, packed, read

COUNT = 11
PLAIN = Preprocessing((3, 12, 12))


def faces(prefix, order, aligned=False):
    """Write a file such as face2rec2's.

    Images have the numbers from 1 on, and with `aligned` a second label. Number 0 says which numbers come behind the
    last image, of persons, each of whom says which images are his.
    """
    persons = [(1, 5), (5, COUNT + 1)]
    first = [(0, header([COUNT + 1, COUNT + 1 + len(persons)], 0), b"")]
    last = [(COUNT + 1 + place, header(person, COUNT + 1 + place), b"") for place, person in enumerate(persons)]
    images = [(number, header([number % CLASSES, 1] if aligned else float(number % CLASSES), number),
               drawn(seed=number)) for number in range(1, COUNT + 1)]
    parts = {"0": first, "i": images, "p": last, "a": images[:4], "b": images[4:]}
    writer = mx.recordio.MXIndexedRecordIO(prefix + ".idx", prefix + ".rec", "w")
    for number, head, content in [record for letter in order for record in parts[letter]]:
        writer.write_idx(number, head + content)
    writer.close()
    return prefix + ".rec"


@pytest.fixture
def plain(tmp_path):
    """(pixels, labels) of the images, packed without headers and read by OpenCV."""
    pictures = [(float(number % CLASSES), drawn(seed=number)) for number in range(1, COUNT + 1)]
    return read(packed(tmp_path / "plain", pictures), (3, 12, 12))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("order", ["0pi", "i0p", "0ip", "0apb"])
def test_images_are_those_with_a_picture(tmp_path, capsys, plain, order, aligned):
    records = open_records(faces(str(tmp_path / "f"), order, aligned))
    said = capsys.readouterr().err
    assert "f.rec: leaving out 3 of 14 records, which hold no picture but labels" in said
    assert ("of several labels of an image the first is taken" in said) == aligned
    assert ("copying" in said) == (order != "0pi")
    assert len(records) == COUNT and list(records.labels) == plain[1]
    records.check_classes(CLASSES)
    for size in (1, 4, COUNT):
        batches = [(batch.images[:batch.size].asnumpy(), batch.labels) for batch in read_images(records, PLAIN, size)]
        assert np.array_equal(np.concatenate([images for images, _ in batches]), plain[0])
        assert list(np.concatenate([labels for _, labels in batches])) == plain[1]
    with record_images(records, PLAIN, "data", 5, 1, 2) as some:
        chosen = np.concatenate([arrays["data"].asnumpy() for _, arrays in some.batches()])
        places = [number - [3, 0, 1][("0pi", "i0p", "0ip").index(order)] for number in some.numbers] if (
            order != "0apb") else [number - 1 - 2 * (number > 4) for number in some.numbers]
        assert np.array_equal(chosen, plain[0][places])


@pytest.mark.parametrize("aligned", [False, True])
def test_training_sees_their_labels(tmp_path, plain, aligned):
    stream = TrainingStream(open_records(faces(str(tmp_path / "f"), "0ip", aligned)), PLAIN,
                            Augmentation(rand_crop=False, rand_mirror=False), COUNT)
    (images, labels), = stream.epoch(1)
    wanted = {pixels.tobytes(): label for pixels, label in zip(plain[0].astype(np.float32), plain[1])}
    assert [wanted[pixels.tobytes()] for pixels in images.asnumpy()] == list(labels.asnumpy())


def test_scripts_take_them(tmp_path, capsys):
    rec, net = faces(str(tmp_path / "f"), "i0p", True), saved(chain_model(), tmp_path / "net")
    assert score.main(["-m", net, "--data-val", rec]) == 0
    assert "of 11 right" in capsys.readouterr().out
    assert fine_tune.main(["-m", net, "--data-train", rec, "--batch-size", "4", "--num-epochs", "1", "--model-prefix",
                           str(tmp_path / "out")]) == 0


def test_nothing_but_headers(tmp_path):
    with pytest.raises(AccnnError, match="f.rec holds no pictures: all its 3 records are headers"):
        open_records(faces(str(tmp_path / "f"), "0p"))


def test_a_broken_image_has_its_number_in_the_file(tmp_path, capsys):
    rec = faces(str(tmp_path / "f"), "0pi")
    reader = mx.recordio.MXIndexedRecordIO(rec[:-3] + "idx", rec, "r")
    items = [(key, reader.read_idx(key)) for key in reader.keys]
    writer = mx.recordio.MXIndexedRecordIO(rec[:-3] + "idx", rec, "w")
    for key, item in items:
        writer.write_idx(key, item.replace(b"IDAT", b"XXXX") if key == 4 else item)
    writer.close()
    with pytest.raises(AccnnError, match="record 6 of .*f.rec is no image"):
        list(read_images(open_records(rec), PLAIN, 4))


def test_a_single_label_without_a_picture_is_damage(tmp_path):
    rec = packed(tmp_path / "f", [(0.0, drawn()), (1.0, b"")])
    with pytest.raises(AccnnError, match="record 1 of .*f.rec is no image"):
        list(read_images(open_records(rec), PLAIN, 2))


def test_no_room_for_a_copy(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("accnn.data.headers._copy", full)
    with pytest.raises(AccnnError, match="folder %s/.* cannot be written to: No space left on device; set TMPDIR to one"
                       % tempfile.gettempdir()):
        open_records(faces(str(tmp_path / "f"), "i0p"))


@pytest.mark.parametrize("labels, said", [
    ([2, 5] + 3 * [0, .1, .1, .5, .5], "17 labels (3 objects of 5 numbers, as for SSD, whose label:3,5 this is)"),
    ([4, 6, 300, 200] + 1 * [0, .1, .1, .5, .5, 0], "10 labels (1 object of 6 numbers, as for SSD, whose label:1,6 "),
    ([1, 0], "has 2 labels, but the network's classes are 0 to 4"), ([3, 5, 1, 2], "has 4 labels, but"),
    ([float("inf"), 5, 1], "has 3 labels, but"), ([float("nan"), 5, 1], "has 3 labels, but")])
def test_labels_of_detectors_are_named(tmp_path, labels, said):
    records = open_records(packed(tmp_path / "f", [(0.0, drawn()), (labels, drawn(seed=1))]))
    with pytest.raises(AccnnError) as error:
        records.check_classes(5)
    assert "record 1 of " in str(error.value) and said in str(error.value)

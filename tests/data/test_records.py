"""RecordIO files found whole, or refused with the place and the reason."""
import os
import struct

import numpy as np
import pytest

from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing, read_images
from accnn.data.records import open_records
from pictures import items, offsets, packed

SHAPE = (3, 12, 11)


@pytest.fixture
def rec(tmp_path):
    return packed(tmp_path / "good")


@pytest.fixture
def content(rec):
    with open(rec, "rb") as handle:
        return handle.read()


def refused(tmp_path, data):
    """The sentence for a file with these bytes, without an index."""
    path = tmp_path / "bad.rec"
    path.write_bytes(data)
    with pytest.raises(AccnnError) as caught:
        open_records(str(path))
    assert "bad.rec" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("index", [True, False])
def test_what_is_found(tmp_path, index):
    rec = packed(tmp_path / "a", index=index)
    records = open_records(rec)
    assert len(records) == 23 and list(records.ids) == list(range(23)) and not records.several.any()
    assert list(records.labels) == [number % 5 for number in range(23)]
    packed(tmp_path / "b")
    assert list(records.offsets) == offsets(str(tmp_path / "b.rec"))


def test_a_file_cut_anywhere(tmp_path, rec, content):
    starts = set(offsets(rec))
    for length in list(range(1, 60)) + list(range(starts and sorted(starts)[5] - 9, sorted(starts)[5] + 40)):
        if length in starts:
            (tmp_path / "bad.rec").write_bytes(content[:length])
            assert len(open_records(str(tmp_path / "bad.rec"))) == sorted(starts).index(length)
        else:
            assert "is damaged at byte" in refused(tmp_path, content[:length])


def changed(content, place, new):
    return content[:place] + new + content[place + len(new):]


@pytest.mark.parametrize("where, new, said", [
    (0, b"XXXX", "begins there"), (0, b"\0" * 40, "begins there"),
    (4, struct.pack("<I", (1 << 29) - 1), "ends in the middle"), (4, struct.pack("<I", 0), "too short to hold"),
    (4, struct.pack("<I", 3 << 29 | 30), "lacks one"), (4, struct.pack("<I", 7 << 29 | 30), "lacks one"),
    (8, struct.pack("<I", 1 << 31), "too short to hold"),
])
def test_a_damaged_record(tmp_path, rec, content, where, new, said):
    place = offsets(rec)[5]
    sentence = refused(tmp_path, changed(content, place + where, new))
    assert said in sentence and str(place) in sentence


def test_other_files(tmp_path, content):
    assert "is empty" in refused(tmp_path, b"")
    assert "no RecordIO file" in refused(tmp_path, b"hello world\n" * 20)
    assert "begins there" in refused(tmp_path, content + b"\0" * 64)
    for name, said in (("", "no regular file|directory"), ("/none", "No such file"), ("/dev/zero", "no regular file")):
        with pytest.raises(AccnnError, match=said):
            open_records(name if name.startswith("/dev") else str(tmp_path) + name)


def test_a_pipe_is_not_waited_for(tmp_path, rec):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AccnnError, match="no regular file"):
        open_records(str(tmp_path / "pipe"))
    with pytest.raises(AccnnError, match="no regular file"):
        open_records(rec, str(tmp_path / "pipe"))


@pytest.mark.parametrize("label, fine", [
    (0.0, True), (4.0, True), ([3.0], True), (5.0, False), (-1.0, False), (0.5, False), (float("nan"), False),
    (float("inf"), False), (1e30, False), ([1.0, 2.0], False),
])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_labels(tmp_path, label, fine):
    pictures = items()
    pictures[6] = (label, pictures[6][1])
    records = open_records(packed(tmp_path / "a", pictures))
    if fine:
        records.check_classes(5)
        return
    with pytest.raises(AccnnError, match="record 6 of .* has (2 labels|the label %s)" % (
            "" if isinstance(label, list) else "%g" % label).replace("+", "\\+")):
        records.check_classes(5)


INDEXES = {  # from a good one: the text, whether it is taken
    "reversed": (lambda lines: lines[::-1], True), "CRLF": (lambda lines: [line + "\r" for line in lines], True),
    "names as keys": (lambda lines: ["img " + line for line in lines], True),
    "huge keys": (lambda lines: ["9" * 30 + line for line in lines], True),
    "three columns": (lambda lines: [line + "\t7" for line in lines], True),
    "blank lines": (lambda lines: lines + ["", " "], True),
    "one less": (lambda lines: lines[:-1], False), "one more": (lambda lines: lines + ["99\t99"], False),
    "empty": (lambda lines: [], False), "of another file": (lambda lines: [line + "0" for line in lines], False),
    "spaces": (lambda lines: [line.replace("\t", " ") for line in lines], False),
    "fractions": (lambda lines: [line + ".0" for line in lines], False),
    "beyond 64 bits": (lambda lines: ["0\t" + "9" * 30], False), "not ASCII": (lambda lines: ["\xfc"], False),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_indexes(rec, kind):
    change, fine = INDEXES[kind]
    wanted, path = open_records(rec), rec[:-3] + "idx"
    with open(path) as handle:
        lines = handle.read().splitlines()
    with open(path, "w", encoding="latin-1", newline="") as handle:
        handle.write("\n".join(change(lines)) + "\n")
    if not fine:
        with pytest.raises(AccnnError, match="good.idx (does not match|is no index)"):
            open_records(rec)
        return
    # MXNet's own reader ends the process at keys that are no numbers.
    batches = read_images(open_records(rec), Preprocessing(SHAPE), 7)
    assert [label for batch in batches for label in batch.labels] == list(wanted.labels)


@pytest.mark.parametrize("name", ["a b", "\xfc\xf6", "a#b", "a?b", "a;b", "a,b", "a*b", "a\nb", "'", "-x", "n\udcff"])
@pytest.mark.parametrize("index", [True, False])
def test_names(tmp_path, name, index):
    plain = packed(tmp_path / "plain")
    for end in ("rec", "idx")[:2 if index else 1]:
        os.link(plain[:-3] + end, str(tmp_path / name) + "." + end)
    before = sorted(os.listdir(tmp_path))
    batches = list(read_images(open_records(str(tmp_path / name) + ".rec"), Preprocessing(SHAPE), 7))
    assert sum(batch.size for batch in batches) == 23 and sorted(os.listdir(tmp_path)) == before


def test_a_part_as_a_file_of_its_own(rec):
    records = open_records(rec)
    with records.cut(20, 23) as some:
        assert list(open_records(some.path).labels) == list(records.labels[20:]) == list(some.labels)
        assert list(open_records(some.path).offsets) == list(some.offsets)
    assert not os.path.exists(some.path)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("numbers", [[22], [0, 5, 6, 22], [7, 3], list(range(23)), []])
def test_records_chosen_as_a_file_of_their_own(tmp_path, numbers, index):
    pictures = items()
    pictures[5] = ([3.0, 4.0], pictures[5][1])
    records = open_records(packed(tmp_path / "a", pictures, index))
    wanted = {batch.first: batch.images.asnumpy() for batch in read_images(records, Preprocessing(SHAPE), 1)}
    with records.chosen(numbers) as some:
        assert len(some) == len(numbers) and list(some.labels) == list(records.labels[numbers])
        assert list(some.ids) == numbers and list(some.several) == [number == 5 for number in numbers]
        if numbers:
            assert list(open_records(some.path).offsets) == list(some.offsets)
        for number, batch in zip(numbers, read_images(some, Preprocessing(SHAPE), 1)):
            np.testing.assert_array_equal(batch.images.asnumpy(), wanted[number])
    assert not os.path.exists(some.path)


def test_the_magic_number_inside_a_picture(tmp_path):
    from accnn.core.compat import mx

    pictures = items(6)
    magic = struct.pack("<I", 0xCED7230A)
    for number in (2, 5):  # the writer cuts a record there, where it lies on a multiple of four bytes
        content = pictures[number][1]
        pictures[number] = (pictures[number][0], content + b"\0" * (-len(content) % 4) + magic * 3 + b"end")
    records = open_records(packed(tmp_path / "a", pictures))
    assert len(records) == 6 and list(records.offsets) == offsets(records.path)
    batches = list(read_images(records, Preprocessing(SHAPE), 4))
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [0, 1, 2, 3, 4, 0]
    assert mx.recordio.unpack(mx.recordio.MXIndexedRecordIO(records.path[:-3] + "idx", records.path, "r").read_idx(2))

"""Folders of images become records with the right labels, whole, or one sentence says why not."""
import errno
import json
import os
import re
import resource
import runpy
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from accnn import pack
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.data import pack as writing
from accnn.data.folder import Image
from accnn.data.pack import record_writer

cv2 = pytest.importorskip("cv2")

SIDE = 40


def picture(grey, width=SIDE, height=SIDE):
    """An image whose mean grey level tells it apart after JPEG."""
    pixels = np.full((height, width, 3), grey, np.uint8)
    pixels[: height // 2, : width // 2] += 8
    return pixels


@pytest.fixture
def classes(tmp_path):
    """cat/, dog/ and 'big eel'/ with images whose grey level is 16 * (their place in the sorted names)."""
    names = ["big eel/x.jpg", "cat/a 1.JPEG", "cat/b.png", "cat/c.JPG", "dog/d.jpeg", "dog/e.jpg"]
    for place, name in enumerate(names):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture(16 * place, width=SIDE + 2 * place))
    return tmp_path / "photos"


@pytest.fixture
def flat(tmp_path):
    """ImageNet's validation folder, six images."""
    folder = tmp_path / "val"
    folder.mkdir()
    for number in range(6):
        assert cv2.imwrite(str(folder / ("ILSVRC2012_val_%08d.JPEG" % (number + 1))), picture(16 * number))
    return folder


def read_back(prefix):
    """(labels, grey levels as the images' places) as MXNet's iterator gives them."""
    batches = mx.io.ImageRecordIter(path_imgrec=prefix + ".rec", path_imgidx=prefix + ".idx", data_shape=(3, 16, 16),
                                    batch_size=1, preprocess_threads=1, prefetch_buffer=1)
    labels, places = [], []
    for batch in batches:
        labels.append(int(batch.label[0].asscalar()))
        places.append(int(batch.data[0].asnumpy().min() / 16 + 0.5))
    return labels, places


def packed(root, *options):
    prefix = os.path.join(os.path.dirname(str(root)), "out")
    assert pack.main([str(root), prefix] + list(options)) == 0
    return prefix


def folder_names(path):
    return sorted(os.listdir(str(path)))


def refused(capsys, *arguments):
    """The sentence that a refusal is told by; nothing may be written."""
    before = {folder: sorted(files) for folder, _, files in os.walk(os.path.dirname(arguments[1]))}
    assert pack.main([str(argument) for argument in arguments]) == 2
    assert {folder: sorted(files) for folder, _, files in os.walk(os.path.dirname(arguments[1]))} == before
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(err) == 1
    return err[0]


def test_one_subfolder_a_class(classes, capsys):
    prefix = packed(classes)
    assert read_back(prefix) == ([0, 1, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5])
    with open(prefix + "-labels.txt") as file:
        assert file.read() == "big eel\ncat\ndog\n"
    with open(prefix + ".lst") as file:
        assert file.read().splitlines()[1] == "1\t1.000000\tcat/a 1.JPEG"
    out = capsys.readouterr().out
    assert "label 1         3 images  cat" in out and "6 records of 3 classes" in out
    assert folder_names(classes.parent) == ["out-labels.txt", "out.idx", "out.lst", "out.rec", "photos"]


@pytest.mark.parametrize("options", [[], ["--resize", "24"], ["--quality", "60"], ["--pass-through"]])
def test_same_bytes_as_im2rec(classes, tmp_path, monkeypatch, options):
    prefix = packed(classes, *options)
    (tmp_path / "theirs").mkdir()
    theirs = str(tmp_path / "theirs" / "out")
    if not hasattr(np.ndarray, "tostring") and "--pass-through" not in options:
        pytest.skip("im2rec of mxnet 1.9.1 encodes no image with NumPy 2.3 or later: it calls ndarray.tostring")
    for words in ["--list", "--recursive", "--no-shuffle"], options:
        monkeypatch.setattr(sys, "argv", ["im2rec.py", theirs, str(classes)] + words)
        left = runpy.run_module("mxnet.tools.im2rec", run_name="__main__")
    left["record"].close()  # elsewhere the end of the process does
    for kind in (".rec", ".idx", ".lst"):
        with open(prefix + kind, "rb") as ours, open(theirs + kind, "rb") as other:
            assert ours.read() == other.read(), kind


def test_threads_keep_the_order(classes):
    several = packed(classes, "--num-thread", "4")
    with open(several + ".rec", "rb") as file:
        bytes_of_several = file.read()
    packed(classes, "--num-thread", "1", "--force")
    with open(several + ".rec", "rb") as file:
        assert file.read() == bytes_of_several


def test_shuffled_the_same_way_by_the_same_seed(classes):
    orders = []
    for seed in ("3", "3", "4"):
        labels, places = read_back(packed(classes, "--shuffle", "--seed", seed, "--force"))
        assert sorted(places) == list(range(6))
        assert [[0, 1, 1, 1, 2, 2][place] for place in places] == labels
        orders.append(places)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("text, options, labels", [
    ("4\n0\n1\n2\n999\n3\n", [], [4, 0, 1, 2, 999, 3]),
    ("1\r\n3\r\n2\r\n1\r\n1\r\n1000\r\n\r\n", ["--first-label", "1"], [0, 2, 1, 0, 0, 999]),
    ("n02\nn01\nn02\nn07\nn01\nn02\n", [], [1, 0, 1, 2, 0, 1]),
    ("n02\nn01\nn02\nn07\nn01\nn02\n", ["--classes", "CLASSES"], [2, 1, 2, 3, 1, 2]),
    ("".join("ILSVRC2012_val_%08d.JPEG %d\n" % (number, 10 - number) for number in (3, 1, 2, 6, 5, 4)), [],
     [9, 8, 7, 6, 5, 4]),
    ("".join("./ILSVRC2012_val_%08d.JPEG\tn%02d\n" % (number, number // 4) for number in range(1, 7)), [],
     [0, 0, 0, 1, 1, 1]),
])
def test_label_files(flat, tmp_path, text, options, labels):
    (tmp_path / "labels").write_bytes(text.encode())
    (tmp_path / "classes").write_text("n00 nothing, void\nn01 tench, Tinca tinca\nn02 goldfish\nn07 cock\n")
    options = [option.replace("CLASSES", str(tmp_path / "classes")) for option in options]
    prefix = packed(flat, "--labels", str(tmp_path / "labels"), *options)
    assert read_back(prefix) == (labels, list(range(6)))
    assert os.path.exists(prefix + "-labels.txt") == ("n02" in text or "n00" in text)


def test_a_validation_folder_takes_the_labels_of_the_training_folder(classes, tmp_path):
    table = packed(classes) + "-labels.txt"
    os.rename(str(tmp_path / "photos" / "cat"), str(tmp_path / "kept"))
    prefix = packed(classes, "--classes", table, "--force")
    assert read_back(prefix)[0] == [0, 2, 2]


@pytest.mark.parametrize("mixed, said", [
    ([], None), (["-labels.txt"], "other-labels.txt does not belong to .*other.lst, whose images are of other classes"),
    ([".rec", ".idx"], "other-labels.txt and .*other.lst do not belong to .*other.rec, whose records"),
    ([".rec", ".idx", ".lst"], "other-labels.txt does not belong to .*other.lst")])
def test_a_table_of_labels_that_does_not_belong_to_its_records(classes, tmp_path, capsys, mixed, said):
    """As after a kill between two renames: some files are of the packing before."""
    old, new = packed(classes), str(tmp_path / "other")
    os.rename(str(classes / "big eel"), str(classes / "zebra"))
    assert pack.main([str(classes), new]) == 0
    os.rename(str(classes / "zebra"), str(classes / "big eel"))
    for end in mixed:
        shutil.copy(old + end, new + end)
    words = [str(classes), str(tmp_path / "third"), "--classes", new + "-labels.txt"]
    if said is None:
        os.rename(str(classes / "big eel"), str(classes / "zebra"))
        assert pack.main(words) == 0
    else:
        assert re.search(said, refused(capsys, *words))


def test_numbers_that_may_count_from_one_are_pointed_at(flat, tmp_path, capsys):
    (tmp_path / "labels").write_text("1\n2\n3\n4\n5\n6\n")
    packed(flat, "--labels", str(tmp_path / "labels"))
    assert "--first-label 1" in capsys.readouterr().err


LABELS = "1\n0\n1\n0\n1\n0\n"
NAMED = "".join("ILSVRC2012_val_%08d.JPEG 1\n" % number for number in range(1, 7))


@pytest.mark.parametrize("text, options, says", [
    (LABELS + "1\n", [], "7 lines, but there are 6 images"),
    (LABELS[2:], [], "5 lines, but there are 6 images"),
    ("1\n0\n\n0\n1\n0\n", [], "line 3: '' is not one label"),
    ("1\n0 1\n1\n0\n1\n0\n", [], "line 2: '0 1' is not one label"),
    (LABELS.replace("0", "0.5"), [], "label 0.5 is neither"),
    (LABELS.replace("0", "-1"), [], "label -1 is neither"),
    (LABELS.replace("0", "cat", 1), [], "label 'cat' is no number"),
    (LABELS, ["--first-label", "1"], "label 0 is below --first-label 1"),
    (LABELS.replace("0", "99999999"), [], "99999999 is too large"),
    (LABELS, ["--classes", "LABELS"], "twice|but --classes names"),
    ("", [], "is empty"),
    (NAMED.replace("3.JPEG", "9.JPEG"), [], "no label for 1 of 6 images, the first is ILSVRC2012_val_00000003.JPEG"),
    (NAMED + "extra.JPEG 1\n", [], "labels 1 images that are not there, the first is extra.JPEG"),
    (NAMED + "ILSVRC2012_val_00000001.JPEG 2\n", [], "line 7: ILSVRC2012_val_00000001.JPEG has another label above"),
    (NAMED + "5\n", [], "line 7: '5' is not a name and a label"),
    ("\xff", [], "no text file"),
])
def test_bad_label_files(flat, tmp_path, capsys, text, options, says):
    path = tmp_path / "labels"
    path.write_bytes(text.encode("latin-1"))
    if "--classes" in options:
        (tmp_path / "one").write_text("only\n")
        options = ["--classes", str(tmp_path / "one")]
    sentence = refused(capsys, flat, str(tmp_path / "out"), "--labels", path, *options)
    assert any(part in sentence for part in says.split("|")), sentence


@pytest.mark.parametrize("root, prefix, options, says", [
    ("nowhere", "out", [], "is no folder"),
    ("photos/cat/b.png", "out", [], "is no folder"),
    ("empty", "out", [], "holds no images"),
    ("photos/cat", "out", [], "is in no subfolder"),
    ("photos", "missing/out", [], "no folder"),
    ("photos", "empty/", [], "names a folder"),
    ("photos", "out", ["--resize", "-1"], "--resize -1"),
    ("photos", "out", ["--quality", "0"], "--quality 0"),
    ("photos", "out", ["--num-thread", "0"], "--num-thread 0"),
    ("photos", "out", ["--pass-through", "--resize", "5"], "leave out --resize"),
    ("photos", "out", ["--first-label", "1"], "--labels, which is not given"),
    ("photos", "out", ["--labels", "/nowhere/labels"], "/nowhere/labels cannot be read: No such file"),
])
def test_bad_input(classes, tmp_path, capsys, root, prefix, options, says):
    (tmp_path / "empty").mkdir()
    assert says in refused(capsys, tmp_path / root, str(tmp_path) + "/" + prefix, *options)


def test_folders_that_leave_labels_in_doubt(classes, tmp_path, capsys):
    (classes / "bat").mkdir()
    assert "subfolder bat of" in refused(capsys, classes, str(tmp_path / "out"))
    (tmp_path / "names").write_text("cat\ndog\n")
    sentence = refused(capsys, classes, str(tmp_path / "out"), "--classes", tmp_path / "names")
    assert "subfolder big eel is not among the 2 names" in sentence
    (classes / "bat").rmdir()
    (classes / ".hidden").mkdir()
    (classes / "cat" / "notes.txt").write_text("x")
    packed(classes)
    assert "1 files are no .jpg" in capsys.readouterr().err
    os.rename(str(classes / "cat" / "b.png"), str(classes / "cat" / "b\t.png"))
    assert "rename it" in refused(capsys, classes, str(tmp_path / "other"))


def test_files_that_are_there_stay(classes, tmp_path, capsys):
    prefix = packed(classes)
    assert "out.rec" in refused(capsys, classes, prefix)
    packed(classes, "--force")
    (tmp_path / "labels").write_text(LABELS)
    packed(classes, "--force", "--labels", str(tmp_path / "labels"))
    assert not os.path.exists(prefix + "-labels.txt")


def damage(classes):
    """Three broken images: no image, one without its end, an empty one."""
    (classes / "cat" / "b.png").write_text("junk")
    whole = (classes / "dog" / "d.jpeg").read_bytes()
    (classes / "dog" / "d.jpeg").write_bytes(whole[:-100])
    (classes / "dog" / "f.jpg").write_bytes(b"")
    return ["cat/b.png", "dog/d.jpeg", "dog/f.jpg"]


@pytest.mark.parametrize("options", [[], ["--pass-through"], ["--num-thread", "1"]])
def test_broken_images_are_named(classes, tmp_path, capsys, options):
    broken = damage(classes)
    sentence = refused(capsys, classes, str(tmp_path / "out"), *options)
    assert "3 of 7 images cannot be read: " + ", ".join(broken) in sentence and "--skip-broken" in sentence


def test_broken_images_are_left_out_when_asked(classes, capsys):
    broken = damage(classes)
    prefix = packed(classes, "--skip-broken", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["left_out"] == broken and report["records"] == 4
    assert report["classes"][1] == {"label": 1, "images": 2, "name": "cat"}
    assert report["bytes"] == os.path.getsize(report["written"]["rec"])
    assert read_back(prefix) == ([0, 1, 1, 2], [0, 1, 3, 5])
    with open(prefix + ".lst") as file:
        assert len(file.readlines()) == 4


def test_a_full_disk(classes, tmp_path, bare_environment):
    for number in range(40):
        noise = np.random.RandomState(number).randint(0, 256, (100, 100, 3)).astype(np.uint8)
        assert cv2.imwrite(str(classes / "cat" / ("noise%d.jpg" % number)), noise)
    (tmp_path / "new").mkdir()
    run = subprocess.run([sys.executable, pack.__file__, str(classes), str(tmp_path / "new" / "out")], timeout=60,
                         env=bare_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000)))
    assert run.returncode == 2
    assert "Traceback" not in run.stderr and "cannot be written" in run.stderr
    assert folder_names(tmp_path / "new") == []


def test_a_disk_that_is_full_while_threads_are_inside_opencv(tmp_path, bare_environment):
    """Photos take long enough that threads are at work when the first does not fit: the process must not abort."""
    (tmp_path / "photos" / "noise").mkdir(parents=True)
    noise = cv2.GaussianBlur(np.random.RandomState(0).randint(0, 256, (900, 1200, 3)).astype(np.uint8), (5, 5), 1)
    for number in range(8):
        assert cv2.imwrite(str(tmp_path / "photos" / "noise" / ("%d.jpg" % number)), noise)
    command = [sys.executable, pack.__file__, str(tmp_path / "photos"), str(tmp_path / "out"), "--num-thread", "4"]
    run = subprocess.run(command, timeout=60, env=bare_environment, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400000, 400000)))
    assert run.returncode == 2 and "cannot be written" in run.stderr, run.stderr
    assert folder_names(tmp_path) == ["photos"]


def test_no_thread_outlives_packing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def encode(image):
        time.sleep(0.2 if image.id else 0)
        return b"x"

    monkeypatch.setattr(mx.recordio.MXIndexedRecordIO, "write_idx", full)
    before = set(threading.enumerate())
    with pytest.raises(AccnnError, match="No space left"):
        writing.pack([Image(number, 0, "x") for number in range(9)], None, str(tmp_path / "out"), encode, threads=4)
    assert set(threading.enumerate()) == before


def test_a_disk_that_is_full_at_the_last_byte(tmp_path):
    with pytest.raises(AccnnError, match="whole"), record_writer("/dev/full", str(tmp_path / "idx")) as write:
        write(0, b"what MXNet loses without a word")
    with pytest.raises(OSError, match="No space"), record_writer(str(tmp_path / "rec"), "/dev/full") as write:
        write(0, b"x")


def test_photos(shared, tmp_path):
    """Real photos, their labels and pixels, go in and come out."""
    source = os.path.join(shared, "data", "imagenet_sample_600")
    records = mx.recordio.MXIndexedRecordIO(source + ".idx", source + ".rec", "r")
    folder, expected = tmp_path / "val", []
    folder.mkdir()
    with open(str(tmp_path / "labels"), "w") as labels:
        for number, key in enumerate(records.keys[:60]):
            header, content = mx.recordio.unpack(records.read_idx(key))
            expected.append(int(header.label))
            (folder / ("ILSVRC2012_val_%08d.JPEG" % number)).write_bytes(content)
            labels.write("%d\n" % header.label)
    prefix = packed(folder, "--labels", str(tmp_path / "labels"), "--pass-through")
    ours = mx.recordio.MXIndexedRecordIO(prefix + ".idx", prefix + ".rec", "r")
    assert read_back(prefix)[0] == expected
    assert all(mx.recordio.unpack(ours.read_idx(place))[1] == mx.recordio.unpack(records.read_idx(key))[1]
               for place, key in enumerate(records.keys[:60]))

"""fine_tune.py with a teacher alone: what is refused in a sentence, and what the report says."""
import json
import os
import re

import pytest

from accnn import fine_tune, score
from accnn.training import resume
from networks import chain_net, random_model, saved
from pictures import items, packed


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with a network, its teacher, and pictures of several sizes."""
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate(("net", "teacher")):
        saved(random_model(chain_net(), seed, data=(3, 12, 12)), folder / name)
    for name, size in (("train", {}), ("val", {}), ("other", dict(height=20, width=20)), ("small", dict(height=8))):
        packed(folder / name, items(19, **size))
    packed(folder / "many", [(1000.0 + number, content) for number, (_, content) in enumerate(items(19))])
    return folder


@pytest.fixture
def command(inputs, tmp_path):
    """Call fine_tune.py with options, of which IN is the folder of the inputs; return the exit code."""
    def run(*more):
        words = ["-m", "IN/net", "--image-shape", "3,12,12", "--batch-size", "4", "--rgb-mean", "128", "--rgb-std",
                 "64", "--num-epochs", "2", "--lr", "0.01", "--data-val", "IN/val.rec", "--model-prefix",
                 str(tmp_path / "out"), *more]
        return fine_tune.main([word.replace("IN", str(inputs)) for word in words])
    return run


TEACHER, TRAIN = ("--teacher", "IN/teacher"), ("--data-train", "IN/train.rec")
REFUSED = [
    ((*TRAIN, "--mixup", "1"), "--mixup is for images that a teacher alone answers.*give --teacher PREFIX"),
    ((*TRAIN, *TEACHER, "--mixup", "1", "--distill-weight", "0.9"), "--mixup .*leave --distill-weight at 1"),
    ((*TRAIN, "--data-unlabelled", "IN/train.rec"), "--data-unlabelled is for images that a teacher alone"),
    ((*TRAIN, *TEACHER, "--mixup", "-1"), "--mixup must be from 0"),
    ((*TRAIN, *TEACHER, "--mixup", "nan"), "--mixup must be from 0"),
    (TEACHER, "no images to learn from: give --data-train REC, or --data-unlabelled"),
    ((*TRAIN, "--average", "2.5"), "--average must be above 0 and at most --num-epochs"),
    ((*TRAIN, "--average", "0"), "--average must be above 0"),
    ((*TRAIN, "--clip-gradient", "-1"), "--clip-gradient must be 0 or more"),
    ((*TRAIN, "--lr", "0"), "--lr must be above 0"),
    ((*TRAIN, "--lr", "nan"), "--lr must be above 0"),
    ((*TRAIN, *TEACHER, "--data-unlabelled", "IN/other.rec"), "other.rec are 20x20 and those of .*train.rec 14x13"),
    ((*TRAIN, *TEACHER, "--data-unlabelled", "IN/small.rec"), "small.rec is 8x13, smaller than the input of 12x12"),
    ((*TRAIN, *TEACHER, "--data-unlabelled", "IN/none.rec"), "none.rec"),
    ((*TRAIN, *TEACHER, "--data-unlabelled", "IN/train.rec", "--batch-size", "1"), "a batch of 1 holds no images"),
]


@pytest.mark.parametrize("options, says", REFUSED, ids=[says[:25] for _, says in REFUSED])
def test_refused(command, tmp_path, capsys, options, says):
    assert command(*options) == 2
    sentences = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(sentences) == 1 and re.search(says, sentences[0]), sentences
    assert not os.listdir(str(tmp_path))


def test_images_of_other_sizes_where_they_are_scaled(command, tmp_path):
    assert command(*TRAIN, *TEACHER, "--data-unlabelled", "IN/other.rec", "--resize", "12", "--num-epochs", "1") == 0


def test_a_curve_of_points_lost_to_the_teacher(command, inputs, tmp_path, capsys):
    """Labels of the unlabelled file are none that the network knows."""
    assert command(*TEACHER, "--data-unlabelled", "IN/many.rec", "--mixup", "1", "--average", "1", "--lr", "auto",
                   "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert score.main(["-m", str(inputs / "teacher"), "--data-val", str(inputs / "val.rec"), "--rgb-mean", "128",
                       "--rgb-std", "64", "--input-shape", "3,12,12", "--json"]) == 0
    right = json.loads(capsys.readouterr().out)["model"]["top"]["1"]["right"]
    assert found["teacher_right"] == right
    assert found["curve"] == [[entry["epoch"], 100 * (right - entry["val_right"]) / 19] for entry in found["epochs"]]
    assert [epoch for epoch, _ in found["curve"]] == [0, 1, 2]
    assert "learning rate %.3g, by a range test" % found["found_lr"] in told.err


def test_without_a_teacher_points_are_those_since_the_beginning(command, capsys):
    assert command(*TRAIN, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    first = found["epochs"][0]["val_right"]
    assert found["teacher_right"] is None and found["curve"] == [
        [entry["epoch"], 100 * (first - entry["val_right"]) / 19] for entry in found["epochs"]]


@pytest.mark.parametrize("begun, resumed, said", [(False, True, "--teacher-mirror (none), not True"),
                                                  (True, False, "--teacher-mirror True, not (none)")])
def test_mirror_images_are_a_setting_that_runs_from_before_it_do_not_know(command, tmp_path, capsys, begun, resumed,
                                                                          said):
    def mirrored(wanted):
        return ("--teacher-mirror", str(int(wanted)))

    assert command(*TRAIN, *TEACHER, "--num-epochs", "1", *mirrored(begun)) == 0
    _, note = resume.load(str(tmp_path / "out"))
    assert note["settings"]["teacher-mirror"] is (True if begun else None)  # None: as where there is no such key
    assert command(*TRAIN, *TEACHER, *mirrored(resumed), "--resume") == 2
    assert said in capsys.readouterr().err
    assert command(*TRAIN, *TEACHER, *mirrored(begun), "--resume") == 0


def test_a_run_that_drew_other_batches_by_its_seed_is_not_gone_on_with(command, tmp_path, capsys):
    assert command(*TRAIN, *TEACHER, "--num-epochs", "1") == 0
    arrays, note = resume.load(str(tmp_path / "out"))
    del note["settings"][resume.DRAWING]  # as earlier versions wrote it
    resume.save(str(tmp_path / "out"), arrays, note)
    capsys.readouterr()
    assert command(*TRAIN, *TEACHER, "--resume") == 2
    assert "draws other batches by the same seed: say --force instead of --resume" in capsys.readouterr().err

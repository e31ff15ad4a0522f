"""Scripts that run networks whose graph holds a batch: they take it where --batch-size says nothing."""
import json

import numpy as np
import pytest

from accnn import accnn, fine_tune, two_pass
from accnn.graph.checkpoint import load_model
from accnn.timing.job import Job
from accnn.timing.networks import measure
from baked import SENTENCE, WORD, text_model
from networks import outputs, random_input, saved
from pictures import items, packed, read

SHAPE, COLOURS = ["--input-shape", "1,56,30"], ["--rgb-mean", "127", "--rgb-std", "60"]


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("texts") / "t", items(27, height=SENTENCE, width=WORD, channels=1))


@pytest.fixture
def prefix(tmp_path):
    return saved(text_model("reshape", 10), tmp_path / "net")


def test_fine_tuning(prefix, rec, tmp_path, capsys):
    asked = ["--pretrained-model", prefix, "--data-train", rec, "--data-val", rec, "--num-epochs", "1",
             "--model-prefix", str(tmp_path / "tuned"), "--lr", "0.001", "--json"] + SHAPE + COLOURS
    assert fine_tune.main(asked) == 0
    given, last = json.loads(capsys.readouterr().out)["epochs"]
    images, labels = read(rec, (1, SENTENCE, WORD), (127,), (60,))
    padded, tuned = np.resize(images, (30,) + images.shape[1:]), load_model(str(tmp_path / "tuned"), 1)
    for entry, model in ((given, load_model(prefix)), (last, tuned)):
        found = np.concatenate([outputs(model, data=padded[first:first + 10])[0] for first in (0, 10, 20)])[:27]
        assert entry["val_images"] == 27 and entry["val_right"] == (found.argmax(axis=1) == labels).sum()
    assert fine_tune.main(asked + ["--force", "--batch-size", "5"]) == 2
    assert "made for batches of 10: say --batch-size 10" in capsys.readouterr().err


def test_calibration_counts_one_sentence(prefix, rec, tmp_path, capsys):
    new = str(tmp_path / "new")
    asked = ["-m", prefix, "--save-model", new, "--ratio", "1.5", "--data-calib", rec, "--no-timing", "--json",
             "--rank-selection", "sensitivity"] + SHAPE + COLOURS
    assert accnn.main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    conv = sum(10 * words * WORD * (SENTENCE - words + 1) for words in (3, 4, 5))
    assert told["network"]["before"] == conv + 30 * 5 and told["network"]["ratio"] > 1.4
    images = random_input(10, 1, SENTENCE, WORD)
    before, after = (outputs(load_model(one), data=images)[0] for one in (prefix, new))
    assert after.shape == before.shape == (10, 5)
    assert accnn.main(asked + ["--batch-size", "4", "--force"]) == 2
    assert "say --batch-size 10" in capsys.readouterr().err


def test_two_passes(prefix, rec, tmp_path, capsys):
    assert two_pass.main(["-m", prefix, "--save-model", str(tmp_path / "new"), "--data-train", rec, "--groups", "1",
                          "--json"] + SHAPE + COLOURS) == 0
    capsys.readouterr()
    assert outputs(load_model(str(tmp_path / "new")), data=random_input(10, 1, SENTENCE, WORD))[0].shape == (10, 5)


def test_timing(prefix):
    job = Job(prefix, prefix, input_shapes=((None, (1, SENTENCE, WORD)),), layers=True, repeats=1, warm_up=0,
              batch_sizes=())
    found = measure(job)
    run, = found["runs"]
    assert run["batch_size"] == 10
    rows = {row["layer"]: row["macs_before"] for row in run["layers"]["rows"]}
    assert rows["conv3"] == 10 * 3 * WORD * (SENTENCE - 2) and sum(rows.values()) == found["theoretical"]["macs_before"]

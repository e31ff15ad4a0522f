"""What the tests of two_pass.py share: networks, pictures, a command that works."""
import json

import pytest
from two_pass_runs import COLOURS

from accnn import two_pass
from networks import chain_model, saved
from pictures import items, packed


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A network whose conv2 to conv5 are worth splitting, pictures to train and to validate on, a config."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "ranks.json").write_text('{"conv_params": {"conv2": 9, "conv3": 11, "conv4": 13}}')
    return {"net": saved(chain_model(widths=(8, 16, 16, 16)), folder / "net"),
            "train": packed(folder / "train", items(43)), "val": packed(folder / "val", items(17)),
            "config": str(folder / "ranks.json"), "folder": folder}


@pytest.fixture
def command(inputs, tmp_path):
    """Options of a run that works: two groups, conv2 and conv3, then conv4."""
    return ["-m", inputs["net"], "--data-train", inputs["train"], "--batch-size", "8", "--lr", "0.003", "--groups", "2",
            "--config", inputs["config"], "--save-model", str(tmp_path / "out")] + COLOURS


@pytest.fixture
def told(tmp_path, capsys, command):
    """Run with JSON output and return it."""
    def run(*more, base=None):
        assert two_pass.main((base or command) + list(more) + ["--json"]) == 0
        return json.loads(capsys.readouterr().out)
    return run

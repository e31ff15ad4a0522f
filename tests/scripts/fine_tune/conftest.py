"""What the tests of fine_tune.py share: a network, pictures, a command that works."""
import shutil

import pytest
from fine_tune_runs import dropping_model

from networks import saved
from pictures import items, packed


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder of what a run that works reads; tests take a copy."""
    folder = tmp_path_factory.mktemp("inputs")
    saved(dropping_model(), folder / "net")
    packed(folder / "train", items(43))
    packed(folder / "val", items(17))
    return folder


@pytest.fixture
def net(inputs, tmp_path):
    shutil.copytree(str(inputs), str(tmp_path / "in"))
    return str(tmp_path / "in" / "net")


@pytest.fixture
def command(net, tmp_path):
    """Options of a run that works."""
    folder = str(tmp_path / "in")
    return ["-m", net, "--data-train", folder + "/train.rec", "--batch-size", "8",
            "--image-shape", "3,12,12", "--rgb-mean", "128", "--rgb-std", "64", "--lr", "0.01", "--num-epochs", "3",
            "--data-val", folder + "/val.rec", "--model-prefix", str(tmp_path / "out")]

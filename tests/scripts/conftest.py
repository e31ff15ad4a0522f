"""What the tests of scripts share: a small checkpoint, and the environment a shell would give."""
import os

import pytest

from networks import chain_model, saved


@pytest.fixture
def prefix(tmp_path):
    """Prefix of a saved chain_model, epoch 1, alone in a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    return saved(chain_model(), folder / "net")


@pytest.fixture
def bare_environment():
    """Environment without PYTHONPATH, so that a script must find the package by itself."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

"""Shared by all tests: the package of this checkout comes first, whatever else is installed."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
for folder in (HERE, os.path.join(ROOT, "tools")):
    sys.path.insert(0, folder)


@pytest.fixture
def shared():
    """Folder of real checkpoints and images; tests that need it are skipped without."""
    folder = os.path.abspath(os.environ.get("ACCNN_SHARED", os.path.join(ROOT, os.pardir, "shared")))
    if not os.path.isdir(os.path.join(folder, "models")):
        pytest.skip("needs real checkpoints: set ACCNN_SHARED to the folder that holds models/")
    return folder

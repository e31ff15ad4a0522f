"""What the tests of calibration share: pictures, and accnn.py run with them."""
import json
import os

import pytest
from calibration_options import SCALE

from accnn import accnn, rank_selection
from pictures import items, packed


@pytest.fixture
def rec(tmp_path):
    """A file of 40 pictures."""
    return packed(tmp_path / "images", items(40))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of temporary files, alone."""
    import tempfile

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return temporary


@pytest.fixture
def told(tmp_path, capsys, folder):
    """Run accnn.py with JSON output and return it, stderr under 'stderr'."""
    def run(*arguments, name="new"):
        arguments = [*arguments, "--save-model", str(tmp_path / name), "--json", *SCALE]
        assert accnn.main(arguments) == 0
        printed = capsys.readouterr()
        assert os.listdir(folder) == []
        json.loads(printed.out, parse_constant=lambda name: pytest.fail("%s is no JSON" % name))
        return dict(json.loads(printed.out), stderr=printed.err)
    return run


@pytest.fixture
def refused(tmp_path, capsys, folder):
    """Run accnn.py, expect a refusal that writes nothing, and return its sentence."""
    def run(*arguments, script=accnn):
        before = sorted(os.listdir(tmp_path))
        target = ["--output" if script is rank_selection else "--save-model", str(tmp_path / "new")]
        assert script.main([*arguments, *target]) == 2
        assert sorted(os.listdir(tmp_path)) == before and os.listdir(folder) == []
        sentences = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(sentences) == 1
        return sentences[0]
    return run

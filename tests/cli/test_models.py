"""``accnn models`` lists what get_model.py can write, and the demo's network."""
import json
import os

import pytest

from accnn import accnn
from accnn.cli import zoo
from accnn.core.compat import mx


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MXNET_HOME", "/nowhere")
        from io import StringIO
        out = StringIO()
        patch.setattr("sys.stdout", out)
        assert accnn.main(["models", "--json"]) == 0
    return {row["name"]: row for row in json.loads(out.getvalue())}


def test_sizes_are_those_of_known_networks(rows):
    assert rows["vgg16"]["bytes"] == 4 * 138357544 and rows["vgg16"]["input"] == [3, 224, 224]
    assert rows["spp10"]["here"] == "yes" and rows["densenet121"]["here"] is None
    assert rows["inceptionv3"]["input"] == [3, 299, 299] and all(row["source"] for row in rows.values())


def test_the_demo_is_here(rows):
    row = rows["digits"]
    stored = mx.nd.load(row["here"] + "-0001.params")
    assert 0 <= os.path.getsize(row["here"] + "-0001.params") - sum(4 * one.size for one in stored.values()) < 10000


def test_without_the_repository_it_is_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(zoo, "_REPOSITORY", str(tmp_path))
    assert accnn.main(["models"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_opens_with_what_people_need(capsys):
    assert accnn.main(["--help"]) == 0
    opening = capsys.readouterr().out.splitlines()[:6]
    assert [line.split()[1] for line in opening[2:5]] == ["accnn.py", "score.py", "fine_tune.py"]

"""Without onnx and onnxruntime, an optional extra: scripts say what to install, and all else works."""
import os
import sys
import types

import pytest

from accnn import AccnnError, accnn, export, export_onnx
from networks import chain_model, saved


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_what_is_missing_is_named_with_the_extra(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setitem(sys.modules, "onnx", types.ModuleType("onnx"))
    monkeypatch.setitem(sys.modules, name, None)
    path = str(tmp_path / "net.onnx")
    for script, words in ((export, []), (accnn, ["export"])):
        assert script.main(words + ["-m", saved(chain_model(), tmp_path / "net"), "--save-model", path]) == 2
        said = capsys.readouterr().err
        assert "error: %s cannot be imported" % name in said and "pip install '.[onnx]'" in said
    with pytest.raises(AccnnError, match="onnx.* cannot be imported"):
        export_onnx(chain_model(), path)
    assert not os.path.exists(path)

"""The notebook runs from start to end, and is committed without outputs."""
import os

import pytest

pytest.importorskip("matplotlib", reason="needs pip install '.[report]'")
nbformat = pytest.importorskip("nbformat", reason="needs pip install '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="needs pip install '.[test]'")
pytest.importorskip("ipykernel", reason="needs pip install '.[test]'")
pytest.importorskip("sklearn", reason="needs pip install '.[demo]'")

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools", "accnn", "docs")
NOTEBOOK = nbformat.read(os.path.join(DOCS, "tour.ipynb"), as_version=4)


def test_it_is_committed_without_outputs():
    nbformat.validate(NOTEBOOK)
    code = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_it_runs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    before = sorted(os.listdir(DOCS))
    done = nbclient.NotebookClient(NOTEBOOK.copy(), timeout=120, kernel_name="python3",
                                   resources={"metadata": {"path": DOCS}}).execute()
    shown = [output.get("data", {}) for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in data for data in shown) == 4
    assert sum("<table>" in data.get("text/html", "") for data in shown) == 3
    assert sorted(os.listdir(DOCS)) == before

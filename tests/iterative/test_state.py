"""The state of a two-pass run: what is written is read, as earlier versions wrote it too; anything else is refused."""
import json
import math

import pytest

from accnn.core.errors import AccnnError
from accnn.iterative.state import State, load_state, state_path

LAYER = {"layer": "conv2", "op": "Convolution", "method": "vh", "rank": 3, "group": 1}
RECORD = {"stage": "decompose", "group": 1, "epochs": 0, "fitness": {"b": 0.25, "a": 0.5}, "parameters": {},
          "entries": [{"val_loss": math.inf}], "seconds": 1.5}


@pytest.fixture
def state(tmp_path):
    found = State(str(tmp_path / "out"), {"lr": 0.1}, [LAYER], {"ratio": 2}, {"before": 4, "after": 2}, None, [RECORD])
    found.begin()
    return found


def rewritten(state, change):
    """Change the file by ``change(document)``."""
    with open(state_path(state.prefix)) as handle:
        document = json.load(handle)
    change(document)
    with open(state_path(state.prefix), "w") as handle:
        json.dump(document, handle)


@pytest.mark.parametrize("change", [lambda document: None, lambda document: document.pop("holds")])
def test_what_is_written_is_read_with_or_without_its_mark(state, change):
    rewritten(state, change)
    found = load_state(state.prefix)
    assert found == state and list(found.done[0]["fitness"]) == ["b", "a"]  # sums are the same to the last bit


@pytest.mark.parametrize("change, says", [
    (lambda document: document.update(holds="list of energies"), "is no two-pass run: say `force` to start again"),
    (lambda document: document.update(version=7), "of another version of accnn: say `force` to start again"),
    (lambda document: document.pop("version"), "is no two-pass run"),
    (lambda document: document.pop("done"), "is no two-pass run"),
    (lambda document: document.update(more=1), "is no two-pass run"),
    (lambda document: document.update(done=[1]), "is no two-pass run"),
    (lambda document: document.update(layers=[{"layer": "conv2"}]), "is no two-pass run")])
def test_what_is_no_state_is_refused_with_the_remedy(state, change, says):
    rewritten(state, change)
    with pytest.raises(AccnnError, match="out-two-pass.json.*" + says):
        load_state(state.prefix)


@pytest.mark.parametrize("text", ["", "[1, 2]", "7", "null", "[" * 100000, '{"version": 1}'])
def test_damage(state, text):
    with open(state_path(state.prefix), "w") as handle:
        handle.write(text)
    with pytest.raises(AccnnError, match="out-two-pass.json is no two-pass run: say `force`"):
        load_state(state.prefix)

"""The model card: what it says is what was found, and its lines on loading work with plain MXNet."""
import hashlib
import os
import re

import numpy as np
import pytest

from accnn import accnn, quantize
from accnn.cli import cards, verify
from accnn.graph.checkpoint import load_model
from networks import chain_model, outputs, saved
from pictures import items, packed


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Prefix of a network, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    return saved(chain_model(), "net")


def timed(*_, **__):
    """What the clock would say."""
    return {"environment": {"cpu": "A Slide Rule", "isa": "AVX2", "mxnet": "1.9.1"}, "theoretical": {"ratio": None},
            "runs": [{"threads": 2, "batch_size": 1, "baseline": {"median_ms": 3.0}, "model": {"median_ms": 2.0},
                      "measured": {"median": 1.5, "quartiles": [1.4, 1.6], "uncertainty": 0.013}}]}


def card(name="new-card.md"):
    """str: the text of a card."""
    with open(name, encoding="utf-8") as handle:
        return handle.read()


def loaded(capsys, text):
    """str: what the lines on loading print."""
    code, = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(code, "card", "exec"), {})  # noqa: S102  (our own card)
    return capsys.readouterr().out


def test_a_card_says_what_was_measured(net, capsys, monkeypatch):
    packed("val", items(23))
    monkeypatch.setattr(verify, "timed", timed)
    words = ["-m", net, "--save-model", "new", "--card", "--data-val", "val.rec", "--input-shape", "3,12,12"]
    assert accnn.main(words) == 0
    out, text = capsys.readouterr().out, card()
    assert re.search(r"^card +new-card.md$", out, re.M)
    for path in ("net-symbol.json", "net-0001.params"):
        with open(path, "rb") as handle:
            assert "| SHA-256 of %s | `%s` |" % (path, hashlib.sha256(handle.read()).hexdigest()) in text
    assert "measured speed-up | 1.50x: 2.00 ms, was 3.00 ms; mxnet fp32, 2 threads, batch 1, A Slide Rule" in text
    assert "known to 1.3%" in text and "speed-up asked for | 2x, by the cost macs" in text
    assert "--save-model new --card --data-val val.rec" in text
    lost, = re.findall(r"top-1 \| [\d.]+%, was [\d.]+%: ([-+\d.]+) points lost, of 23 images", text)
    assert re.search(r"^top-1 .* %s +points" % re.escape(lost), out, re.M)
    expected = outputs(load_model("new"), data=np.zeros((1, 3, 12, 12)))[0]
    assert str(expected.astype(np.float32)) == loaded(capsys, text).strip()


def test_what_was_not_measured_is_not_said(net):
    assert accnn.main(["-m", net, "--save-model", "new", "--card"]) == 0
    assert "measured" not in card() and "top-1" not in card() and "theoretical speed-up" in card()
    assert "## Licence" in card()


def test_a_card_that_is_there_stays(net, capsys):
    with open("new-card.md", "w") as handle:
        handle.write("mine")
    assert accnn.main(["-m", net, "--save-model", "new", "--card"]) == 2
    assert "new-card.md is there already" in capsys.readouterr().err and card() == "mine"
    assert not os.path.exists("new-0001.params")
    assert accnn.main(["-m", net, "--save-model", "new", "--no-timing"]) == 0 and card() == "mine"
    assert "new-card.md is about a checkpoint made before" in capsys.readouterr().err
    assert accnn.main(["-m", net, "--save-model", "new", "--card", "--force"]) == 0 and card() != "mine"


def test_card_and_checkpoint_come_together(net, monkeypatch):
    """What fails before the files have their names leaves neither."""
    monkeypatch.setattr(cards.ModelCard, "text", lambda self: "\udc80")  # no UTF-8
    with pytest.raises(UnicodeEncodeError):
        accnn.main(["-m", net, "--save-model", "new", "--card"])
    assert not [name for name in os.listdir() if name.startswith("new")]


def test_cards_of_int8_and_of_several_ratios(net, capsys):
    packed("train", items(40))
    images = ["--data-calib", "train.rec", "--calib-images", "30", "--input-shape", "3,12,12", "--no-timing"]
    assert quantize.main(["-m", net, "--save-model", "q", "--card"] + images) == 0
    capsys.readouterr()
    assert "| precision | int8 |" in card("q-card.md") and "nan" not in loaded(capsys, card("q-card.md"))
    assert accnn.main(["-m", net, "--sweep", "1.5,2", "--save-model", "s", "--card", "--no-timing"]) == 0
    assert "| speed-up asked for | 1.5x" in card("s-1.5x-card.md") and os.path.exists("s-2x-card.md")

"""``--precision`` on the command line: what is written and told, and one sentence where something is missing."""
import json
import os

import pytest

from accnn import accnn, fine_tune, rank_selection
from accnn.graph.checkpoint import load_model
from accnn.graph.quantized import is_quantized
from accnn.planning.plan import load_plan
from accnn.quantization.bfloat16 import to_bfloat16
from accnn.quantization.int8_graph import partition, quantize, random_thresholds
from clockwork import Clockwork
from networks import chain_model, saved
from pictures import items, packed

SCALE = ["--rgb-mean", "127", "--rgb-std", "64"]


@pytest.fixture
def net(tmp_path):
    """Prefix of a network that is worth a plan, alone in a folder."""
    (tmp_path / "model").mkdir()
    return saved(chain_model(widths=(32, 48, 64), side=16), tmp_path / "model" / "net")


@pytest.fixture
def clock(monkeypatch):
    return Clockwork(multiple=4, launch=0.001, rest=0.02, bias=1.0).patched(monkeypatch)


def command(net, tmp_path, *more, ratio="5"):
    return ["-m", net, "--cost", "latency", "--ratio", ratio, "--save-model", str(tmp_path / "new"), "--cache",
            str(tmp_path / "model"), "--precision", "int8", "--no-timing", *more]


def written(tmp_path):
    return sorted(name for name in os.listdir(tmp_path) if name not in ("model", "images.rec", "images.idx"))


def test_without_images_a_plan_is_timed_and_no_int8_written(net, clock, tmp_path, capsys):
    assert accnn.main(command(net, tmp_path, "--random-thresholds", "--json")) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert written(tmp_path) == ["config-rksel-5.0.json", "new-0001.params", "new-symbol.json"]
    assert {layer["precision"] for layer in result["layers"]} == {"int8"} and "new-int8 is not written" in said.err
    assert result["made_by"]["latency"]["measured"]["median"] == pytest.approx(5, rel=0.03)
    assert {row.precision for row in load_plan(str(tmp_path / "config-rksel-5.0.json")).rows} == {"int8"}


def test_with_images_both_are_written_together(net, clock, tmp_path, capsys):
    rec = packed(tmp_path / "images", items(40))
    assert accnn.main(command(net, tmp_path, "--data-calib", rec, "--keep-fp32", "fc*", *SCALE)) == 0
    table = capsys.readouterr().out
    assert "measured with random weights, int8 against fp32; " in table
    assert written(tmp_path) == ["config-rksel-5.0.json", "net-sensitivity.json", "new-0001.params",
                                 "new-int8-0001.params", "new-int8-symbol.json", "new-symbol.json"]
    low, plain = (load_model(str(tmp_path / name)) for name in ("new-int8", "new"))
    assert is_quantized(low.graph) and not is_quantized(plain.graph)
    assert all(text in table for text in (" precision ", " layers in INT8, thresholds from 30 images",
                                          str(tmp_path / "new-int8-symbol.json")))
    again = ["-m", net, "--config", str(tmp_path / "config-rksel-5.0.json"), "--save-model", str(tmp_path / "again"),
             "--data-calib", rec, "--no-timing", "--json", *SCALE]
    assert accnn.main(again) == 0
    kept = {layer["layer"]: layer["precision"] for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert kept["conv2"] == "int8" and kept["fc1"] == "fp32" and (tmp_path / "again-int8-symbol.json").exists()


def test_bfloat16_needs_no_images(net, clock, tmp_path, capsys):
    args = command(net, tmp_path, "--json", ratio="2.5")
    assert accnn.main([*args, "--precision", "bf16"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {layer["precision"] for layer in result["layers"]} == {"bf16"} and result["bf16"]["file_bytes"]["ratio"] > 2
    assert written(tmp_path)[1:] == ["new-0001.params", "new-bf16-0001.params", "new-bf16-symbol.json",
                                     "new-symbol.json"]


def test_ranks_are_selected_in_a_precision_too(net, clock, tmp_path, capsys):
    output = str(tmp_path / "plan.json")
    assert rank_selection.main(["-m", net, "--ratio", "3", "--precision", "int8", "--output", output]) == 0
    assert {row.precision for row in load_plan(output).rows} == {"int8"}


def test_a_plan_in_int8_needs_images_too(net, tmp_path, capsys):
    plan = str(tmp_path / "model" / "plan.json")
    assert rank_selection.main(["-m", net, "--cost", "macs", "--precision", "int8", "--output", plan]) == 0
    assert accnn.main(["-m", net, "--config", plan, "--save-model", str(tmp_path / "new")]) == 2
    assert "--config %s is a plan in INT8, which needs images" % plan in capsys.readouterr().err
    assert accnn.main(["-m", net, "--config", plan, "--save-model", str(tmp_path / "new"), "--precision", "fp32"]) == 2
    assert "is a plan in int8, so --precision fp32 changes nothing" in capsys.readouterr().err
    assert written(tmp_path) == []


def test_a_float32_plan_makes_no_int8_network(net, tmp_path, capsys):
    plan, new = str(tmp_path / "model" / "plan.json"), str(tmp_path / "new")
    assert rank_selection.main(["-m", net, "--cost", "macs", "--output", plan]) == 0
    for words, said in ((["--precision", "int8"], "and call quantize.py with what is written"),
                        (["--random-thresholds"], "but --config %s is a plan in fp32" % plan)):
        assert accnn.main(["-m", net, "--config", plan, "--save-model", new] + words) == 2
        assert said in capsys.readouterr().err and written(tmp_path) == []


@pytest.mark.parametrize("more, said", [
    ([], "--data-calib"), (["--random-thresholds", "--precision", "fp32"], "--precision int8"),
    (["--random-thresholds", "--keep-fp32", "conv9"], "conv9"),
    (["--precision", "fp32", "--keep-fp32", "conv1"], "precision")])
def test_refused_in_one_sentence(net, clock, tmp_path, capsys, more, said):
    assert accnn.main(command(net, tmp_path, *more)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and said in errors[0] and written(tmp_path) == []


def test_too_few_images_are_refused_before_planning(net, clock, tmp_path, capsys):
    rec = packed(tmp_path / "images", items(4))
    assert accnn.main(command(net, tmp_path, "--data-calib", rec, *SCALE)) == 2
    assert "4 images are too few" in capsys.readouterr().err and not clock.asked and written(tmp_path) == []


def test_an_int8_checkpoint_is_not_accelerated_again(net, clock, tmp_path, capsys):
    model = load_model(net)
    ranges = random_thresholds(partition(model))
    prefix = saved(quantize(model, ranges), tmp_path / "model" / "int8")
    assert accnn.main(command(prefix, tmp_path, "--random-thresholds")) == 2
    assert "INT8" in capsys.readouterr().err and written(tmp_path) == []


def test_a_bfloat16_checkpoint_is_neither_accelerated_nor_trained(net, tmp_path, capsys):
    prefix = saved(to_bfloat16(load_model(net)), tmp_path / "model" / "bf16")
    rec = packed(tmp_path / "images", items(16))
    for script, words in ((accnn, ["-m", prefix, "--save-model"]),
                          (fine_tune, ["--pretrained-model", prefix, "--data-train", rec, "--model-prefix"])):
        assert script.main(words + [str(tmp_path / "new")]) == 2
        assert "is a bfloat16 network" in capsys.readouterr().err and written(tmp_path) == []


def test_an_int8_checkpoint_that_is_none_of_ours_is_not_replaced(net, clock, tmp_path, capsys):
    (tmp_path / "new-int8-symbol.json").write_text("mine")
    rec = packed(tmp_path / "images", items(4))
    assert accnn.main(command(net, tmp_path, "--data-calib", rec, *SCALE)) == 2
    assert written(tmp_path) == ["new-int8-symbol.json"]

"""The rank rule profit and lists of methods on the command line."""
import json

import pytest

from accnn import accnn as script
from accnn import rank_selection
from accnn.planning.plan import load_plan
from accnn.planning.planner import Request


def _told(capsys, *arguments):
    assert script.main(list(arguments) + ["--json", "--dry-run"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_profit_starts_at_the_ranks_of_a_config(prefix, tmp_path, capsys):
    config = tmp_path / "initial.json"
    config.write_text('{"conv_params": {"conv1": 3, "conv3": 20}}')
    arguments = ["-m", prefix, "--ratio", "1.8", "--rank-selection", "profit", "--margin", "0.1"]
    told, err = _told(capsys, *arguments, "--initial-ranks", str(config))
    assert told["made_by"]["initial_ranks"] == {"conv1": 3, "conv3": 20} and told["made_by"]["margin"] == 0.1
    assert 1.8 <= told["convolutions"]["ratio"] <= 1.9 and told["made_by"]["remark"] is None
    assert "the rank rule profit" not in err
    assert rank_selection.main(arguments + ["--output", str(tmp_path / "ranks.json")]) == 0
    plan = load_plan(str(tmp_path / "ranks.json"))
    assert 1.8 <= plan.made_by["reached"] <= 1.9 and plan.made_by["initial_ranks"] == {}


def test_a_margin_that_cannot_be_met_is_told(prefix, capsys):
    told, err = _told(capsys, "-m", prefix, "--ratio", "1.83", "--rank-selection", "profit", "--margin", "1e-6")
    sentences = [line for line in err.splitlines() if "profit could not end within 1e-06 of 1.83x" in line]
    assert sentences == [told["made_by"]["remark"]] and told["convolutions"]["ratio"] >= 1.83


def test_what_another_rule_does_not_look_at_is_named(prefix, tmp_path, capsys):
    (tmp_path / "initial.json").write_text('{"conv_params": {"conv1": 3}}')
    _, err = _told(capsys, "-m", prefix, "--initial-ranks", str(tmp_path / "initial.json"))
    assert "the rank rule dp-energy looks at no --initial-ranks: ignoring it" in err
    _, err = _told(capsys, "-m", prefix, "--initial-ranks", "no.json", "--config", str(tmp_path / "initial.json"))
    assert "the ranks come from --config: ignoring --initial-ranks\n" in err


@pytest.mark.parametrize("arguments, sentence", [
    (["--margin", "0"], "--margin 0.0 makes no sense"), (["--margin", "nan"], "--margin nan makes no sense"),
    (["--margin", "much"], "--margin"), (["--initial-ranks", "TMP/none.json"], "none.json cannot be read"),
    (["--initial-ranks", "TMP/unknown.json"], "no layer 'conv7'"),
    (["--initial-ranks", "TMP/large.json"], "K=999 does not fit the layer 'conv2'"),
    (["--initial-ranks", "TMP/other.json"], "say --method 3d"),
])
def test_bad_wishes(prefix, tmp_path, capsys, arguments, sentence):
    for name, section in (("unknown", {"conv7": 3}), ("large", {"conv2": 999}),
                          ("other", {"conv2": {"method": "3d", "rank": [3, 2]}})):
        (tmp_path / (name + ".json")).write_text(json.dumps({"conv_params": section}))
    arguments = [text.replace("TMP", str(tmp_path)) for text in arguments]
    assert script.main(["-m", prefix, "--dry-run", "--rank-selection", "profit"] + arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and sentence in errors[0]


def test_a_method_for_each_operator(prefix, capsys):
    told, _ = _told(capsys, "-m", prefix, "--method", "channel,fc-svd", "--fc", "--ratio", "1.8", "--rank-selection",
                    "uniform")
    assert {layer["method"] for layer in told["layers"] if layer["op"] == "Convolution"} - {None} == {"channel"}
    assert {layer["method"] for layer in told["layers"] if layer["op"] == "FullyConnected"} - {None} == {"fc-svd"}
    assert told["made_by"]["method"] == "channel,fc-svd"


@pytest.mark.parametrize("arguments, sentence", [
    (["--method", "vh,channel"], "--method vh,channel names several methods for Convolution layers, but the rank rule "
                                 "dp-energy does not choose among methods: keep one of them, or say --rank-selection "),
    (["--method", "vh,channel", "--rank-selection", "profit"], "the rank rule profit does not choose among methods"),
    (["--method", "all"], "names several methods"),
    (["--method", "all", "--cost", "params"], "profit does not .*: keep one of them, or say --rank-selection latency "
                                              "or --rank-selection sensitivity .with --data-calib. or --cost latency "),
    (["--method", "all", "--cost", "macs"], "or say --rank-selection latency or "),
    (["--method", "vh,all"], "'all' .choose from"), (["--method", "vh,fc-svd"], "fc-svd splits .* add --fc"),
    (["--method", "vh,"], "choose from"), (["--method", "vh,magic"], "'magic' .choose from .*vh"),
])
def test_lists_of_methods_that_make_no_sense(prefix, capsys, arguments, sentence):
    assert script.main(["-m", prefix, "--dry-run"] + arguments) == 2
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(capsys.readouterr().err)


@pytest.mark.parametrize("cost", ["macs", "params"])
def test_the_remedy_for_lists_of_methods_is_one(prefix, capsys, cost):
    told, _ = _told(capsys, "-m", prefix, "--method", "vh,channel", "--cost", cost, "--rank-selection", "latency")
    assert told["made_by"]["method"] == "vh,channel" and any(layer["method"] for layer in told["layers"])


def test_a_method_that_is_named_twice_is_one(prefix, capsys):
    told, _ = _told(capsys, "-m", prefix, "--method", "channel, channel")
    assert told["made_by"]["method"] == "channel" == Request(2.0, method=["channel", "channel"]).method


@pytest.mark.parametrize("method, rule", [(None, "dp-energy"), ("channel", "dp-energy"), ("cp", "profit"),
                                          ("vh,fc-btd", "profit"), ("fc-svd", "dp-energy")])
def test_the_default_rule_can_weigh_the_methods(method, rule):
    assert Request(2.0, method=method, fc=True).rank_selection == rule

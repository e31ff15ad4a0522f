"""Plans as files and objects: what is written is what is read, and reports follow the plan."""
import json
import os

import numpy as np
import pytest

import accnn
from accnn import accnn as script
from accnn import rank_selection
from accnn.core.errors import AccnnError, TargetError
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row, load_plan
from accnn.report import plan as report
from networks import chain_model


def test_a_written_plan_is_read_as_it_was(tmp_path):
    bench = Accelerator(chain_model())
    plan = bench.select_ranks(2.0, exclude=["conv1"], rank_selection="dp")
    plan.save(str(tmp_path / "plan.json"))
    again = bench.check(load_plan(str(tmp_path / "plan.json")))
    assert again.rows == plan.rows
    assert dict(again.made_by, config=None) == dict(plan.made_by, config=None)
    before, after = report.summary(bench, plan), report.summary(bench, again)
    assert before["layers"] == after["layers"] and before["network"] == after["network"]


def test_a_plan_that_leaves_the_network_as_it_is(prefix, tmp_path, capsys):
    """May be the best there is, and is no mistake of who wrote it; a copy of the checkpoint is made."""
    config, new = str(tmp_path / "ranks.json"), str(tmp_path / "new")
    assert rank_selection.main(["-m", prefix, "--ratio", "1", "--output", config]) == 0
    plan = load_plan(config)
    assert plan.chosen() == [] and plan.made_by["ratio"] == 1 and len(plan.rows) == 5
    assert {row.reason for row in plan.rows} == {"saving elsewhere loses less",
                                                 "fully connected (`fc=True` plans these too)"}  # as Python has it
    capsys.readouterr()
    assert script.main(["-m", prefix, "--config", config, "--save-model", new, "--no-timing", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["network"]["ratio"] == told["parameters"]["ratio"] == 1
    assert {layer["reason"] for layer in told["layers"]} == {"saving elsewhere loses less",
                                                             "fully connected (--fc plans these too)"}
    before, after = accnn.load_model(prefix), accnn.load_model(new)
    assert after.symbol.tojson() == before.symbol.tojson() and set(after.arg_params) == set(before.arg_params)
    assert all((after.weight(name) == before.weight(name)).all() for name in before.arg_params)
    assert script.main(["-m", prefix, "--config", config, "--dry-run"]) == 0
    assert "left alone: saving elsewhere loses less" in capsys.readouterr().out


def test_reasons_are_printed_with_options_also_those_of_an_older_plan(prefix, tmp_path, capsys):
    config, plan = tmp_path / "ranks.json", {"conv_params": {"conv2": 3}, "fc_params": {}, "made_by": {}}
    for reason in "not asked for (`layers`)", "not asked for (--layers)":
        config.write_text(json.dumps(dict(plan, left_alone={"conv1": reason})))
        assert script.main(["-m", prefix, "--config", str(config), "--dry-run"]) == 0
        assert "left alone: not asked for (--layers)\n" in capsys.readouterr().out


@pytest.mark.parametrize("made_by", [None, {"reached": 2.0}])
def test_what_another_run_reached_is_not_told_as_if_it_were_of_this_one(prefix, tmp_path, capsys, made_by):
    config = tmp_path / "ranks.json"
    assert rank_selection.main(["-m", prefix, "--output", str(config)]) == 0
    assert "asked for 2x by dp-energy, reached 2." in capsys.readouterr().out
    document = json.loads(config.read_text())
    config.write_text(json.dumps(dict(document, made_by=made_by or document["made_by"])))
    assert script.main(["-m", prefix, "--config", str(config), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "MACs, all convolutions" in said and ", reached " not in said and "asked for" not in said


def test_a_report_follows_names_and_not_places(tmp_path):
    bench = Accelerator(chain_model())
    told = report.summary(bench, Plan((Row("conv3", "Convolution", "vh", 5), Row("conv2", "Convolution", "vh", 4))))
    ranks = {layer["layer"]: layer["rank"] for layer in told["layers"]}
    assert ranks == {"conv1": None, "conv2": 4, "conv3": 5, "fc1": None, "fc2": None}
    assert all(layer["macs_after"] <= layer["macs_before"] for layer in told["layers"])


def test_numbers_of_numpy_are_numbers(tmp_path):
    bench = Accelerator(chain_model())
    plan = bench.select_ranks(np.float32(1.5), align=np.int64(2), layers="conv3")
    assert [row.layer for row in plan.chosen()] == ["conv3"]
    plan.save(str(tmp_path / "a.json"))
    Plan((Row("conv2", "Convolution", "vh", np.int64(5)),)).save(str(tmp_path / "b.json"))
    assert json.loads((tmp_path / "b.json").read_text())["conv_params"] == {"conv2": 5}


def test_other_methods_and_tuple_ranks_are_written_in_full(tmp_path):
    rows = (Row("conv2", "Convolution", "tucker", (3, 4)), Row("conv1", "Convolution", "vh", 2))
    assert Plan(rows).document()["conv_params"] == {"conv2": {"method": "tucker", "rank": [3, 4]}, "conv1": 2}


def test_a_layer_named_twice():
    with pytest.raises(AccnnError, match="'conv2' twice"):
        Accelerator(chain_model()).check(Plan((Row("conv2", "Convolution", "vh", 2),) * 2))


def test_a_method_for_layers_that_are_not_planned():
    with pytest.raises(AccnnError, match="add `fc=True`"):
        Accelerator(chain_model()).select_ranks(1.5, method="fc-svd")


def _rows(plan):
    return {row.layer: (row.method, row.rank) for row in plan.rows}


@pytest.mark.parametrize("rule, method, rank", [("dp-energy", "vh", 7), ("uniform", "3d", (7, 5)), ("dp", "vh", 7)])
def test_a_pinned_layer_has_its_rank_and_the_others_make_up_for_it(tmp_path, rule, method, rank):
    bench = Accelerator(chain_model())
    plan = bench.select_ranks(1.8, rank_selection=rule, method=method, fixed={"conv2": rank})
    assert _rows(plan)["conv2"] == (method, rank)
    assert report.summary(bench, plan)["convolutions"]["ratio"] >= 1.8
    plan.save(str(tmp_path / "plan.json"))
    again = bench.check(load_plan(str(tmp_path / "plan.json")))
    assert again.rows == plan.rows and dict(again.made_by, config=None) == dict(plan.made_by, config=None)


def test_pins_on_the_command_line(prefix, capsys):
    arguments = ["-m", prefix, "--ratio", "1.6", "--json", "--dry-run", "--rank-selection", "uniform", "--method", "3d"]
    assert script.main(arguments + ["--fixed", "conv2=6,4", "--fixed", "conv3=9,8"]) == 0
    told = {layer["layer"]: layer["rank"] for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert told["conv2"] == [6, 4] and told["conv3"] == [9, 8]
    assert script.main(arguments + ["--fixed", "conv2"]) == 2
    assert "invalid NAME=RANK value: 'conv2'" in capsys.readouterr().err


def test_pins_beat_patterns():
    bench = Accelerator(chain_model())
    for options in ({"exclude": ["conv*2"]}, {"layers": ["conv3"]}):
        assert _rows(bench.select_ranks(1.1, fixed=[("conv2", np.int64(3))], **options))["conv2"] == ("vh", 3)


def test_every_layer_pinned_leaves_nothing_to_choose():
    bench = Accelerator(chain_model())
    pins = {"conv1": 2, "conv2": 4, "conv3": 5}
    plan = bench.select_ranks(1.5, fixed=pins)
    assert {row.layer: row.rank for row in plan.chosen()} == pins
    assert plan.made_by["reached"] == pytest.approx(report.summary(bench, plan)["convolutions"]["ratio"])
    with pytest.raises(TargetError, match="the best is %.1f" % (int(10 * plan.made_by["reached"]) / 10)):
        bench.select_ranks(plan.made_by["reached"] + 0.1, fixed=pins)


def test_pins_that_make_a_ratio_unreachable():
    with pytest.raises(TargetError, match="the best is .* and what `fixed` says") as refused:
        Accelerator(chain_model()).select_ranks(5.0, fixed={"conv3": 20})
    best = float(str(refused.value).split("the best is ")[1].split("x")[0])
    Accelerator(chain_model()).select_ranks(best, fixed={"conv3": 20})


@pytest.mark.parametrize("pins, options, sentence", [
    ({"conv9": 3}, {}, "no layer 'conv9': did you mean"), ({"relu1": 3}, {}, "'relu1' .* is a Activation"),
    ({"conv2": 999}, {}, "'conv2': vh takes 1 to 24"), ({"conv2": (2, 3)}, {}, "'conv2': vh takes 1 to 24"),
    ({"conv2": True}, {}, "'conv2': vh takes 1 to 24"), ({"conv2": 3}, {"method": "3d"}, "3d takes"),
    ({"conv2": 3}, {"exclude": "conv2"}, "'conv2' is named in `fixed` and in `exclude`"),
    ([("conv2", 3), ("conv2", 4)], {}, "'conv2' twice"), ({"fc1": 3}, {}, "fc1`: .* add `fc=True`"),
])
def test_pins_that_make_no_sense(pins, options, sentence):
    with pytest.raises(AccnnError, match=sentence):
        Accelerator(chain_model()).select_ranks(1.5, fixed=pins, **options)


def test_a_pinned_layer_that_cannot_be_split():
    """Nothing to reduce in a convolution with one filter."""
    with pytest.raises(AccnnError, match="'conv2' cannot be split: channel has nothing to reduce"):
        Accelerator(chain_model(widths=(8, 1, 8))).select_ranks(1.0, method="channel", fixed={"conv2": 1})


def test_options_that_a_config_overrides_are_named(prefix, tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"conv_params": {"conv2": 3}}')
    arguments = ["-m", prefix, "--config", str(tmp_path / "c.json"), "--dry-run"]
    assert script.main(arguments + ["--ratio", "7", "--fc"]) == 0
    assert "the ranks come from --config: ignoring --ratio, --fc" in capsys.readouterr().err


def test_ranks_are_never_written_over_the_model(prefix, tmp_path, capsys):
    for end in ("-symbol.json", "-0001.params"):
        with open(prefix + end, "rb") as handle:
            before = handle.read()
        assert rank_selection.main(["-m", prefix, "--output", os.path.relpath(prefix) + end]) == 2
        with open(prefix + end, "rb") as handle:
            assert handle.read() == before
    assert rank_selection.main(["-m", prefix, "--output", str(tmp_path / "no" / "r.json")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_a_ratio_counted_by_the_original_formula_is_told_in_both(prefix, capsys):
    assert script.main(["-m", prefix, "--rank-selection", "dp", "--dry-run"]) == 0
    assert "asked for 2x by dp, reached 2.0" in capsys.readouterr().out


def test_the_package_by_its_short_names(prefix, tmp_path):
    model = accnn.load_model(prefix)
    plan = accnn.select_ranks(model, 2.0, exclude=["conv1"])
    accnn.save_model(accnn.accelerate(model, plan), str(tmp_path / "new"))
    assert (tmp_path / "new-0001.params").exists()
    assert set(accnn.__all__) <= set(dir(accnn)) and accnn.Request(2.0).cost == "macs"

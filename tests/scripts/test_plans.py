"""Plans as files and objects: what is written is what is read, and reports follow the plan."""
import json
import os

import numpy as np
import pytest

import accnn
from accnn import accnn as script
from accnn import rank_selection, report
from accnn.errors import AccnnError
from accnn.plan import Plan, Row, load_plan
from accnn.workbench import Workbench
from networks import chain_model


def test_a_written_plan_is_read_as_it_was(tmp_path):
    bench = Workbench(chain_model())
    plan = bench.select_ranks(2.0, exclude=["conv1"], rank_selection="dp")
    plan.save(str(tmp_path / "plan.json"))
    again = bench.check(load_plan(str(tmp_path / "plan.json")))
    assert again.rows == plan.rows
    assert dict(again.made_by, config=None) == dict(plan.made_by, config=None)
    before, after = report.summary(bench, plan), report.summary(bench, again)
    assert before["layers"] == after["layers"] and before["network"] == after["network"]


def test_a_report_follows_names_and_not_places(tmp_path):
    bench = Workbench(chain_model())
    told = report.summary(bench, Plan((Row("conv3", "Convolution", "vh", 5), Row("conv2", "Convolution", "vh", 4))))
    ranks = {layer["layer"]: layer["rank"] for layer in told["layers"]}
    assert ranks == {"conv1": None, "conv2": 4, "conv3": 5, "fc1": None, "fc2": None}
    assert all(layer["macs_after"] <= layer["macs_before"] for layer in told["layers"])


def test_numbers_of_numpy_are_numbers(tmp_path):
    bench = Workbench(chain_model())
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
        Workbench(chain_model()).check(Plan((Row("conv2", "Convolution", "vh", 2),) * 2))


def test_a_method_for_layers_that_are_not_planned():
    with pytest.raises(AccnnError, match="add --fc"):
        Workbench(chain_model()).select_ranks(1.5, method="fc-svd")


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

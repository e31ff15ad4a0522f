"""The scripts as people run them: from any folder, by file name, with -m, and imported as the original's were."""
import gc
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from accnn import Accelerator, acc_conv, acc_fc, accnn, rank_selection, utils
from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from networks import chain_model, outputs, random_input, saved
from reference import relative_error

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(ROOT, "tools")
SCRIPTS = os.path.join(TOOLS, "accnn")


def test_the_whole_network(prefix, tmp_path, capsys):
    assert accnn.main(["-m", prefix, "--ratio", "2", "--save-model", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "conv2" in printed and "MACs, all convolutions" in printed and "seconds" in printed
    config = json.loads((tmp_path / "config-rksel-2.0.json").read_text())
    symbol, args, _ = mx.model.load_checkpoint(str(tmp_path / "new"), 1)
    for layer, rank in config["conv_params"].items():
        assert args[layer + "_v_weight"].shape[0] == rank
    assert {"fc1", "fc2"} <= set(config["left_alone"])
    assert outputs(load_model(str(tmp_path / "new")), data=random_input(2, 3, 12, 12))[0].shape == (2, 5)


def test_scripts_of_others_in_the_folder_find_what_the_original_had(prefix, bare_environment):
    code = ("import collections, json\nimport utils, acc_conv, acc_fc, rank_selection\n"
            "Args = collections.namedtuple('ConvArgs', 'layer K')\nModel = collections.namedtuple('Model', "
            "'model load_epoch gpus')\nmodel = utils.load_model(Model(%r, 1, None))\n"
            "ranks = rank_selection.get_ranksel(model, 2)\n"
            "for layer, K in ranks.items():\n    model = acc_conv.conv_vh_decomposition(model, Args(layer, K))\n"
            "model = acc_fc.fc_decomposition(model, Args('fc1', 6))\nmodel.save(%r, 1)\n" % (prefix, prefix + "-new"))
    done = subprocess.run([sys.executable, "-"], input=code, cwd=SCRIPTS, env=bare_environment, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "fc1_red_weight" in load_model(prefix + "-new").arg_params


def test_json_is_the_table(prefix, tmp_path, capsys):
    assert accnn.main(["-m", prefix, "--ratio", "2", "--save-model", str(tmp_path / "new"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["convolutions"]["ratio"] >= 2
    assert [layer["layer"] for layer in told["layers"]] == ["conv1", "conv2", "conv3", "fc1", "fc2"]
    assert told["file_bytes"]["after"] == os.path.getsize(told["written"]["params"])
    assert sum(layer["macs_after"] for layer in told["layers"]) == told["network"]["after"]


def test_same_seed_same_bytes(prefix, tmp_path):
    for name in ("a", "b"):
        assert accnn.main(["-m", prefix, "--save-model", str(tmp_path / name), "--seed", "3"]) == 0
    for end in ("-symbol.json", "-0001.params"):
        assert (tmp_path / ("a" + end)).read_bytes() == (tmp_path / ("b" + end)).read_bytes()


def test_the_written_config_gives_the_same_network_again(prefix, tmp_path):
    assert accnn.main(["-m", prefix, "--fc", "--save-model", str(tmp_path / "a")]) == 0
    config = str(tmp_path / "config-rksel-2.0.json")
    assert accnn.main(["-m", prefix, "--config", config, "--save-model", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a-0001.params").read_bytes() == (tmp_path / "b-0001.params").read_bytes()


def test_a_config_of_the_original(prefix, tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"conv_params": {"conv2": 7, "conv3": 9}, "fc_params": {"fc1": 6}}')
    assert accnn.main(["-m", prefix, "--config", str(config), "--save-model", str(tmp_path / "new")]) == 0
    new = load_model(str(tmp_path / "new"))
    assert new.arg_params["conv2_v_weight"].shape == (7, 8, 3, 1)
    assert new.arg_params["conv3_h_weight"].shape == (16, 9, 1, 3)
    assert new.arg_params["fc1_red_weight"].shape[0] == 6 and "fc1_red_bias" not in new.arg_params
    assert new.arg_params["fc1_rec_weight"].shape == (16, 6) and "conv1_weight" in new.arg_params
    assert not os.path.exists(str(tmp_path / "config-rksel-2.0.json"))


def test_dry_run_writes_nothing(prefix, tmp_path, capsys):
    before = sorted(os.listdir(tmp_path)), sorted(os.listdir(os.path.dirname(prefix)))
    assert accnn.main(["-m", prefix, "--save-model", str(tmp_path / "new"), "--dry-run"]) == 0
    assert "MACs, whole network" in capsys.readouterr().out
    assert before == (sorted(os.listdir(tmp_path)), sorted(os.listdir(os.path.dirname(prefix))))


def test_aligned_ranks(prefix, tmp_path):
    assert accnn.main(["-m", prefix, "--align", "4", "--save-model", str(tmp_path / "new")]) == 0
    config = json.loads((tmp_path / "config-rksel-2.0.json").read_text())
    assert config["conv_params"] and all(rank % 4 == 0 for rank in config["conv_params"].values())


def test_the_newest_epoch_when_there_is_no_first_one(tmp_path, capsys):
    prefix = saved(chain_model(seed=1), tmp_path / "net", 4)
    saved(chain_model(seed=2), prefix, 9)
    assert accnn.main(["-m", prefix, "--dry-run"]) == 0
    assert "no epoch 1: took epoch 9" in capsys.readouterr().err


def test_one_layer_at_full_rank(prefix, tmp_path):
    wanted = outputs(load_model(prefix), data=random_input(2, 3, 12, 12))[0]
    assert acc_conv.main(["-m", prefix, "--layer", "conv2", "--K", "24", "--save-model", str(tmp_path / "c")]) == 0
    assert acc_fc.main(["-m", str(tmp_path / "c"), "--layer", "fc1", "--K", "16",
                        "--save-model", str(tmp_path / "f")]) == 0
    new = load_model(str(tmp_path / "f"))
    assert {"conv2_h_weight", "fc1_rec_weight"} <= set(new.arg_params)
    assert relative_error(outputs(new, data=random_input(2, 3, 12, 12))[0], wanted) <= 1e-5


def test_one_layer_by_a_method_with_two_ranks(prefix, tmp_path, capsys):
    command = ["-m", prefix, "--layer", "conv2", "--method", "3d", "--save-model", str(tmp_path / "c")]
    assert acc_conv.main(command + ["--K", "16,9"]) == 0
    assert "3d      16,9" in capsys.readouterr().out
    shapes = {name: array.shape[:2] for name, array in load_model(str(tmp_path / "c")).arg_params.items()}
    assert [shapes["conv2_%s_weight" % end] for end in "vhp"] == [(16, 8), (9, 16), (12, 9)]
    assert acc_conv.main(command + ["--K", "24,12"]) == 0
    wanted, found = (outputs(load_model(path), data=random_input(2, 3, 12, 12))[0]
                     for path in (prefix, str(tmp_path / "c")))
    assert relative_error(found, wanted) <= 1e-5


def test_ranks_only(prefix, tmp_path):
    output = str(tmp_path / "ranks.json")
    assert rank_selection.main(["-m", prefix, "--ratio", "2", "--output", output]) == 0
    assert sorted(os.listdir(tmp_path)) == ["model", "ranks.json"]
    assert accnn.main(["-m", prefix, "--config", output, "--save-model", str(tmp_path / "new")]) == 0


def test_force_is_needed_to_overwrite_the_input(prefix):
    with open(prefix + "-0001.params", "rb") as handle:
        before = handle.read()
    assert accnn.main(["-m", prefix, "--save-model", os.path.relpath(prefix)]) == 2
    with open(prefix + "-0001.params", "rb") as handle:
        assert handle.read() == before
    assert accnn.main(["-m", prefix, "--save-model", prefix, "--force"]) == 0
    assert "conv2_v_weight" in load_model(prefix).arg_params


@pytest.mark.parametrize("folder, command, timed", [
    (ROOT, [os.path.join("tools", "accnn", "accnn.py")], False),
    (SCRIPTS, ["accnn.py"], False),
    (os.sep, [os.path.join(SCRIPTS, "accnn.py")], True),
    (TOOLS, ["-m", "accnn"], True),
    (TOOLS, ["-m", "accnn.accnn"], False),
])
def test_from_any_folder(prefix, tmp_path, bare_environment, folder, command, timed):
    command = command + ["-m", prefix, "--save-model", str(tmp_path / "new"), "--repeats", "2"]
    done = subprocess.run([sys.executable] + command + ([] if timed else ["--no-timing"]), cwd=folder,
                          env=bare_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MACs, all convolutions" in done.stdout and os.path.exists(str(tmp_path / "new-0001.params"))
    assert ("ms, whole network" in done.stdout) == timed


def test_the_model_is_gone_from_memory_when_the_clock_begins(prefix, tmp_path, monkeypatch):
    def timed(_, source, *rest, **how):
        assert source.prefix == prefix and source.epoch == 1 and not source.arg_params
        held.extend(one for one in gc.get_objects() if isinstance(one, Accelerator))

    held = []
    gc.collect()
    others = [one for one in gc.get_objects() if isinstance(one, Accelerator)]
    monkeypatch.setattr("accnn.cli.verify.timed", timed)
    assert accnn.main(["-m", prefix, "--ratio", "2", "--save-model", str(tmp_path / "new")]) == 0
    assert len(held) == len(others)


@pytest.mark.parametrize("script", ["accnn.py", "acc_conv.py", "acc_fc.py", "rank_selection.py"])
def test_help_of_every_script_comes_without_mxnet(bare_environment, tmp_path, script):
    (tmp_path / "mxnet.py").write_text("raise SystemExit('mxnet was imported')")
    done = subprocess.run([sys.executable, os.path.join(SCRIPTS, script), "--help"], capture_output=True, text=True,
                          env=dict(bare_environment, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0 and "python " + script in done.stdout


OLD_CODE = """
import sys
sys.path.append(sys.argv[1])
import acc_conv, acc_fc, collections, rank_selection, utils
Load = collections.namedtuple("Load", "model load_epoch gpus")
Layer = collections.namedtuple("ConvArgs", "layer K")
model = utils.load_model(Load(sys.argv[2], 1, None))
for layer, K in rank_selection.get_ranksel(model, 2).items():
    model = acc_conv.conv_vh_decomposition(model, Layer(layer, K))
model = acc_fc.fc_decomposition(model, Layer("fc1", 5))
model.save(sys.argv[3], 1)
"""


def test_code_written_for_the_original_runs(prefix, tmp_path, bare_environment):
    done = subprocess.run([sys.executable, "-c", OLD_CODE, SCRIPTS, prefix, str(tmp_path / "new")],
                          capture_output=True, text=True, env=bare_environment, cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    new = load_model(str(tmp_path / "new"))
    assert {"conv1_v_weight", "conv2_h_bias", "fc1_red_weight"} <= set(new.arg_params)


def test_replace_conv_layer_with_handles_of_ones_own(prefix):
    model = utils.load_model(SimpleNamespace(model=prefix, load_epoch=1, gpus=None))
    seen = {}

    def sym_handle(data, node):
        seen.update(node["param"])
        return mx.sym.Convolution(data, kernel=(1, 1), num_filter=12, name="tiny")

    def arg_handle(shapes, arg_params):
        for name in ("tiny_weight", "tiny_bias"):
            arg_params[name] = mx.nd.ones(shapes[name])

    new = utils.replace_conv_layer("conv2", model, sym_handle, arg_handle)
    assert seen["num_filter"] == "12" and "conv2_weight" not in new.arg_params
    x = random_input(1, 3, 12, 12)
    first = np.maximum(outputs_of(model, "conv1_output", x), 0)
    assert relative_error(outputs_of(new, "conv2_output", x), np.repeat(first.sum(1, keepdims=True) + 1, 12, 1)) < 1e-5


def outputs_of(model, tap, x):
    """The response at an internal output."""
    from accnn.graph.checkpoint import Model
    from accnn.graph.ir import Graph

    part = Graph.from_symbol(model.symbol.get_internals()[tap])
    return outputs(Model(part, model.arg_params, model.aux_params), data=x)[0]


def test_topsort_and_is_input():
    nodes = json.loads(chain_model().symbol.tojson())["nodes"]
    shuffled = [dict(node, inputs=[[len(nodes) - 1 - e[0]] + e[1:] for e in node["inputs"]]) for node in nodes[::-1]]
    ordered = utils.topsort(shuffled)
    assert sorted(node["name"] for node in ordered) == sorted(node["name"] for node in nodes)
    for position, node in enumerate(ordered):
        assert all(entry[0] < position for entry in node["inputs"])
        original = next(n for n in nodes if n["name"] == node["name"])
        assert [ordered[e[0]]["name"] for e in node["inputs"]] == [nodes[e[0]]["name"] for e in original["inputs"]]
    assert [node["name"] for node in nodes if utils.is_input(node)] == ["data"]

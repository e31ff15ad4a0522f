"""benchmark.py: what it prints, what it refuses, and how it ends. Nothing here asserts how long anything takes."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from accnn import Accelerator, benchmark, engines, methods
from accnn.core import amx
from accnn.core.compat import mx
from accnn.planning.plan import Plan, Row
from accnn.timing import client, networks
from networks import chain_model, random_model, residual_net, saved
from pictures import packed
from processes import interruptible, stop

SCRIPT = os.path.abspath(benchmark.__file__)
QUICK = ["--repeats", "2", "--warm-up", "1"]


@pytest.fixture
def pair(tmp_path):
    """Prefixes of a network made from another, and that other, in turn."""
    bench = Accelerator(chain_model())
    rows = (Row(spec.name, spec.op, methods.DEFAULT[spec.op], 3) for spec in bench.layers[1:])
    new = bench.accelerate(Plan(tuple(rows)))
    return saved(new, tmp_path / "new"), saved(bench.model, tmp_path / "old")


@pytest.fixture
def here(monkeypatch):
    """Measure in this process: saves the second and a half that MXNet takes to be imported, each time."""
    monkeypatch.setattr(client, "_ask", lambda job, _=None: networks.measure(job))


def counted(model, side):
    """Multiply-adds of one picture, from MXNet's inferred shapes alone."""
    internals = model.symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=(1, 3, side, side))
    shape = dict(zip(internals.list_outputs(), shapes))
    total = 0
    for node in model.graph.nodes:
        if node.op in ("Convolution", "FullyConnected"):
            weights = model.arg_params[node.name + "_weight"].size
            out = shape[node.name + "_output"]
            total += weights * (out[2] * out[3] if len(out) == 4 else 1)
    return total


def test_json_in_place_from_any_folder(pair, tmp_path, bare_environment):
    new, old = (os.path.relpath(prefix, str(tmp_path)) for prefix in pair)
    command = [sys.executable, SCRIPT, "-m", new, "--baseline", old, "--threads", "1,2", "--batch-size", "1,3",
               "--layers", "--json"] + QUICK
    done = subprocess.run(command, cwd=str(tmp_path), env=bare_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(run["threads"], run["batch_size"]) for run in result["runs"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert result["input_shapes"] == {"data": [3, 12, 12]} and result["repeats"] == 2
    assert result["environment"]["mxnet"] == "1.9.1" and "MXNET_SUBGRAPH_BACKEND" in result["environment"]
    for run in result["runs"]:
        for side in ("model", "baseline"):
            timing = run[side]
            assert len(timing["ms"]) == timing["rounds"] >= 2 and min(timing["ms"]) > 0
            assert timing["quartiles_ms"][0] <= timing["median_ms"] <= timing["quartiles_ms"][1]
            assert timing["images_per_second"] == pytest.approx(run["batch_size"] * 1000 / timing["median_ms"])
        assert run["measured"]["quartiles"][0] <= run["measured"]["median"] <= run["measured"]["quartiles"][1]
        check_layers(run)


def check_layers(run):
    rows = {row["layer"]: row for row in run["layers"]["rows"]}
    assert list(rows) == ["conv1", "conv2", "conv3", "fc1", "fc2"]
    assert rows["conv1"]["status"] == "unchanged" and rows["conv1"]["measured"] is None
    replaced = [row for row in rows.values() if row["status"] == "replaced"]
    assert {row["op"] for row in replaced} == {"Convolution", "FullyConnected"}
    for row in replaced:
        assert row["theoretical"] == row["macs_before"] / row["macs_after"]
        assert row["chain"] == [row["layer"] + end for end in (
            ("_v", "_h") if row["op"] == "Convolution" else ("_red", "_rec"))]
        assert row["input_shape"][0] == run["batch_size"]
        for side in ("before", "after"):
            done = 2 * run["batch_size"] * row["macs_" + side]
            assert row["gflops_" + side] == pytest.approx(done / row[side]["median_ms"] / 1e6)
    for side in ("before", "after"):
        assert run["layers"]["sum"][side + "_ms"] == pytest.approx(sum(row[side]["median_ms"] for row in rows.values()))


def test_the_theoretical_ratio_is_that_of_the_whole_network(here, pair, capfd):
    from accnn.graph.checkpoint import load_model

    new, old = pair
    assert benchmark.main(["-m", new, "--baseline", old, "--threads", "1", "--json"] + QUICK) == 0
    told = json.loads(capfd.readouterr().out)["theoretical"]
    before, after = counted(load_model(old), 12), counted(load_model(new), 12)
    assert (told["macs_before"], told["macs_after"]) == (before, after) and told["ratio"] == before / after


def test_the_table(here, pair, capfd):
    new, old = pair
    assert benchmark.main(["-m", new, "--baseline", old, "--threads", "1", "--layers"] + QUICK) == 0
    out = capfd.readouterr().out
    for words in ("theoretical", "measured", "[quartiles]", "known to", "images/s", "GFLOP/s", "conv2_v, conv2_h",
                  "fc1_red, fc1_rec", "unchanged", "sum of the layers", "outside the layers", "whole network"):
        assert words in out, words


def test_precisions_in_one_table(pair, capfd):
    new, old = pair
    command = ["-m", new, "--baseline", old, "--threads", "1", "--precision", "fp32,int8",
               "--random-thresholds"] + QUICK
    assert benchmark.main(command + ["--json", "--no-amx"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["environment"]["amx"] is False and result["environment"]["isa"] == amx.isa(False)
    rows = result["runs"][0]["rows"]
    assert [(row["network"], row["precision"]) for row in rows] == [
        ("baseline", "fp32"), ("baseline", "int8"), ("model", "fp32"), ("model", "int8")]
    assert [row["ran"] for row in rows] == ["fp32", "int8 in 5 of 5 layers", "fp32", "int8 in 9 of 9 layers"]
    assert [row["measured"] is None for row in rows] == [True, False, False, False]
    assert [row["difference"] is None for row in rows] == [True, False, True, False]
    assert all(0 < row["difference"] < 0.3 for row in rows[1::2])


def test_images_tell_the_ranges_of_int8(here, pair, capfd, tmp_path):
    """Random inputs are normal numbers: ranges of pixels are too wide for them, and the outputs show it."""
    command = ["-m", pair[0], "--threads", "1", "--precision", "int8", "--json", "--no-amx"] + QUICK
    images = ["--data-calib", packed(tmp_path / "images")]
    found = {}
    for name, words in (("random", ["--random-thresholds"]), ("fitting", images + ["--rgb-mean", "128", "--rgb-std",
                        "70"]), ("wide", images)):
        assert benchmark.main(command + words) == 0
        row, = json.loads(capfd.readouterr().out)["runs"][0]["rows"]
        found[name] = row["difference"]
    assert 4 * found["fitting"] < found["wide"] and max(found["fitting"], found["random"]) < 0.1, found


def test_engines_in_one_table(here, pair, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = ["-m", pair[0], "--baseline", pair[1], "--threads", "1", "--engine", "mxnet,onnxruntime,openvino",
               "--precision", "fp32,bf16"] + QUICK
    assert benchmark.main(command + ["--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["runs"][0]["rows"]
    assert [(row["network"], row["engine"], row["precision"]) for row in rows] == [
        (side, engine, precision) for side in ("baseline", "model") for engine in ("mxnet", "onnxruntime", "openvino")
        for precision in ("fp32", "bf16")]
    for row in rows:
        why = engines.get(row["engine"]).refuse(row["precision"])
        assert row.get("refused") == why
        assert why or row["ran"].startswith(row["precision"]) and row["median_ms"] > 0
        if why is None and row["engine"] != "mxnet":
            assert row["difference"] < (1e-5 if row["precision"] == "fp32" else 0.03)
    assert benchmark.main(command) == 0
    out = capfd.readouterr().out
    assert "mxnet 1.9.1" in out and "difference" in out
    assert re.search("did not run: .*baseline onnxruntime bf16", out)  # without onnx nothing of onnxruntime runs


@pytest.mark.skipif(amx.unusable() is not None, reason="needs AMX: %s" % amx.unusable())
def test_amx_runs_for_low_precision_and_the_table_says_so(pair, capfd):
    assert benchmark.main(["-m", pair[1], "--threads", "1", "--precision", "fp32,bf16"] + QUICK) == 0
    out = capfd.readouterr().out
    assert "AVX512_CORE_AMX, AMX on" in out and "bf16 in 5 of 5 layers" in out and "difference" in out


@pytest.mark.parametrize("options, sentence", [
    (["--engine", "mxnet,tvm"], "choose from mxnet, onnxruntime, openvino"),
    (["--engine", "onnxruntime", "--precision", "bf16"], "onnx"), (["--engine", "mxnet", "--layers"], "layers"),
    (["--precision", "fp32,int4"], "int4"), (["--precision", "int8", "--layers"], "layers"),
    (["--precision", "int8"], "random"), (["--precision", "fp32", "--gpus", "0"], "gpus")])
def test_precisions_that_cannot_be_compared(here, pair, capfd, monkeypatch, options, sentence):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert benchmark.main(["-m", pair[0], "--baseline", pair[1], "--threads", "1"] + options + QUICK) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and sentence in captured.err.splitlines()[-1]


def test_one_network_alone(here, pair, capfd):
    assert benchmark.main(["-m", pair[0], "--threads", "1", "--batch-size", "2"] + QUICK) == 0
    out = capfd.readouterr().out
    assert "images/s" in out and "measured" not in out and "MACs" in out


def test_several_inputs_and_outputs_and_an_assumed_size(here, tmp_path, capfd):
    x = residual_net(blocks=1)
    net = mx.sym.Group([x, mx.sym.FullyConnected(mx.sym.Concat(x, mx.sym.Variable("extra")), num_hidden=3, name="two")])
    prefix = saved(random_model(net, data=(3, 8, 8), extra=(2,)), tmp_path / "m")
    assert benchmark.main(["-m", prefix, "--threads", "1", "--image-shape", "data:3,8,8", "--input-shape", "extra:2",
                           "--json"] + QUICK) == 0
    assert json.loads(capfd.readouterr().out)["input_shapes"] == {"data": [3, 8, 8], "extra": [2]}
    prefix = saved(random_model(residual_net(blocks=1), data=(3, 8, 8)), tmp_path / "n")
    assert benchmark.main(["-m", prefix, "--threads", "1,1", "--repeats", "1"]) == 0
    err = capfd.readouterr().err
    assert err.count("3,224,224 is assumed") == 1 and "give --input-shape\n" in err and "`" not in err


def test_layers_of_another_architecture_are_rows_with_a_reason(here, pair, tmp_path, capfd):
    other = saved(random_model(residual_net(), data=(3, 12, 12)), tmp_path / "other")
    assert benchmark.main(["-m", other, "--baseline", pair[1], "--threads", "1", "--layers"] + QUICK) == 0
    assert "not compared: conv2: %s has no layer called 'conv2'" % other in capfd.readouterr().out


def test_a_network_with_fewer_filters(here, pair, tmp_path, capfd):
    """Its layers read what the baseline's do not give: a reason, not a crash; other filters alone are compared."""
    fewer = saved(chain_model(widths=(8, 10, 16)), tmp_path / "fewer")
    assert benchmark.main(["-m", fewer, "--baseline", pair[1], "--threads", "1", "--layers", "--json"] + QUICK) == 0
    rows = {row["layer"]: row for row in json.loads(capfd.readouterr().out)["runs"][0]["layers"]["rows"]}
    assert rows["conv2"]["theoretical"] == pytest.approx(1.2) and rows["conv2"]["status"] == "replaced"
    assert "does not take the baseline's input" in rows["conv3"]["reason"] and rows["conv3"]["status"] == "not compared"


def test_double_precision(here, tmp_path, capfd):
    net = chain_model().symbol.get_internals()["fc2_output"]
    bench = Accelerator(random_model(net, dtype="float64", data=(3, 12, 12)))
    new = saved(bench.accelerate(bench.select_ranks(1.5)), tmp_path / "new")
    old = saved(bench.model, tmp_path / "old")
    assert benchmark.main(["-m", new, "--baseline", old, "--threads", "1", "--layers"] + QUICK) == 0


def test_half_precision_is_what_the_cpu_cannot_do(here, tmp_path, capfd):
    net = chain_model().symbol.get_internals()["fc2_output"]
    prefix = saved(random_model(net, dtype="float16", data=(3, 12, 12)), tmp_path / "m")
    assert benchmark.main(["-m", prefix, "--threads", "1"] + QUICK) == 2
    assert "error: MXNet cannot run the network at --batch-size 1: " in capfd.readouterr().err


def test_more_threads_than_cores_are_told(here, pair, capfd):
    from accnn.timing.machine import cores

    assert benchmark.main(["-m", pair[0], "--threads", str(cores() + 1)] + QUICK) == 0
    assert "this machine has %d cores" % cores() in capfd.readouterr().err


MISTAKES = [
    (["-m", "TMP/nothing"], "nothing-symbol.json does not exist"),
    (["-m", "NEW", "--baseline", "TMP/nothing"], "give --baseline the path"),
    (["-m", "NEW", "--load-epoch", "4"], "saved are the epochs 1: choose one with --load-epoch"),
    (["-m", "NEW", "--baseline", "OLD", "--baseline-epoch", "4"], "choose one with --baseline-epoch"),
    (["-m", "NEW", "--batch-size", "0"], "--batch-size 0"),
    (["-m", "NEW", "--batch-size", "two"], "--batch-size"),
    (["-m", "NEW", "--batch-size", "2000000000"], "--batch-size 2000000000"),
    (["-m", "NEW", "--threads", "1,0"], "--threads 1,0"),
    (["-m", "NEW", "--repeats", "0"], "--repeats 0"),
    (["-m", "NEW", "--gpus", "77"], "--gpus 77"),
    (["-m", "NEW", "--layers"], "give --baseline"),
    (["-m", "NEW", "--image-shape", "3,x"], "--image-shape"),
    (["-m", "NEW", "--image-shape", "3,40,40"], "has the shape .* give the right --input-shape"),
    (["-m", "NEW", "--image-shape", "3,2,2", "--input-shape", "3,2,2"], "twice"),
    (["-m", "NEW", "--image-shape", "picture:3,12,12"], "no input 'picture'"),
    (["-m", "NEW", "--baseline", "LARGE"], "does not take the input of the baseline"),
    (["-m", "NEW", "--baseline", "TWO", "--image-shape", "data:3,12,12", "--image-shape", "more:1"],
     "inputs data, more, but .*new has data"),
    (["-m", "CUT"], "params"),
]


@pytest.mark.parametrize("arguments, sentence", MISTAKES, ids=lambda value: " ".join(value) if isinstance(
    value, list) else "")
def test_a_mistake_is_one_sentence(here, pair, tmp_path, capfd, arguments, sentence):
    import re

    made = {"NEW": pair[0], "OLD": pair[1], "TMP/nothing": str(tmp_path / "nothing")}
    if "LARGE" in arguments:
        made["LARGE"] = saved(chain_model(side=20), tmp_path / "large")
    if "TWO" in arguments:
        net = mx.sym.FullyConnected(mx.sym.Concat(mx.sym.Flatten(mx.sym.Variable("data")), mx.sym.Variable("more")),
                                    num_hidden=2, name="fc")
        made["TWO"] = saved(random_model(net, data=(3, 12, 12), more=(1,)), tmp_path / "two")
    if "CUT" in arguments:
        made["CUT"] = saved(chain_model(), tmp_path / "cut")
        with open(made["CUT"] + "-0001.params", "r+b") as handle:
            handle.truncate(100)
    assert benchmark.main([made.get(text, text) for text in arguments]) == 2
    told = capfd.readouterr()
    assert re.search("error: .*" + sentence, told.err) and "Traceback" not in told.err and not told.out


@pytest.mark.parametrize("arguments", [["-m", "nothing"], ["-m", "NEW", "--image-shape", "3,40,40"]])
def test_a_mistake_that_the_other_process_finds(pair, tmp_path, arguments):
    command = [sys.executable, SCRIPT, "--threads", "1"] + [text.replace("NEW", pair[0]) for text in arguments]
    done = subprocess.run(command, cwd=str(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout and "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "error: " in line]) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(pair, closed):
    command = "%s %s -m %s --threads 1 --repeats 1 %s" % (sys.executable, SCRIPT, pair[0], closed)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert ("images/s" in done.stdout) == (closed == "2>&-")


def test_a_batch_that_the_network_does_not_take(here, tmp_path, capfd):
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=2, name="c")
    net = mx.sym.FullyConnected(mx.sym.Reshape(net, shape=(1, -1)), num_hidden=2, name="fc")
    prefix = saved(random_model(net, data=(3, 4, 4)), tmp_path / "m")
    assert benchmark.main(["-m", prefix, "--threads", "1", "--batch-size", "1,2"] + QUICK) == 2
    err = capfd.readouterr().err
    assert "error: " in err and "batches of 2" in err and "--batch-size" in err and "Traceback" not in err


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as handle:
        return [int(word) for word in handle.read().split()]


@pytest.fixture
def endless(pair):
    """A run that does not end by itself, and the process that measures for it."""
    command = [sys.executable, SCRIPT, "-m", pair[0], "--threads", "1", "--repeats", "100000000"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=interruptible)
    deadline = time.monotonic() + 60
    while not (parent.poll() is not None or children(parent.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child, = children(parent.pid)
    while b"timing" not in open("/proc/%d/cmdline" % child, "rb").read():  # before, it is a copy of its parent
        time.sleep(0.01)
    yield parent, child
    parent.kill()
    parent.communicate()


def gone(pid, patience=60):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            with open("/proc/%d/stat" % pid) as handle:
                if handle.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


linux = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks into /proc")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both(endless, number):
    parent, child = endless
    assert stop(parent, number) == 130
    assert gone(child) and "interrupted" in parent.stderr.read()


@linux
def test_a_parent_that_is_killed_leaves_nothing_behind(endless):
    parent, child = endless
    time.sleep(1)
    parent.kill()
    assert gone(child)


@linux
def test_a_child_that_is_killed_is_told(endless):
    parent, child = endless
    os.kill(child, signal.SIGKILL)
    _, err = parent.communicate(timeout=120)
    assert parent.returncode == 2 and "was killed" in err and "--batch-size" in err and "Traceback" not in err


@pytest.mark.parametrize("name, shape, epoch", [
    ("vgg16_cifar10", None, "0"), ("squeezenet_v1.0", "3,96,96", "0"), ("mtcnn_det2", None, "1"),
    ("retinaface_mnet_16", "data:3,96,128", "0")])
def test_real_networks(here, shared, tmp_path, capfd, name, shape, epoch):
    from accnn import load_model
    from accnn.cli.options import _input_shape

    old = os.path.join(shared, "models", name)
    bench = Accelerator(load_model(old), dict([_input_shape(shape)]) if shape else None)
    plan = bench.select_ranks(1.3)
    new = saved(bench.accelerate(plan), tmp_path / "new")
    assert benchmark.main(["-m", new, "--baseline", old, "--baseline-epoch", epoch, "--threads", "1", "--layers",
                           "--json", "--repeats", "1"] + (["--image-shape", shape] if shape else [])) == 0
    result = json.loads(capfd.readouterr().out)
    rows = result["runs"][0]["layers"]["rows"]
    assert {row["layer"] for row in rows if row["status"] == "replaced"} == {row.layer for row in plan.chosen()}
    assert not [row for row in rows if row["status"] == "not compared"]
    assert sum(row["macs_before"] for row in rows) == result["theoretical"]["macs_before"]
    assert sum(row["macs_after"] for row in rows) == result["theoretical"]["macs_after"]

"""``--engine`` on accnn.py: plans by another engine's clock, what is written and told, and what is refused."""
import json
import os

import pytest

from accnn import accnn, engines
from accnn.core.compat import mx
from accnn.core.libraries import missing
from clockwork import Clockwork
from networks import chain_model, random_model, saved


@pytest.fixture
def net(tmp_path):
    """Prefix of a network that is worth a plan, alone in a folder."""
    (tmp_path / "model").mkdir()
    return saved(chain_model(widths=(32, 48, 64), side=16), tmp_path / "model" / "net")


@pytest.fixture
def clock(monkeypatch):
    return Clockwork(multiple=4, launch=0.001, rest=0.02, bias=1.0).patched(monkeypatch)


def command(net, tmp_path, *more):
    return ["-m", net, "--cost", "latency", "--threads", "1", "--save-model", str(tmp_path / "new"), "--cache",
            str(tmp_path / "model"), *more]


def written(tmp_path):
    return sorted(name for name in os.listdir(tmp_path) if name != "model")


def needs(*names):
    if missing(*names):
        pytest.skip(missing(*names))


def test_a_plan_by_the_clock_of_onnxruntime(net, clock, tmp_path, capsys):
    needs("onnx", "onnxruntime")
    latencies = tmp_path / "model" / "board.json"
    assert accnn.main(command(net, tmp_path, "--engine", "onnxruntime", "--ratio", "2", "--json", "--export-latencies",
                              str(latencies))) == 0
    found = json.loads(capsys.readouterr().out)
    assert clock.engines == {"onnxruntime"}
    assert written(tmp_path) == ["config-rksel-2.0.json", "new-0001.params", "new-symbol.json", "new.onnx"]
    version = engines.get("onnxruntime").version
    planned = found["made_by"]["latency"]
    assert planned["engine"] == "onnxruntime " + version and planned["over"] == "mxnet fp32"
    assert planned["measured"]["median"] == pytest.approx(2, rel=0.03)
    assert found["onnx"]["file_bytes"]["after"] == os.path.getsize(tmp_path / "new.onnx")
    (exported,) = json.loads(latencies.read_text())["measured"]
    assert exported["engine"] == "onnxruntime " + version
    assert sum(key.startswith("network") for key in exported["times"]) == 2
    assert accnn.main(command(net, tmp_path, "--ratio", "2", "--import-latencies", str(latencies), "--dry-run")) == 2
    assert "holds times of no machine" in capsys.readouterr().err  # those of MXNet are others
    assert accnn.main(command(net, tmp_path, "--ratio", "2", "--import-latencies", str(latencies), "--dry-run",
                              "--engine", "onnxruntime")) == 0


def test_the_ratio_is_over_what_is_asked(net, clock, tmp_path, capsys, monkeypatch):
    needs("onnx", "openvino")
    monkeypatch.setattr(engines.get("openvino"), "refuse", lambda *_: None)
    for more, over, found in (([], "mxnet fp32", 3.5), (["--ratio-over", "engine"], "openvino bf16", 1.5)):
        assert accnn.main(command(net, tmp_path, "--engine", "openvino", "--precision", "bf16", "--ratio", str(found),
                                  "--dry-run", "--json", *more)) == 0
        planned = json.loads(capsys.readouterr().out)["made_by"]["latency"]
        assert planned["over"] == over and planned["measured"]["median"] == pytest.approx(found, rel=0.03)
    assert written(tmp_path) == []


@pytest.mark.timed
def test_the_ratio_of_what_was_written_over_both_originals(net, clock, tmp_path, capsys):
    needs("onnx", "onnxruntime")
    assert accnn.main(command(net, tmp_path, "--engine", "onnxruntime", "--ratio", "1.2", "--repeats", "3",
                              "--best-effort", "--layers", "conv2", "--align", "16", "--json")) in (0, 1)
    run = json.loads(capsys.readouterr().out)["measured"]["runs"][0]
    assert [(one["engine"], one["precision"]) for one in run["over"]] == [("mxnet", "fp32"), ("onnxruntime", "fp32")]
    assert run["measured"] == run["over"][0]["measured"] and run["measured"]["median"] > 0
    assert run["rows"][-1]["difference"] < 1e-4


def strange(tmp_path):
    """Prefix of a network with an operator that is not exported."""
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=16, name="conv")
    return saved(random_model(mx.sym.erfinv(net, name="strange"), data=(3, 16, 16)), tmp_path / "model" / "strange")


@pytest.mark.parametrize("more, said", [
    (["--engine", "onnxruntime", "--precision", "bf16"], "the engine onnxruntime has no precision 'bf16'"),
    (["--engine", "onnxruntime", "--cost", "macs"], "--engine onnxruntime"),
    (["--engine", "onnxruntime", "--precision", "int8"], "needs images"),
    (["--engine", "onnxruntime", "--precision", "int8", "--random-thresholds", "--keep-fp32", "fc1"], "--keep-fp32"),
    (["--ratio-over", "engine"], "--ratio-over engine is for other engines than mxnet: give --engine"),
    (["--engine", "onnxruntime", "--config", "plan.json"], "leave one of them out")])
def test_refused_in_one_sentence(net, clock, tmp_path, capsys, more, said):
    needs("onnx", "onnxruntime")
    assert accnn.main(command(net, tmp_path, *more)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and said in errors[0] and written(tmp_path) == [] and not clock.asked


def test_an_operator_without_a_converter_is_named_before_any_work(clock, tmp_path, capsys):
    needs("onnx", "onnxruntime")
    (tmp_path / "model").mkdir()
    assert accnn.main(command(strange(tmp_path), tmp_path, "--engine", "onnxruntime", "--input-shape", "3,16,16")) == 2
    assert "'strange'" in capsys.readouterr().err and written(tmp_path) == [] and not clock.asked


def test_an_engine_that_is_not_there_names_its_extra(net, clock, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("accnn.engines.openvino.missing", lambda *_: "openvino is missing: pip install '.[openvino]'")
    assert accnn.main(command(net, tmp_path, "--engine", "openvino")) == 2
    assert "pip install '.[openvino]'" in capsys.readouterr().err and written(tmp_path) == []


def test_a_file_that_somebody_else_wrote_is_not_replaced(net, clock, tmp_path, capsys):
    needs("onnx", "onnxruntime")
    (tmp_path / "new.onnx").write_text("mine")
    assert accnn.main(command(net, tmp_path, "--engine", "onnxruntime")) == 2
    assert "new.onnx is there already" in capsys.readouterr().err and (tmp_path / "new.onnx").read_text() == "mine"


def test_nothing_is_written_where_the_file_cannot_be_proved(net, clock, tmp_path, capsys, monkeypatch):
    needs("onnx", "onnxruntime")
    monkeypatch.setattr("accnn.exporting.proof.TOLERANCE", -1.0)
    assert accnn.main(command(net, tmp_path, "--engine", "onnxruntime")) == 2
    assert "nothing is written" in capsys.readouterr().err and written(tmp_path) == []

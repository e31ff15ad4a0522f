"""What splitting costs a network, and the file that keeps what was measured."""
import json
import os
import threading

import numpy as np
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.graph.fingerprint import fingerprint
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.planning.accelerator import Accelerator
from accnn.quantization.int8_graph import partition, quantize
from accnn.quantization.ranges import minimum_and_maximum
from accnn.ranks.base import Candidate
from accnn.ranks.curve import measured_ranks
from accnn.reconstruction import sensitivity
from accnn.reconstruction import split_costs as measuring
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import ArrayImages, few
from accnn.reconstruction.sensitivity import Comparison, Sensitivity
from accnn.report import plan as report
from accnn.runtime.bound import BoundNetwork
from networks import chain_model, outputs, random_input, random_model, residual_net

SHAPE = (3, 12, 12)


def bench_of(model=None, x=None, table=None, wish=None, **options):
    bench = Accelerator(chain_model() if model is None else model, {"data": SHAPE})
    images = ArrayImages({"data": random_input(20, *SHAPE) if x is None else x}, 8)
    bench.responses = Calibrated(bench, images, wish or ReconstructionConfig(), table=table and str(table), **options)
    return bench


def candidates_of(bench, method="vh", fc=False):
    return [bench.candidate(spec.name, methods.get(method if spec.op == "Convolution" else "fc-svd"))
            for spec in bench.layers if (fc or spec.op == "Convolution") and not spec.refusal]


@pytest.fixture
def forwards(monkeypatch):
    """list: one entry for every network that is compared."""
    seen = []
    real = Comparison.of_replaced

    def of_replaced(self, replacement):
        seen.append(replacement)
        return real(self, replacement)

    monkeypatch.setattr(Comparison, "of_replaced", of_replaced)
    return seen


# ---- measuring

def test_a_layer_that_no_rank_makes_cheaper_is_not_measured():
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=1, name="c")
    bench = bench_of(random_model(net, data=SHAPE))
    candidate = bench.candidate("c", methods.get("channel"))
    assert measured_ranks(candidate) == [] and bench.responses.curves([candidate]) == {}


@pytest.mark.parametrize("solver", [None, "linear", "nonlinear"])
def test_divergences_are_those_of_the_network_with_one_layer_split(tmp_path, solver):
    """Counted anew through the executor of the tests."""
    x = random_input(20, *SHAPE)
    bench = bench_of(x=x, table=tmp_path / "table.json", wish=ReconstructionConfig(solver, measured=10))
    candidate = bench.candidate("conv2", methods.get("vh"))
    bench.responses.curves([candidate])
    (points,) = json.loads((tmp_path / "table.json").read_text())["divergences"]["conv2"].values()
    true = outputs(bench.model, data=x)[0].astype(np.float64)
    for rank, value in points:
        if solver:  # asymmetric or not is the same: nothing before it is split
            row = bench.responses.replacements([(candidate, rank)])
        else:
            bias = bench.bias(candidate.spec)
            row = [Replacement(candidate.spec, candidate.chain(rank), candidate.arrays(rank, bias))]
        made = outputs(replace_layers(bench.model, row), data=x)[0]
        assert value == pytest.approx(np.sum(true * np.log(true / made)) / len(x), rel=1e-2, abs=1e-7)
    assert points[0][1] > points[-1][1]


@pytest.mark.parametrize("method", ["vh", "channel", "3d"])
@pytest.mark.parametrize("net", ["chain", "residual"])
def test_every_method_and_a_network_of_logits(net, method):
    bench = bench_of(chain_model() if net == "chain" else random_model(residual_net(), data=SHAPE))
    plan = bench.select_ranks(2.0, rank_selection="sensitivity", method=method, fc=True)
    assert plan.made_by["reached"] >= 2 and plan.made_by["objective"] <= 0
    assert {row.method for row in plan.chosen()} <= {method, "fc-svd"}
    bench.accelerate(plan)


def test_factors_of_iterative_methods_are_found_for_the_network_and_not_for_its_plan(monkeypatch):
    bench, iterated = bench_of(), []
    monkeypatch.setattr(Candidate, "iterate", lambda self, rank, real=Candidate.iterate: (
        iterated.append((self.name, threading.current_thread())), real(self, rank))[1])
    plan = bench.select_ranks(2.0, rank_selection="sensitivity", method="cp", exclude=["conv1"])
    told = {layer["layer"]: layer["energy"] for layer in report.summary(bench, plan)["layers"] if layer["method"]}
    assert set(told.values()) == {None} and len(told) > 1 and not iterated
    bench.accelerate(plan)
    told = {layer["layer"]: layer["energy"] for layer in report.summary(bench, plan)["layers"] if layer["method"]}
    assert all(0 < energy < 1 for energy in told.values()) and {name for name, _ in iterated} == set(told)
    assert len(iterated) == len(told) and threading.main_thread() not in {thread for _, thread in iterated}


def test_without_images_the_energies_of_a_plan_are_told():
    bench = Accelerator(chain_model(), {"data": SHAPE})
    plan = bench.select_ranks(2.0, rank_selection="uniform", method="cp", exclude=["conv1"])
    assert all(0 < layer["energy"] < 1 for layer in report.summary(bench, plan)["layers"] if layer["method"])


def test_networks_are_compared_in_batches_of_one_size(monkeypatch):
    """Each of another size is bound anew."""
    sizes, real = [], BoundNetwork.forward
    monkeypatch.setattr(BoundNetwork, "forward", lambda self, *arrays: (
        sizes.append(len(arrays[0])), real(self, *arrays))[1])
    model, x = chain_model(), random_input(20, *SHAPE)
    compare = Comparison(model, ArrayImages({"data": x}, 16), {"data": SHAPE})
    assert compare.of(model) == pytest.approx(0, abs=1e-7) and sizes[-2:] == [10, 10]
    before = {name: array.asnumpy() for name, array in model.arg_params.items()}
    made = random_model(model.symbol, seed=3, data=SHAPE)
    true, other = (outputs(one, data=x)[0].astype(np.float64) for one in (model, made))
    assert compare.of(made) == pytest.approx(np.sum(true * np.log(true / other)) / len(x), rel=1e-4)
    assert all(np.array_equal(array, model.arg_params[name].asnumpy()) for name, array in before.items())


def test_several_heads(shared, forwards):
    model = load_model(os.path.join(shared, "models", "mtcnn_det2"))
    bench = Accelerator(model, {"data": (3, 24, 24)})
    bench.responses = Calibrated(bench, ArrayImages({"data": random_input(12, 3, 24, 24)}, 8), ReconstructionConfig())
    plan = bench.select_ranks(1.5, rank_selection="sensitivity")
    assert plan.made_by["reached"] >= 1.5 and forwards


def test_several_inputs():
    net = mx.sym.Convolution(mx.sym.Variable("data") + mx.sym.Variable("b"), kernel=(3, 3), num_filter=8, name="c")
    net = mx.sym.FullyConnected(mx.sym.Activation(net, act_type="relu"), num_hidden=4, name="f")
    model = random_model(net, data=SHAPE, b=SHAPE)
    bench = Accelerator(model, {"data": SHAPE, "b": SHAPE})
    arrays = {"b": random_input(9, *SHAPE), "data": random_input(9, *SHAPE, seed=2)}
    bench.responses = Calibrated(bench, ArrayImages(arrays, 4), ReconstructionConfig())
    assert bench.select_ranks(1.2, rank_selection="sensitivity").chosen()
    bench.responses = Calibrated(bench, ArrayImages({"data": arrays["data"]}, 4), ReconstructionConfig())
    with pytest.raises(AccnnError, match="also reads the inputs b"):
        bench.select_ranks(1.2, rank_selection="sensitivity")


def test_a_dead_network_has_no_divergence():
    model = chain_model()
    model.arg_params["fc1_weight"][:] = 0
    plan = bench_of(model).select_ranks(2.0, rank_selection="sensitivity")
    assert plan.made_by["reached"] >= 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers(tmp_path, value):
    model = chain_model()
    model.arg_params["fc2_bias"][0] = value
    with pytest.raises(AccnnError, match="NaN or infinite"):
        bench_of(model, table=tmp_path / "table.json").select_ranks(2.0, rank_selection="sensitivity")
    assert os.listdir(tmp_path) == []


def test_half_precision_that_no_cpu_computes():
    """One sentence, or the ranks."""
    bench = bench_of(random_model(residual_net(), dtype="float16", data=SHAPE))
    try:
        bench.select_ranks(2.0, rank_selection="sensitivity")
    except AccnnError as error:
        assert "cannot be computed here" in str(error)


def test_progress_is_closed_also_when_interrupted(monkeypatch):
    seen = []

    class Told:
        def __init__(self, title, total):
            self.title = title
            seen.append(("open", title))

        def __call__(self, done, what=""):
            if self.title.startswith("measuring") and done == 3:
                raise KeyboardInterrupt

        def close(self):
            seen.append(("close", self.title))

    bench = bench_of()
    bench.responses = Calibrated(bench, ArrayImages({"data": random_input(20, *SHAPE)}, 8), ReconstructionConfig(),
                                 Told)
    with pytest.raises(KeyboardInterrupt):
        bench.select_ranks(2.0, rank_selection="sensitivity")
    assert len([one for one in seen if one[0] == "open"]) == len([one for one in seen if one[0] == "close"]) > 2


def test_the_table_says_what_was_measured_and_predicted(tmp_path, forwards):
    bench = bench_of(x=random_input(100, *SHAPE), table=tmp_path / "table.json")
    bench.responses.curves(candidates_of(bench))
    told = json.loads((tmp_path / "table.json").read_text())
    for layer, methods_of in told["measured"].items():
        points = dict((rank, value) for rank, value in told["divergences"][layer]["vh"])
        for rank, predicted, measured in methods_of["vh"]:
            assert points[rank] == measured and 0 < predicted < np.inf
    assert sum(len(methods_of["vh"]) for methods_of in told["measured"].values()) == len(forwards) < sum(
        len(methods_of["vh"]) for methods_of in told["divergences"].values())
    assert bench_of(x=random_input(100, *SHAPE), table=tmp_path / "table.json").responses.measured_splits() == told[
        "measured"]


def test_where_all_is_measured_nothing_is_said_to_be_predicted(tmp_path, capsys):
    bench = bench_of(x=random_input(100, *SHAPE), table=tmp_path / "table.json", wish=ReconstructionConfig(measured=10))
    bench.responses.curves(candidates_of(bench))
    splits = [split for methods_of in bench.responses.measured_splits().values() for split in methods_of["vh"]]
    assert splits and all(predicted is None for _, predicted, _ in splits)
    assert "times what was predicted" not in capsys.readouterr().err
    known = bench.responses.points("conv2", "vh")
    assert bench.responses.measured_at("conv2", "vh") == tuple(rank for rank, _ in known)


# ---- the table

def test_a_table_is_used_for_all_other_wishes(tmp_path, forwards, monkeypatch):
    table = tmp_path / "table.json"
    first = bench_of(table=table).select_ranks(2.0, rank_selection="sensitivity", fc=True)
    assert forwards
    monkeypatch.setattr(measuring, "Comparison", None)  # nothing can be measured any more
    again = bench_of(table=table).select_ranks(2.0, rank_selection="sensitivity", fc=True)
    assert again.rows == first.rows and again.made_by == first.made_by
    before = table.read_bytes(), os.stat(table).st_mtime_ns
    for how in ({"ratio": 3.0}, {"ratio": 2.0, "align": 2}, {"ratio": 2.0, "cost": "original"},
                {"ratio": 1.3, "exclude": ["conv2"]}, {"ratio": 1.5, "fixed": {"conv1": 2}}):
        plan = bench_of(table=table).select_ranks(rank_selection="sensitivity", **how)
        assert plan.made_by["reached"] >= how["ratio"]
    assert (table.read_bytes(), os.stat(table).st_mtime_ns) == before
    symmetric = bench_of(table=table,
                         wish=ReconstructionConfig(symmetric=True))  # alone, a layer reads what it always did
    assert symmetric.select_ranks(2.0, rank_selection="sensitivity", fc=True).rows == first.rows


@pytest.mark.parametrize("method", ["channel", "3d"])
def test_a_method_that_comes_later_is_added(tmp_path, forwards, method):
    table = tmp_path / "table.json"
    bench_of(table=table).responses.curves(candidates_of(bench_of())[:1])
    bench = bench_of(table=table)
    before = json.loads(table.read_text())
    del forwards[:]
    assert bench.select_ranks(2.0, rank_selection="sensitivity", method=method)
    expected = len(forwards)
    assert 3 <= expected < sum(len(measured_ranks(one)) for one in candidates_of(bench, method))
    after = json.loads(table.read_text())
    assert after["divergences"]["conv1"]["vh"] == before["divergences"]["conv1"]["vh"]
    assert set(after["divergences"]["conv1"]) == {"vh", method} and after["made_for"] == before["made_for"]
    bench_of(table=table).select_ranks(2.0, rank_selection="sensitivity", method=method)
    assert len(forwards) == expected


@pytest.mark.parametrize("other, said", [
    (dict(model=chain_model(seed=1)), "network"), (dict(x=random_input(20, *SHAPE, seed=9)), "images"),
    (dict(x=random_input(19, *SHAPE)), "images"), (dict(wish=ReconstructionConfig("nonlinear")), "solver"),
    (dict(wish=ReconstructionConfig(None)), "solver"), (dict(wish=ReconstructionConfig(positions=5)), "positions"),
    (dict(wish=ReconstructionConfig(metric="responses")), "metric"), (dict(wish=ReconstructionConfig(seed=3)), "seed")])
def test_another_network_or_other_images_are_measured_anew(tmp_path, forwards, capsys, other, said):
    table = tmp_path / "table.json"
    bench_of(table=table).responses.curves(candidates_of(bench_of())[:1])
    old = table.read_text()
    del forwards[:]
    bench = bench_of(table=table, **other)
    bench.responses.curves(candidates_of(bench)[:1])
    assert forwards and table.read_text() != old
    assert "table.json was made for other settings (%s): measuring anew" % said in capsys.readouterr().err


def test_measured_twice_is_the_same_to_the_byte(tmp_path):
    for name in "ab":
        bench_of(table=tmp_path / name).responses.curves(candidates_of(bench_of(), fc=True))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench_of().select_ranks(2.0, rank_selection="sensitivity")
    assert os.listdir(tmp_path) == []


def test_a_table_that_is_only_read(tmp_path, forwards):
    table = tmp_path / "table.json"
    bench_of(table=table, read_only=True).responses.curves(candidates_of(bench_of()))
    assert os.listdir(tmp_path) == [] and forwards
    bench_of(table=table).responses.curves(candidates_of(bench_of()))
    del forwards[:]
    bench_of(table=table, read_only=True).responses.curves(candidates_of(bench_of()))
    assert not forwards


@pytest.mark.parametrize("end", [KeyboardInterrupt, AccnnError("no more")])
def test_what_was_measured_before_the_end_is_kept(tmp_path, monkeypatch, forwards, end):
    table, real = tmp_path / "table.json", Comparison.of_replaced

    def of_replaced(self, replacement):
        if replacement.spec.name == "conv3":
            raise end
        return real(self, replacement)

    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "of_replaced", of_replaced)
        with pytest.raises(type(end) if isinstance(end, AccnnError) else end):
            bench_of(table=table).responses.curves(candidates_of(bench_of()))
    assert list(json.loads(table.read_text())["divergences"]) == ["conv1", "conv2"]
    del forwards[:]
    bench = bench_of(table=table)
    bench.responses.curves(candidates_of(bench))
    assert {one.spec.name for one in forwards} == {"conv3"}


def test_what_ends_at_once_leaves_another_table_alone(tmp_path, monkeypatch):
    table = tmp_path / "table.json"
    bench_of(table=table).responses.curves(candidates_of(bench_of()))
    before = table.read_bytes()
    monkeypatch.setattr(Comparison, "of_replaced", lambda self, replacement: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench_of(chain_model(seed=1), table=table).responses.curves(candidates_of(bench_of(chain_model(seed=1))))
    assert table.read_bytes() == before


def damaged(document):
    good = {"made_for": {"a": 1}, "divergences": document}
    return json.dumps(good)


def test_a_table_of_an_earlier_version_bears_no_mark_and_is_read(tmp_path):
    (tmp_path / "table.json").write_text(damaged({"conv2": {"vh": [[3, 0.5]], "3d": [[[2, 3], 0.25]]}}))
    table = Sensitivity(str(tmp_path / "table.json"), {"a": 1})
    assert [one.method.name for one in table.missing([bench_of().candidate("conv2", methods.get(name))
                                                      for name in ("vh", "channel", "3d")])] == ["channel"]
    (tmp_path / "table.json").write_text('{"holds": "list of energies", "made_for": {"a": 1}, "divergences": {}}')
    with pytest.raises(AccnnError, match="table.json is no table of sensitivities: remove it"):
        Sensitivity(str(tmp_path / "table.json"), {"a": 1})


@pytest.mark.parametrize("text", [
    "", "{", "[]", "7", "null", "{}", '{"made_for": 3, "divergences": {}}', "\x00\x01", "[" * 100000,
    '{"made_for": {"a": 1}}', damaged(None), damaged([]), damaged({"c": 3}), damaged({"c": {"vh": 3}}),
    damaged({"c": {"vh": []}}), damaged({"c": {"vh": [[1]]}}), damaged({"c": {"vh": [[1, "x"]]}}),
    damaged({"c": {"vh": [["1", 2]]}}), damaged({"c": {"vh": [[1, float("nan")]]}}), damaged({"c": {"vh": [[1, -1]]}}),
    damaged({"c": {"vh": [[[1, None], 1]]}}), damaged({"c": {"vh": [[True, 1]]}})])
def test_a_damaged_table_is_told(tmp_path, text):
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(AccnnError, match="table.json is no table of sensitivities: remove it"):
        Sensitivity(str(tmp_path / "table.json"), {"a": 1})


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(AccnnError, match="cannot be read"):
        Sensitivity(str(tmp_path), {"a": 1})


def test_fingerprints():
    model, x = chain_model(), random_input(4, *SHAPE)
    assert fingerprint(model) == fingerprint(chain_model())
    other = chain_model()
    other.arg_params["conv2_bias"][0] += 1
    assert fingerprint(other) != fingerprint(model)
    marks = {ArrayImages(arrays, 2).fingerprint() for arrays in (
        {"data": x}, {"b": x}, {"data": x[:3]}, {"data": x + 1}, {"data": x.reshape(4, 12, 3, 12)}, {"data": x[::-1]})}
    assert len(marks) == 6 and ArrayImages({"data": x.copy()}, 4).fingerprint() in marks


def test_few_of_many_images():
    x = random_input(10, *SHAPE)
    images = ArrayImages({"data": x}, 4)
    assert few(images, 10) is images and few(images, 4).count == 4
    (_, batch), = few(images, 4).batches()
    np.testing.assert_array_equal(batch["data"].asnumpy(), x[[0, 3, 6, 9]])


def test_layers_one_after_the_other_are_cut_off_from_the_stage_before():
    """As told apart, whichever layer is looked at before."""
    model, images = chain_model(), ArrayImages({"data": random_input(9, *SHAPE)}, 4)
    bench = Accelerator(model, {"data": SHAPE})
    made = [Replacement(one.spec, one.chain(2), one.arrays(2, bench.bias(one.spec))) for one in candidates_of(bench)]
    compare = Comparison(model, images, bench.input_shapes)
    for one in made + made[::-1]:
        expected = Comparison(model, images, bench.input_shapes).of(replace_layers(model, [one]))
        assert compare.of_replaced(one) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3"])
def test_what_is_before_a_layer_is_computed_once(name, monkeypatch):
    model, images = chain_model(), ArrayImages({"data": random_input(9, *SHAPE)}, 4)
    bench = Accelerator(model, {"data": SHAPE})
    candidate = bench.candidate(name, methods.get("vh"))
    replacement = Replacement(candidate.spec, candidate.chain(2), candidate.arrays(2, bench.bias(candidate.spec)))
    compare = Comparison(model, images, bench.input_shapes)
    assert compare.of_replaced(replacement) == pytest.approx(compare.of(replace_layers(model, [replacement])), rel=1e-4)
    monkeypatch.setattr(sensitivity, "_MOST_HELD", 0)
    small = Comparison(model, images, bench.input_shapes)
    assert small.of_replaced(replacement) == pytest.approx(compare.of_replaced(replacement), rel=1e-4)


# ---- INT8

def test_what_int8_adds_is_measured_once_and_kept(tmp_path, forwards):
    bench = bench_of(table=tmp_path / "table.json")
    candidates = candidates_of(bench)[1:]
    bench.responses.curves(candidates)
    noise, measured = bench.responses.int8_noise(candidates), len(forwards)
    assert set(noise) == {"conv2", "conv3", ("conv2", "vh"), ("conv3", "vh")}
    rank = measured_ranks(candidates[0])[-1]
    assert 0 < noise["conv2"] < 1e-2 and 0 <= noise["conv2", "vh"].at(rank) < 1e-2
    again = bench_of(table=tmp_path / "table.json")
    found = again.responses.int8_noise(candidates_of(again)[1:])
    assert len(forwards) == measured and found["conv3"] == noise["conv3"]
    assert len(again.responses.curves(candidates_of(again)[1:])) == 2 and len(forwards) == measured


def test_int8_of_one_layer_is_that_of_the_pass():
    """Against the whole network with all other layers left out, calibrated on all images."""
    x = random_input(16, *SHAPE)
    bench = bench_of(x=x)
    compare = Comparison(bench.model, bench.responses.images, bench.input_shapes)
    others = ["conv1", "conv3", "fc1", "fc2"]
    ranges = minimum_and_maximum(partition(bench.model, others), {"data": SHAPE}, [{"data": x}])
    found = outputs(quantize(bench.model, ranges, others, stored=False), data=x)[0]
    true = outputs(bench.model, data=x)[0].astype(np.float64)
    expected = (true * (np.log(true) - np.log(found))).sum(axis=1).mean()
    assert compare.of_int8("conv2") == pytest.approx(expected, rel=0.05)  # of float32

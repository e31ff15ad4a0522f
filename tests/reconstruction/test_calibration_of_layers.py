"""Whole networks through calibration images: what is read is accelerated, what is answered is true."""
import numpy as np
import pytest
from inside_for_tests import entries
from layers_for_tests import DepthwiseLast, InnerGroups
from mxnet.contrib import amp

from accnn import methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import joint
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.divergence import Divergence
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.layer import until_worse
from accnn.reconstruction.pipeline import levels
from accnn.report import plan as report
from networks import chain_model, outputs, random_model, residual_net
from reference import relative_error

S = mx.sym
SHAPE = (3, 12, 12)
EVERYWHERE = 10 ** 6  # places: all there are


def images(count=64, seed=1):
    """Smooth pictures, so that responses lie near a few dimensions."""
    rng = np.random.RandomState(seed)
    coarse = rng.standard_normal((count, 3, 4, 4)).repeat(3, 2).repeat(3, 3)
    return (coarse + 0.1 * rng.standard_normal((count,) + SHAPE)).astype(np.float32)


def conv(x, name, width=6, kernel=(3, 3), **more):
    return S.Convolution(x, kernel=kernel, pad=tuple(k // 2 for k in kernel), num_filter=width, name=name, **more)


def relu(x, name):
    return S.Activation(x, act_type="relu", name=name)


def branches():
    x = relu(conv(S.Variable("data"), "c0"), "r0")
    x = S.Concat(relu(conv(x, "left"), "r1"), relu(conv(x, "right", kernel=(1, 3)), "r2"), x)
    return S.FullyConnected(relu(conv(x, "joined"), "r3"), num_hidden=4, name="f")


def grouped():
    x = relu(conv(S.Variable("data"), "c0", 8), "r0")
    x = relu(conv(x, "g", 12, num_group=2, stride=(2, 1), dilate=(1, 2), no_bias=True), "r1")
    return relu(conv(x, "c1", 5), "r2")


def normed(gamma):
    x = conv(S.Variable("data"), "c0", no_bias=True)
    x = conv(relu(S.BatchNorm(x, fix_gamma=False, name="n0"), "r0"), "c1")
    model = random_model(relu(S.BatchNorm(x, fix_gamma=False, name="n1"), "r1"), data=SHAPE)
    model.arg_params["n0_gamma"][:] = np.asarray(gamma, np.float32)
    return model


def kinds():
    x = relu(S.Convolution_v1(S.Variable("data"), kernel=(3, 3), stride=(2, 2), num_filter=8, name="old"), "r0")
    x = relu(S.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=10, name="up"), "r1")
    x = relu(S.Deconvolution(x, kernel=(3, 3), stride=(2, 1), adj=(1, 0), num_filter=8, num_group=2, no_bias=False,
                             name="up2"), "r2")
    return S.FullyConnected(S.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1)), num_hidden=4, name="f")


NETS = {"chain": chain_model, "residual": lambda: random_model(residual_net(), data=SHAPE),
        "branches": lambda: random_model(branches(), data=SHAPE),
        "kinds": lambda: random_model(kinds(), data=SHAPE),
        "grouped": lambda: random_model(grouped(), data=SHAPE),
        "gamma 0 and negative": lambda: normed([1, 0, -1, 0.5, 0, -2]), "gamma all 0": lambda: normed(0)}


def plan(bench, share=3, method=None, only=None):
    """Every layer that can be split, at a third of its ranks."""
    rows = []
    for spec in bench.layers:
        chosen = methods.get(method if method and spec.kind == "Convolution" else methods.DEFAULT[spec.kind])
        if (only is None or spec.name in only) and not bench.refusal(spec, chosen):
            ranks = chosen.ranks(spec)
            rank = chosen.full_rank(spec) if share == 1 else ranks[len(ranks) // share]
            rows.append(Row(spec.name, spec.kind, chosen.name, rank))
    return Plan(tuple(rows))


def calibrated(model, x=None, positions=20, **wish):
    bench = Accelerator(model, {"data": SHAPE})
    x = images() if x is None else x
    bench.responses = Calibrated(bench, ArrayImages({"data": x}, 16), ReconstructionConfig(positions=positions, **wish))
    return bench


def distance(model, faster, x):
    return relative_error(outputs(faster, data=x)[0], outputs(model, data=x)[0])


@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
@pytest.mark.parametrize("name", NETS)
def test_new_images_are_answered_better(name, solver):
    model, new = NETS[name](), images(seed=9)
    free = Accelerator(model, {"data": SHAPE})
    bench = calibrated(model, images(200), solver=solver)
    before, after = (distance(model, one.accelerate(plan(free)), new) for one in (free, bench))
    assert after < before or before < 1e-6
    assert set(bench.responses.outcomes) == {row.layer for row in plan(free).rows}
    assert all(outcome.after <= outcome.before for outcome in bench.responses.outcomes.values())


@pytest.mark.parametrize("method", [None, "channel", "3d"])
@pytest.mark.parametrize("name", NETS)
def test_at_full_rank_the_network_stays_what_it_is(name, method):
    model = NETS[name]()
    bench = calibrated(model, method and images(), solver="nonlinear")
    faster = bench.accelerate(plan(bench, 1, method))
    assert distance(model, faster, images(seed=3)) < 1e-3
    assert all(outcome.after < 1e-5 for outcome in bench.responses.outcomes.values())


@pytest.mark.parametrize("method", [name for name in methods.names("Convolution")] + ["own", "sealed"])
def test_every_method_is_rebuilt(monkeypatch, method):
    for one in (InnerGroups(), DepthwiseLast()):
        monkeypatch.setitem(methods.base._registry._members, one.name, one)
    method = {"own": InnerGroups.name, "sealed": DepthwiseLast.name}.get(method, method)
    model, new = chain_model(), images(seed=9)
    bench = calibrated(model, images(200))
    wanted = plan(bench, method=method)
    assert any(row.method == method for row in wanted.rows)
    after = distance(model, bench.accelerate(wanted), new)
    assert after < distance(model, Accelerator(model, {"data": SHAPE}).accelerate(wanted), new)
    for row in wanted.rows:
        outcome = bench.responses.outcomes[row.layer]
        assert outcome.after <= outcome.before and (outcome.solver == "linear" or method == DepthwiseLast.name)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_layer_is_fitted_to_what_it_will_read(monkeypatch, symmetric):
    """The second layer's last part is lstsq of the true responses on what its first part reads."""
    from accnn.reconstruction import layer

    monkeypatch.setattr(layer, "SWEEPS", 0)
    monkeypatch.setattr(layer, "RIDGES", (1e-9,))
    x = images(40)
    model = random_model(conv(relu(conv(S.Variable("data"), "first", 8), "r"), "second", 7), data=SHAPE)
    bench = calibrated(model, x, EVERYWHERE, symmetric=symmetric)
    faster = bench.accelerate(Plan((Row("first", "Convolution", "vh", 3), Row("second", "Convolution", "vh", 6))))
    truth = entries(model, x)["second"]
    weights = faster.arg_params
    read = entries(model if symmetric else faster, x)["r"]
    seen = mx.nd.Convolution(mx.nd.array(read), weights["second_v_weight"], weights["second_v_bias"], kernel=(3, 1),
                             pad=(1, 0), num_filter=6).asnumpy()
    seen = np.pad(seen, ((0, 0), (0, 0), (0, 0), (1, 1)))
    columns = [seen[:, :, :, j:j + 12] for j in range(3)]  # what the horizontal part reads, (kw, in)
    features = np.concatenate(columns + [np.ones_like(columns[0][:, :1])], 1)
    fitted = np.arange(40) % 8 != 7
    features, goal = (array[fitted].swapaxes(0, 1).reshape(array.shape[1], -1).T for array in (features, truth))
    solution = np.linalg.lstsq(features.astype(np.float64), goal, rcond=None)[0]
    weight = weights["second_h_weight"].asnumpy()[:, :, 0].transpose(2, 1, 0).reshape(-1, 7)
    assert relative_error(weight, solution[:-1]) < 1e-2
    np.testing.assert_allclose(weights["second_h_bias"].asnumpy(), solution[-1], atol=2e-3)


def test_asymmetric_answers_better_than_symmetric():
    model, new, errors = chain_model(widths=(8, 12, 16, 16)), images(seed=9), {}
    for symmetric in (False, True):
        bench = calibrated(model, images(200), symmetric=symmetric)
        errors[symmetric] = distance(model, bench.accelerate(plan(bench)), new)
    assert errors[False] < errors[True]


def test_layers_without_a_bias_get_one_and_the_report_counts_it():
    model = random_model(residual_net(), data=SHAPE)
    bench = calibrated(model)
    wanted = plan(bench)
    faster = bench.accelerate(wanted)
    told = report.summary(bench, wanted)
    stored = sum(array.size for array in list(faster.arg_params.values()) + list(faster.aux_params.values()))
    assert told["parameters"]["after"] == stored and "unit0a_h_bias" in faster.arg_params
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert layers["unit0a"]["reconstruction"]["solver"] == "linear" and layers["fc"]["method"] == "fc-svd"
    assert told["calibration"] == {"file": None, "images": 64, "positions": 20, "symmetric": False, "metric": "network",
                                   "solver": "linear", "seed": 0, "joint": None}
    lines = report.table(told)
    assert " -> " in next(line for line in lines if line.startswith("unit0a")) and "error" in lines[0]
    said = "linear, asymmetric, errors in the metric of the network, from 64 images x 20 places"
    assert any(line.startswith("reconstructed ") and said in line for line in lines)


def test_data_free_factors_are_said_to_stay():
    model = chain_model()
    bench = calibrated(model, np.zeros((32,) + SHAPE, np.float32))
    wanted = plan(bench, only=["conv2"])
    faster, free = bench.accelerate(wanted), Accelerator(model, {"data": SHAPE}).accelerate(wanted)
    outcome = bench.responses.outcomes["conv2"]
    told = report.summary(bench, wanted)
    if outcome.solver == "data-free":
        assert any("data-free factors kept: images gave nothing better" in line for line in report.table(told))
        assert distance(free, faster, images()) == 0
    assert distance(model, faster, np.zeros((2,) + SHAPE, np.float32)) <= distance(
        model, free, np.zeros((2,) + SHAPE, np.float32)) + 1e-6
    assert told["parameters"]["after"] == sum(array.size for array in faster.arg_params.values())


def test_without_reconstruction_images_change_nothing():
    model = chain_model()
    bench = calibrated(model, solver=None)
    wanted = plan(bench)
    faster, free = bench.accelerate(wanted), Accelerator(model, {"data": SHAPE}).accelerate(wanted)
    assert distance(free, faster, images()) == 0 and not bench.responses.outcomes
    lines = report.table(report.summary(bench, wanted))
    assert "error" not in lines[0] and not any("reconstructed" in line for line in lines)


def test_same_seed_same_parameters():
    model = random_model(branches(), data=SHAPE)
    made = []
    for seed in (3, 3, 4):
        bench = calibrated(model, positions=4, solver="nonlinear", seed=seed)
        made.append({name: array.asnumpy() for name, array in bench.accelerate(plan(bench)).arg_params.items()})
    for name, array in made[0].items():
        assert array.tobytes() == made[1][name].tobytes()
    assert any(array.tobytes() != made[2][name].tobytes() for name, array in made[0].items())


def test_branches_together_and_chains_apart():
    model = random_model(branches(), data=SHAPE)
    assert levels(model.graph, {"c0", "left", "right", "joined", "f"}) == [["c0"], ["left", "right"], ["joined"], ["f"]]
    assert levels(model.graph, {"right", "left"}) == [["left", "right"]]
    assert levels(model.graph, {"right", "f"}) == [["right"], ["f"]] and levels(model.graph, set()) == []
    residual = random_model(residual_net(2), data=SHAPE)
    assert levels(residual.graph, {"stem", "unit0a", "unit1a", "unit1b"}) == [["stem"], ["unit0a"], ["unit1a"],
                                                                              ["unit1b"]]


@pytest.mark.parametrize("parameter, layer", [("conv1_weight", "conv1"), ("conv1_bias", "conv1"),
                                              ("conv2_weight", "conv2")])
def test_nan_names_the_first_layer_that_has_it(parameter, layer):
    model = chain_model()
    model.arg_params[parameter][0] = np.nan
    bench = calibrated(model)
    with pytest.raises(AccnnError, match="of the layer '%s' of the model holds NaN" % layer):
        bench.accelerate(plan(Accelerator(chain_model(), {"data": SHAPE}), only=["conv1", "conv2", "conv3"]))


@pytest.mark.parametrize("metric", ["network", "responses"])
def test_a_network_in_bfloat16_is_fitted_as_the_one_in_float32(metric):
    """NumPy would get the bits of its responses as whole numbers."""
    model, x = chain_model(), images()
    symbol, args, aux = amp.convert_model(model.symbol, dict(model.arg_params), {}, target_dtype="bfloat16")
    half = calibrated(Model(Graph.from_symbol(symbol), args, aux), x, metric=metric)
    full = calibrated(model, x, metric=metric)
    made, wanted = (bench.replacements(plan(bench)) for bench in (half, full))
    for one, other in zip(made, wanted):
        for (weight, bias), (exact, wanted_bias) in zip(one.arrays, other.arrays):
            np.testing.assert_allclose(weight, exact, rtol=1e-4, atol=1e-5)
            assert bias is wanted_bias is None or np.allclose(bias, wanted_bias, rtol=1e-4, atol=1e-5)
    faster = half.accelerate(plan(half))
    assert {node.attrs["dtype"] for node in faster.graph.nodes if node.op == "amp_cast"} == {"bfloat16", "float32"}


def test_chains_that_move_together_bring_outputs_nearer(monkeypatch):
    monkeypatch.setattr(joint, "_STEPS", 60)
    monkeypatch.setattr(joint, "_RATES", (3e-3,))
    model, x, other = NETS["residual"](), images(400), images(200, seed=9)
    found = {}
    for together in (False, True):
        bench = Accelerator(model, {"data": SHAPE})
        bench.responses = Calibrated(bench, ArrayImages({"data": x}, 16), ReconstructionConfig(joint=together))
        made = bench.accelerate(plan(bench))
        found[together] = Divergence(model, outputs(model, data=other)).of(outputs(made, data=other))
        told = report.summary(bench, plan(bench))["calibration"]["joint"]
        assert (told is not None) == together
    assert told["after"] < told["before"] and found[True] < found[False]
    assert any("improved together" in line for line in report.table(report.summary(bench, plan(bench))))


@pytest.mark.parametrize("errors, looked_at", [([3, 2, 1, 2, 0], 4), ([3, 2, 1, 1.001, 0.5], 5), ([1, 1, 1], 3),
                                               ([], 0), ([2, float("nan"), 1, 2], 4)])
def test_ridges_are_tried_until_errors_rise(errors, looked_at):
    assert [error for error, in until_worse((error,) for error in errors)][:2] == errors[:2]
    assert len(list(until_worse((error,) for error in errors))) == looked_at

"""Fully connected layers split as the convolutions that they are; the contract is in test_contract.py."""
import json

import numpy as np
import pytest

from accnn import acc_fc, costs, methods
from accnn import accnn as script
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv, SubFC, macs
from accnn.graph.checkpoint import load_model
from accnn.methods import Effort, many_outputs
from accnn.methods.many_outputs import ManyOutputs
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import ArrayImages
from accnn.runtime.predictor import Predictor
from networks import chain_model, outputs, random_input, saved
from reference import relative_error, run_chain

TUCKER = methods.get("fc-tucker")
SPEC = LayerSpec("fc", SubFC("", 60, 12), (60,), "w", "b", "FullyConnected", maps=(5, 4, 3))


def test_it_is_the_convolution_by_tucker():
    """Same factors, energies and cost as the method tucker finds for the kernel (N, C, H, W)."""
    view = LayerSpec("fc", SubConv("", 5, 12, (4, 3)), (5, 4, 3), "w", "b", "Convolution")
    weight, tucker = np.random.RandomState(0).standard_normal((12, 60)).astype(np.float32), methods.get("tucker")
    assert list(TUCKER.ranks(SPEC)) == list(tucker.ranks(view)) and TUCKER.full_rank(SPEC) == tucker.full_rank(view)
    mine, theirs = TUCKER.decompose(weight, SPEC), tucker.decompose(weight.reshape(12, 5, 4, 3), view)
    for rank in ((2, 3), (4, 7)):
        for one, other in zip(mine.factors(weight, rank), theirs.factors(weight.reshape(12, 5, 4, 3), rank)):
            np.testing.assert_array_equal(one.ravel(), other.ravel())
        assert mine.energy(rank) == theirs.energy(rank) and mine.fitness(rank) == theirs.fitness(rank)
        assert macs(TUCKER.chain(SPEC, rank), SPEC.in_shape) == macs(tucker.chain(view, rank), view.in_shape)
        assert [part.op for part in TUCKER.chain(SPEC, rank)] == ["Convolution", "Convolution", "FullyConnected"]


def test_layers_without_maps_are_refused():
    for shape in ((60,), (5, 60)):
        spec = LayerSpec("fc", SubFC("", 60, 12, flatten=len(shape) == 1), shape, "w", "b", "FullyConnected")
        assert "fc-tucker needs feature maps larger than 1x1" in TUCKER.refuse(spec)
    with pytest.raises(AccnnError, match="'fc2' cannot be split: fc-tucker needs feature maps"):
        Accelerator(chain_model()).accelerate(Plan((Row("fc2", "FullyConnected", "fc-tucker", (2, 2)),)))


def test_its_sentences_name_it():
    for name in ("fc-tucker", "fc-btd"):
        method = methods.get(name)
        with pytest.raises(AccnnError, match="'fc': %s takes" % name):
            method.check_rank(SPEC, (99,) * len(method.full_rank(SPEC)))


# ---- many outputs

def _kernel(noise, shape=(60, 10, 3, 3), rank=(4, 6), seed=0):
    """A kernel of exactly some multilinear rank, and noise."""
    rng = np.random.RandomState(seed)
    exact = np.einsum("nt,tsyx,cs->ncyx", *(rng.standard_normal(size) for size in (
        (shape[0], rank[1]), rank[::-1] + shape[2:], (shape[1], rank[0]))))
    return (exact / exact.std() + noise * rng.standard_normal(shape)).astype(np.float32)


def _exact(kernel, effort=None):
    """Decomposition: the method tucker's own."""
    part = SubConv("", kernel.shape[1], len(kernel), kernel.shape[2:])
    return methods.get("tucker").decompose(kernel, LayerSpec(
        "fc", part, (kernel.shape[1],) + kernel.shape[2:], "w", "b", "Convolution"), effort)


@pytest.mark.parametrize("rank", [(4, 6), (2, 3), (10, 60), (7, 20), (1, 1)])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_many_outputs_lose_hardly_more_than_tucker(rank, noise):
    kernel = _kernel(noise)
    mine, theirs = ManyOutputs(kernel, Effort()), _exact(kernel)
    assert mine.energy(rank) <= 1 and mine.fitness(rank) >= theirs.fitness(rank) - 3 * many_outputs._GAIN
    reduce, core, restore = mine.factors(kernel, rank)
    assert [one.shape for one in (reduce, core, restore)] == [
        (rank[0], 10, 1, 1), rank[::-1] + (3, 3), (60, rank[1], 1, 1)]
    made = np.einsum("nt,tsyx,sc->ncyx", restore[:, :, 0, 0], core, reduce[:, :, 0, 0])
    lost = np.square(made - kernel).sum() / np.square(kernel).sum()
    assert lost == pytest.approx(1 - mine.energy(rank), abs=1e-5)
    if noise == 0 and min(rank) >= 4:
        assert lost < 1e-9


def test_many_outputs_of_zeros_and_of_one_seed():
    zeros = ManyOutputs(np.zeros((60, 10, 3, 3), np.float32), Effort())
    assert zeros.energy((2, 3)) == 1 and all(np.isfinite(one).all() for one in zeros.factors(None, (2, 3)))
    kernel = _kernel(1.0)
    first, again, other = (ManyOutputs(kernel, Effort(seed=seed)).factors(kernel, (4, 6)) for seed in (3, 3, 4))
    assert all(np.array_equal(one, same) for one, same in zip(first, again))
    assert not np.array_equal(first[1], other[1])


def test_many_outputs_suggest_the_ranks_that_tucker_does():
    kernel = _kernel(0.1)
    assert ManyOutputs(kernel, Effort()).estimated_rank() == _exact(kernel).estimated_rank() == (4, 6)


def test_iterations_that_ran_out_are_told():
    made = ManyOutputs(_kernel(1.0), Effort(iterations=1))
    made.energy((2, 3))
    assert "not settled after 1 iterations" in made.remark((2, 3)) and made.remark((3, 3)) is None


def test_thousands_of_outputs_go_that_way(monkeypatch):
    weight = _kernel(0.5, (12, 5, 4, 3)).reshape(12, 60)
    monkeypatch.setattr("accnn.methods.fc_tucker._MANY", 12)
    decomposition = TUCKER.decompose(weight, SPEC)
    assert isinstance(decomposition._inner, ManyOutputs)
    bias, data = np.zeros(12, np.float32), np.random.RandomState(1).standard_normal((3, 60))
    rank = TUCKER.full_rank(SPEC)
    made = run_chain(data, TUCKER.chain(SPEC, rank), TUCKER.arrays(decomposition, weight, bias, SPEC, rank))
    assert relative_error(made, data @ weight.T) < 1e-5


# ---- in a network

@pytest.mark.parametrize("name", ["fc-tucker", "fc-btd"])
def test_at_full_rank_the_network_is_the_same(tmp_path, name):
    model, x = chain_model(), random_input(2, 3, 12, 12)
    prefix, method = saved(model, tmp_path / "net"), methods.get(name)
    rank = method.full_rank(Accelerator(model).specs["fc1"])
    assert acc_fc.main(["-m", prefix, "--layer", "fc1", "--method", name, "--K", ",".join(map(str, rank)),
                        "--save-model", str(tmp_path / "new")]) == 0
    faster = load_model(str(tmp_path / "new"))
    assert relative_error(outputs(faster, data=x)[0], outputs(model, data=x)[0]) <= 1e-5
    assert {"fc1_maps", "fc1_r", "fc1_p", "fc1"} <= {node.name for node in faster.graph.nodes}
    assert {"fc1_r_weight", "fc1_p_weight", "fc1_p_bias"} <= set(faster.arg_params)
    assert "fc1_weight" not in faster.arg_params and "fc1_r_bias" not in faster.arg_params


@pytest.mark.parametrize("rule", ["uniform", "profit", "vbmf"])
def test_from_the_command_line_to_a_checkpoint(tmp_path, capsys, rule):
    prefix = saved(chain_model(), tmp_path / "net")
    assert script.main(["-m", prefix, "--fc", "--method", "vh,fc-tucker", "--rank-selection", rule, "--ratio", "2",
                        "--save-model", str(tmp_path / "new"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {layer["layer"]: layer for layer in told["layers"]}
    assert rows["fc1"]["method"] == "fc-tucker" and len(rows["fc1"]["rank"]) == 2 and rows["conv2"]["method"] == "vh"
    assert "needs feature maps" in rows["fc2"]["reason"] and told["network"]["ratio"] >= 2
    faster = load_model(str(tmp_path / "new"))
    assert faster.arg_params["fc1_c_weight"].shape[2:] == (6, 6)
    assert np.isfinite(outputs(faster, data=random_input(2, 3, 12, 12))[0]).all()
    config = str(tmp_path / "config-rksel-2.0.json")
    assert script.main(["-m", prefix, "--config", config, "--save-model", str(tmp_path / "again"), "--json"]) == 0
    with open(str(tmp_path / "again-0001.params"), "rb") as one, open(str(tmp_path / "new-0001.params"), "rb") as two:
        assert one.read() == two.read()


@pytest.mark.parametrize("name, rank", [("fc-tucker", (4, 5)), ("fc-btd", (4, 6, 2))])
@pytest.mark.parametrize("solver", ["linear", "nonlinear"])
def test_images_rebuild_it(name, rank, solver):
    """A chain of convolutions and an FC is fitted like any other, and answers better on what it did not see."""
    model = chain_model()
    bench, rng = Accelerator(model), np.random.RandomState(0)
    # Pictures that lie in few dimensions, so that there is something to learn.
    basis = rng.standard_normal((10, 3 * 12 * 12))
    seen, unseen = ((rng.standard_normal((count, 10)) @ basis).reshape(-1, 3, 12, 12).astype(np.float32)
                    for count in (160, 40))
    plan = Plan((Row("conv3", "Convolution", "vh", 12), Row("fc1", "FullyConnected", name, rank)))
    plain = bench.accelerate(plan)
    bench.responses = Calibrated(bench, ArrayImages({"data": seen}, batch_size=40), ReconstructionConfig(solver=solver))
    rebuilt = bench.accelerate(plan)
    outcome = bench.responses.outcomes["fc1"]
    assert outcome.after < outcome.before and outcome.solver != "data-free"
    assert rebuilt.arg_params["fc1_p_weight"].shape == (16, rank[1])

    def error(faster):
        true, made = (outputs(_tapped(one), data=unseen)[0] for one in (model, faster))
        return relative_error(made, true)

    assert error(rebuilt) < error(plain)


def _tapped(model):
    """The network up to the output of fc1."""
    from dataclasses import replace

    from accnn.graph.ir import Graph, prune

    place = next(i for i, node in enumerate(model.graph.nodes) if node.name == "fc1" and not node.is_variable)
    return replace(model, graph=prune(Graph(model.graph.nodes, ((place, 0, 0),))))


@pytest.mark.parametrize("name, rank", [("fc-tucker", (8, 16)), ("fc-btd", (8, 16, 2))])
def test_one_executor_computes_many_batches(name, rank):
    """Fused, as people run it; 16 channels, which oneDNN lays out in blocks."""
    model = chain_model()
    faster = Accelerator(model).accelerate(Plan((Row("fc1", "FullyConnected", name, rank),)))
    predictor = Predictor(faster, {"data": (3, 12, 12)}, 8)
    for seed in range(3):
        x = random_input(8, 3, 12, 12, seed=seed)
        made = [output.copy() for output in predictor.forward(mx.nd.array(x))][0].asnumpy()
        assert relative_error(made, outputs(faster, data=x)[0]) <= 1e-5


def test_a_layer_that_reads_maps_as_they_are_needs_no_reshape():
    """As Gluon's VGG has it: FullyConnected directly behind a Pooling."""
    from networks import random_model

    net = mx.sym.FullyConnected(mx.sym.Pooling(mx.sym.Variable("data"), kernel=(2, 2), stride=(2, 2), pool_type="max"),
                                num_hidden=14, name="fc")
    model, x = random_model(net, data=(4, 6, 8)), random_input(3, 4, 6, 8)
    bench = Accelerator(model, {"data": (4, 6, 8)})
    faster = bench.accelerate(Plan((Row("fc", "FullyConnected", "fc-tucker", TUCKER.full_rank(bench.specs["fc"])),)))
    assert "fc_maps" not in {node.name for node in faster.graph.nodes}
    assert relative_error(outputs(faster, data=x)[0], outputs(model, data=x)[0]) <= 1e-5
    for cost in ("macs", "original"):
        assert costs.get(cost).chain(bench.specs["fc"], TUCKER.chain(bench.specs["fc"], (2, 3))) == (
            12 * 4 * 2 + 12 * 2 * 3 + 3 * 14)

import math

import numpy as np
import pytest

from accnn import methods, rank_selection
from accnn.core.compat import mx
from accnn.core.errors import AccnnError, TargetError
from accnn.graph.specs import layer_specs
from accnn.planning.accelerator import Accelerator
from networks import chain_model, random_model
from reference import original_recurrence, original_spectrum


def _layers(model, side):
    """Kernels and input sizes of chain_model's convolutions, which all keep the picture's size."""
    return [(model.weight("conv%d_weight" % i), (side, side)) for i in (1, 2, 3)]


@pytest.mark.parametrize("ratio", [1.2, 1.7, 2.0, 3.0, 4.5])
@pytest.mark.parametrize("seed", range(3))
def test_get_ranksel_is_the_originals_recurrence(ratio, seed):
    model = chain_model(seed)
    ranks, _ = original_recurrence(_layers(model, 12), ratio)
    assert rank_selection.get_ranksel(model, ratio) == dict(zip(("conv1", "conv2", "conv3"), ranks))


def test_get_ranksel_counts_strided_layers_by_their_input_as_the_original_did():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(5, 3), stride=(2, 2), num_filter=10, name="a")
    x = mx.sym.Convolution(x, kernel=(3, 3), stride=(1, 2), pad=(1, 1), num_filter=12, name="b")
    model = random_model(x, data=(4, 21, 21))
    layers = [(model.weight("a_weight"), (21, 21)), (model.weight("b_weight"), (9, 10))]
    ranks, _ = original_recurrence(layers, 1.6)
    assert rank_selection.get_ranksel(model, 1.6, {"data": (4, 21, 21)}) == dict(zip("ab", ranks))


@pytest.mark.parametrize("ratio", [1.2, 2.0, 4.0])
def test_dp_reaches_the_originals_objective_or_more(ratio):
    model = chain_model(3)
    _, best = original_recurrence(_layers(model, 12), ratio)
    plan = Accelerator(model).select_ranks(ratio, rank_selection="dp")
    rows = {row.layer: row for row in plan.rows}
    reached = 0
    for i, (weight, _) in enumerate(_layers(model, 12), 1):
        kept = np.cumsum(original_spectrum(weight))
        rank = rows["conv%d" % i].rank or min(len(kept), weight.shape[0])
        reached += math.log(kept[rank - 1])
    assert reached >= best - 1e-9
    assert reached == pytest.approx(plan.made_by["objective"], abs=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 1.05, 1.2, 1.4, 2.0, 3.0])
def test_dp_energy_is_the_best_of_all_plans(ratio):
    """Every combination of the rule's options tried, MACs and energies computed here."""
    model = chain_model(1, widths=(4, 5, 6), side=6)
    plan = Accelerator(model).select_ranks(ratio, rank_selection="dp-energy")
    chosen = {row.layer: row.rank for row in plan.rows}
    options, wholes = [], []
    for i in (1, 2, 3):
        weight = model.weight("conv%d_weight" % i)
        squares = np.cumsum(original_spectrum(weight) ** 2)
        unit = 36 * 3 * (weight.shape[0] + weight.shape[1])
        whole = 36 * weight.size
        some = [(k * unit, math.log(squares[k - 1] / squares[-1])) for k in range(1, len(squares) + 1)
                if k * unit < whole]
        wholes.append(whole)
        options.append(some + [(whole, 0.0)])
    budget = sum(wholes) / ratio
    best = max(a[1] + b[1] + c[1] for a in options[0] for b in options[1] for c in options[2]
               if a[0] + b[0] + c[0] <= budget)
    reached = sum(options[i][-1 if chosen["conv%d" % (i + 1)] is None else chosen["conv%d" % (i + 1)] - 1][1]
                  for i in range(3))
    assert reached == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("rule", ["dp", "dp-energy"])
def test_an_unreachable_ratio_names_the_best_one(rule):
    model = chain_model()
    with pytest.raises(TargetError, match="the best is") as refused:
        Accelerator(model).select_ranks(500.0, rank_selection=rule)
    best = float(str(refused.value).split("the best is ")[1].split("x")[0])
    specs = [spec for spec in layer_specs(model, {"data": (3, 12, 12)}) if spec.op == "Convolution"]
    before = sum(np.prod(s.part.weight_shape) for s in specs)
    after = sum(min(3 * sum(s.part.weight_shape[:2]), np.prod(s.part.weight_shape)) for s in specs)
    assert best == math.floor(100 * before / after) / 100
    Accelerator(model).select_ranks(best, rank_selection=rule)


@pytest.mark.parametrize("ratio", [0.99, 0, -2.0, float("nan"), float("inf"), None, "2", True])
def test_ratios_that_make_no_sense(ratio):
    with pytest.raises(AccnnError, match="ratio"):
        Accelerator(chain_model()).select_ranks(ratio)


def test_ratio_counts_layers_that_stay():
    """Excluding a layer does not lower what is promised: the others make up for it."""
    bench = Accelerator(chain_model())
    for options in ({"exclude": ["conv2"]}, {"layers": ["conv3", "conv2"]}):
        plan = bench.select_ranks(1.5, **options)
        before, after = _macs(bench, plan)
        assert before / after >= 1.5
        left = {row.layer for row in plan.rows if row.method is None}
        assert ("conv2" if "exclude" in options else "conv1") in left


def test_fully_connected_layers_join_when_asked():
    bench = Accelerator(chain_model())
    rows = {row.layer: row for row in bench.select_ranks(1.01, layers=["fc*"], fc=True).rows}
    assert rows["fc1"].method == "fc-svd" and rows["conv1"].reason == "not asked for (`layers`)"
    assert "fc" in {row.layer: row for row in bench.select_ranks(2.0).rows}["fc1"].reason


def _macs(bench, plan):
    from accnn import costs

    macs, before, after = costs.get("macs"), 0, 0
    for row in plan.rows:
        spec = bench.specs[row.layer]
        if spec.op == "Convolution":
            before += macs.layer(spec)
            chain = methods.get(row.method).chain(spec, row.rank) if row.method else (spec.part,)
            after += macs.chain(spec, chain)
    return before, after

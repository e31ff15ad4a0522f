"""Parameters as a cost: what is counted is what lies in the checkpoint that is written."""
import numpy as np
import pytest

from accnn import costs, methods
from accnn.core.errors import TargetError
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.report.plan import summary
from networks import chain_model, random_model, residual_net

PARAMS = costs.get("params")


def stored(model):
    return sum(array.size for array in model.arg_params.values())


@pytest.mark.parametrize("method, layer", [("vh", "conv2"), ("channel", "conv3"), ("3d", "conv2"), ("tucker", "conv3"),
                                           ("cp", "conv2"), ("btd", "conv3"), ("fc-svd", "fc1"), ("fc-tucker", "fc1")])
@pytest.mark.parametrize("place", [0, -1])
def test_the_chain_of_every_method_is_counted_as_it_is_written(method, layer, place):
    bench = Accelerator(chain_model(), {"data": (3, 12, 12)})
    spec, how = bench.specs[layer], methods.get(method)
    rank = how.ranks(spec)[place]
    faster = bench.accelerate(Plan((Row(layer, spec.op, method, rank),)))
    less = PARAMS.layer(spec) - PARAMS.chain(spec, how.chain(spec, rank))
    assert stored(bench.model) - stored(faster) == less != 0


def test_layers_without_bias_have_none():
    bench = Accelerator(random_model(residual_net(), data=(3, 8, 8)), {"data": (3, 8, 8)})
    for spec in bench.layers:
        names = [name for name in (spec.weight, spec.bias) if name]
        assert PARAMS.layer(spec) == sum(bench.model.arg_params[name].size for name in names)
    assert [spec.bias for spec in bench.layers].count(None) == 5


@pytest.mark.parametrize("side", [12, 24])
def test_the_size_of_the_pictures_does_not_matter_to_convolutions(side):
    bench = Accelerator(chain_model(side=side), {"data": (3, side, side)})
    assert PARAMS.layer(bench.specs["conv2"]) == 12 * 8 * 9 + 12


@pytest.mark.parametrize("ratio, fc", [(1.5, False), (2.5, False), (2, True), (6, True)])
def test_a_plan_for_a_smaller_file(ratio, fc):
    bench = Accelerator(chain_model(widths=(16, 24, 32)), {"data": (3, 12, 12)})
    plan = bench.select_ranks(ratio, cost="params", fc=fc)
    faster = bench.accelerate(plan)
    counted = [spec for spec in bench.layers if fc or spec.op == "Convolution"]
    before = sum(bench.model.arg_params[name].size for spec in counted for name in (spec.weight, spec.bias))
    after = before - (stored(bench.model) - stored(faster))
    assert before / after >= ratio and plan.made_by["reached"] == pytest.approx(before / after)
    found = summary(bench, plan)["parameters"]
    assert found["before"] - found["after"] == before - after and plan.made_by["cost"] == "params"
    assert np.isfinite(plan.made_by["objective"])


def test_what_is_out_of_reach_is_told_in_parameters():
    with pytest.raises(TargetError, match=r"900x \(params, over all convolutions\) cannot be reached: the best is"):
        Accelerator(chain_model(), {"data": (3, 12, 12)}).select_ranks(900, cost="params")

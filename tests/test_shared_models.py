"""Real checkpoints: every layer that can be replaced, alone and all together at full rank, gives the same outputs."""
import os

import pytest

from accnn import methods
from accnn.graph.checkpoint import load_model
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from networks import outputs, random_input
from reference import relative_error

MODELS = {
    "vgg16_cifar10": ((3, 32, 32), 16), "squeezenet_v1.0": ((3, 227, 227), 26), "cifar_resnet20": ((3, 32, 32), 20),
    "mtcnn_det1": ((3, 40, 33), 5), "mtcnn_det2": ((3, 24, 24), 6), "mtcnn_det3": ((3, 48, 48), 8),
    "retinaface_mnet_16": ((3, 96, 128), 37),
}


@pytest.mark.parametrize("name", MODELS)
def test_full_rank_parity(shared, name, record_property):
    shape, layers = MODELS[name]
    model = load_model(os.path.join(shared, "models", name))
    # Four pictures, since a softmax that is sure of its class hides errors.
    bench, x = Accelerator(model, {"data": shape}), random_input(4, *shape)
    rows = [Row(s.name, s.op, methods.DEFAULT[s.op], methods.get(methods.DEFAULT[s.op]).full_rank(s))
            for s in bench.specs.values() if not s.refusal]
    assert len(rows) == layers
    wanted, worst = outputs(model, data=x), 0
    for chosen in [(row,) for row in rows] + [tuple(rows)]:
        faster = bench.accelerate(Plan(chosen))
        assert faster.symbol.list_outputs() == model.symbol.list_outputs()
        worst = max([worst] + [relative_error(a, b) for a, b in zip(outputs(faster, data=x), wanted)])
        mine = {row.layer for row in chosen}
        assert all(faster.arg_params[k] is v for k, v in model.arg_params.items()
                   if k.rpartition("_")[0] not in mine and k in faster.arg_params)
        assert set(faster.aux_params) == set(model.aux_params)
    print("%s: %d layers, worst relative error %.1e" % (name, layers, worst))
    assert worst <= 1e-4


@pytest.mark.parametrize("name, shape", [("vgg16_cifar10", (3, 32, 32)), ("mtcnn_det2", (3, 24, 24)),
                                         ("mtcnn_det3", (3, 48, 48)), ("squeezenet_v1.0", (3, 224, 224))])
def test_input_shapes_are_read_from_the_checkpoint(shared, name, shape):
    assert Accelerator(load_model(os.path.join(shared, "models", name))).input_shapes == {"data": shape}


@pytest.mark.parametrize("name", MODELS)
def test_the_ratio_asked_for_is_kept(shared, name):
    from accnn.report import plan as report

    bench = Accelerator(load_model(os.path.join(shared, "models", name)), {"data": MODELS[name][0]})
    plan = bench.select_ranks(1.5)
    assert report.summary(bench, plan)["convolutions"]["ratio"] >= 1.5
    assert plan.made_by["bound"] - plan.made_by["objective"] <= 1e-6

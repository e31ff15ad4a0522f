"""What changed kernels do to the outputs, predicted: against networks that are run, in plain MXNet and NumPy."""
import numpy as np
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.planning.accelerator import Accelerator
from accnn.ranks.curve import measured_ranks
from accnn.reconstruction import estimation
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.quick_fits import Answer, answers_of
from accnn.reconstruction.samples import CalibrationSplit
from accnn.reconstruction.second_order import Change, divergences
from networks import chain_model, outputs, random_input, random_model

SHAPE = (4, 9, 11)
LAYERS = {
    "plain": dict(kernel=(3, 3), num_filter=6, pad=(1, 1)),
    "strided": dict(kernel=(3, 5), num_filter=6, pad=(0, 2), stride=(2, 1), dilate=(1, 2)),
    "grouped": dict(kernel=(3, 3), num_filter=6, num_group=2),
    "depthwise": dict(kernel=(3, 3), num_filter=4, num_group=4, no_bias=True),
    "pointwise": dict(kernel=(1, 1), num_filter=6),
}


def layer_of(kind, **more):
    data = mx.sym.Variable("data")
    if kind == "fully connected":
        return mx.sym.FullyConnected(data, num_hidden=7, name="c")
    return mx.sym.Convolution(data, name="c", **dict(LAYERS[kind], **more))


def dense(spec, weight, bias):
    """A kernel and a bias as one Answer for every group."""
    groups, width = spec.part.patch_shape
    rows = weight.reshape(groups, -1, width)
    return [Answer(one, None, offset) for one, offset in zip(rows, bias.reshape(groups, -1))]


def data_free(candidate, bias, rank):
    """The chain with the factors that need no images."""
    return Replacement(candidate.spec, candidate.chain(rank), candidate.arrays(rank, bias))


@pytest.mark.parametrize("kind", list(LAYERS) + ["fully connected"])
def test_inner_products_are_those_of_the_responses(kind):
    model = random_model(layer_of(kind), data=SHAPE)
    bench = Accelerator(model, {"data": SHAPE})
    spec, x = bench.specs["c"], random_input(5, *SHAPE)
    weight, rng = model.weight(spec.weight), np.random.default_rng(3)
    new, bias = rng.standard_normal((2,) + weight.shape), rng.standard_normal((2, spec.part.outputs))
    own = bench.bias(spec)
    change = Change(spec, weight, own, [dense(spec, *one) for one in zip(new, bias)])
    true = outputs(model, data=x)[0]
    gradient = rng.standard_normal(true.shape).astype(np.float32)
    for number in range(2):
        made = random_model(layer_of(kind, no_bias=False) if kind != "fully connected" else layer_of(kind), data=SHAPE)
        made.arg_params["c_weight"][:] = new[number]
        made.arg_params["c_bias"][:] = bias[number]
        moved = (outputs(made, data=x)[0] - true).reshape(5, -1)
        expected = (moved * gradient.reshape(5, -1)).sum(1)
        np.testing.assert_allclose(change.along(x, gradient)[:, number], expected, rtol=1e-3, atol=1e-3)


def test_exact_where_the_outputs_are_linear_and_their_error_a_square():
    """Unbiased: a thousand images with a direction each tell the mean to a few percent."""
    net = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=6, pad=(1, 1), name="c")
    net = mx.sym.Pooling(mx.sym.Convolution(net, kernel=(3, 3), num_filter=5, name="d"), kernel=(2, 2), pool_type="avg")
    model, x = random_model(net, data=SHAPE), random_input(1000, *SHAPE)
    bench = Accelerator(model, {"data": SHAPE})
    candidate = bench.candidate("c", methods.get("vh"))
    bias, ranks = bench.bias(candidate.spec), (1, 3, 6)
    made = [data_free(candidate, bias, rank) for rank in ranks]
    change = Change(candidate.spec, candidate.weight(), bias, [answers_of(candidate, one) for one in made])
    found = divergences(model, ArrayImages({"data": x}, 64), bench.input_shapes, [change])["c"]
    true = outputs(model, data=x)[0].astype(np.float64)
    for one, value in zip(made, found):
        moved = outputs(replace_layers(model, [one]), data=x)[0] - true
        assert value == pytest.approx(np.square(moved).sum() / np.square(true).sum(), rel=0.15)


def test_a_layer_that_no_output_depends_on():
    data = mx.sym.Variable("data")
    dead = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, pad=(1, 1), name="dead") * 0
    model = random_model(mx.sym.FullyConnected(dead, num_hidden=3, name="f"), data=SHAPE)
    bench = Accelerator(model, {"data": SHAPE})
    candidate = bench.candidate("dead", methods.get("channel"))
    bias = bench.bias(candidate.spec)
    change = Change(candidate.spec, candidate.weight(), bias, [answers_of(candidate, data_free(candidate, bias, 1))])
    images = ArrayImages({"data": random_input(4, *SHAPE)}, 3)
    assert divergences(model, images, bench.input_shapes, [change])["dead"].tolist() == [0.0]


def test_images_count_as_often_as_they_are_weighed():
    bench = Accelerator(chain_model(), {"data": (3, 12, 12)})
    candidate, x = bench.candidate("conv2", methods.get("vh")), random_input(8, 3, 12, 12)
    bias = bench.bias(candidate.spec)
    change = Change(candidate.spec, candidate.weight(), bias, [answers_of(candidate, data_free(candidate, bias, 2))])
    found = [divergences(bench.model, ArrayImages({"data": x[:count]}, 4), bench.input_shapes, [change],
                         weights=weights)["conv2"] for count, weights in ((4, None), (8, np.repeat([3.0, 0.0], 4)))]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_of_wide_layers_no_gram_matrix_of_patches_is_made(monkeypatch):
    real, seen = CalibrationSplit.moments, []
    monkeypatch.setattr(estimation, "_NARROW_PATCH", 30)
    monkeypatch.setattr(CalibrationSplit, "moments",
                        lambda self, *matrix: seen.append((self.width, not matrix)) or real(self, *matrix))
    bench = Accelerator(chain_model(), {"data": (3, 12, 12)})
    bench.responses = Calibrated(bench, ArrayImages({"data": random_input(100, 3, 12, 12)}, 50), ReconstructionConfig())
    bench.responses.curves([bench.candidate(name, methods.get("vh")) for name in ("conv1", "conv2", "conv3")])
    assert {width for width, whole in seen if whole} == {27} < {width for width, _ in seen}
    assert len([width for width, _ in seen if width > 30]) == 2  # once for each of both layers


@pytest.mark.parametrize("method", ["vh", "channel", "3d", "tucker", "cp"])
def test_predictions_rank_splits_as_the_network_does(method):
    """Without measuring: the order of splits of all layers, and their size to a factor."""
    shape = (3, 12, 12)
    bench = Accelerator(chain_model(), {"data": shape})
    images = ArrayImages({"data": random_input(300, *shape)}, 50)
    tables = []
    for measured in (1, 10):
        bench.responses = Calibrated(bench, images, ReconstructionConfig(measured=measured))
        candidates = [bench.candidate(name, methods.get(method)) for name in ("conv1", "conv2", "conv3")
                      if not methods.get(method).refuse(bench.specs[name])]
        tables.append(bench.responses.curves(candidates))
    pairs = [(tables[0][key].at(rank), tables[1][key].at(rank)) for key in tables[0]
             for rank in measured_ranks(bench.candidate(key[0], methods.get(method)))]
    predicted, measured = np.log(np.array(pairs)).T
    order = [np.argsort(np.argsort(values)) for values in (predicted, measured)]
    assert np.corrcoef(*order)[0, 1] > 0.85
    assert np.percentile(np.abs(predicted - measured), 90) < np.log(2.5)

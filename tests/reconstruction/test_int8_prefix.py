"""Layers solved anew behind an INT8 prefix, against plain NumPy on what the INT8 network really computes."""
import numpy as np

from accnn.core.compat import mx
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.graph.specs import kernel, layer_specs
from accnn.methods import get
from accnn.quantization.choice import ranges
from accnn.quantization.histograms import histograms
from accnn.quantization.int8_graph import quantize
from accnn.reconstruction import int8_prefix
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.int8_prefix import Settings, resolve
from accnn.runtime.predictor import Predictor
from networks import chain_model, outputs, random_input, random_model

SHAPES = {"data": (3, 12, 12)}
PICTURES = random_input(240, 3, 12, 12)
IMAGES = ArrayImages({"data": PICTURES}, 60)


def split(model, name="conv2", rank=6):
    """The model with one convolution split without data."""
    spec = {spec.name: spec for spec in layer_specs(model, SHAPES)}[name]
    weight, method = kernel(model, spec), get("vh")
    arrays = method.arrays(method.decompose(weight, spec), weight, model.weight(spec.bias), spec, rank)
    return replace_layers(model, [Replacement(spec, method.chain(spec, rank), arrays)])


def thresholds(model, kind="mse"):
    return ranges(histograms(model, IMAGES, SHAPES), kind)


def distance(model, truth, exclude=()):
    x = random_input(200, 3, 12, 12, seed=9)
    made = Predictor(quantize(model, thresholds(model), exclude), SHAPES, 200).forward(mx.nd.array(x))[0].asnumpy()
    return np.square(made - outputs(truth, data=x)[0]).sum()


def test_a_chain_comes_nearer_to_the_original():
    model = chain_model()
    plan = split(model)
    made, errors = resolve(plan, model, IMAGES, SHAPES, thresholds(plan))
    assert errors["conv2"][1] < 0.7 * errors["conv2"][0]
    assert all(after <= before for before, after in errors.values())
    assert distance(made, model) < distance(plan, model)
    assert made.graph is plan.graph and set(made.arg_params) == set(plan.arg_params)


def test_rounding_anew_brings_int8_nearer_to_its_own_float32():
    model = chain_model(widths=(16, 24, 24))
    made, errors = resolve(model, model, IMAGES, SHAPES, thresholds(model), settings=Settings(30, solve=False))
    assert set(errors) == {"conv1", "conv2", "conv3", "fc1", "fc2"}
    assert distance(made, model) < distance(model, model)


def residual():
    data = mx.sym.Variable("data")
    x = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=8, no_bias=True, name="first")
    x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, name="norm"), act_type="relu")
    y = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=8, no_bias=True, name="second")
    x = mx.sym.Activation(mx.sym.BatchNorm(y, fix_gamma=False, name="norm2") + x, act_type="relu")
    x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=8, num_group=4, name="third")
    return random_model(mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=5, name="fc"), 0, data=(3, 12, 12))


def test_batchnorm_takes_the_bias_and_groups_are_fitted_alone():
    model = residual()
    made, errors = resolve(model, model, IMAGES, SHAPES, thresholds(model), settings=Settings(30, solve=False))
    assert set(errors) == {"first", "second", "third", "fc"}
    assert all(np.isfinite(pair).all() and pair[1] <= pair[0] for pair in errors.values())
    x = random_input(20, 3, 12, 12, seed=4)
    np.testing.assert_allclose(outputs(made, data=x)[0], outputs(model, data=x)[0], atol=0.05)


def test_layers_in_float32_are_read_as_such():
    model, kept = chain_model(), ["conv1", "conv2", "conv3_v", "conv3_h", "fc1"]
    plan = split(model, "conv3")
    _, errors = resolve(plan, model, IMAGES, SHAPES, ranges(histograms(plan, IMAGES, SHAPES, every=True), "mse"),
                        exclude=kept, settings=Settings(solve=False))
    assert errors["conv1"][0] < 1e-3 and errors["conv2"][0] < 1e-3


def test_layers_that_read_nothing_of_int8_are_not_looked_at():
    model, layers = chain_model(), ["conv1", "conv2", "conv3", "fc1", "fc2"]
    found = ranges(histograms(model, IMAGES, SHAPES, every=True), "mse")
    for exclude, looked_at in ((layers[:2], layers[2:]), (layers[1:], layers), (layers, [])):
        made, errors = resolve(model, model, IMAGES, SHAPES, found, exclude, Settings(solve=False))
        assert set(errors) == set(looked_at) and (made is model) == (not looked_at)


def test_fully_connected_layers_that_read_maps():
    x = mx.sym.Activation(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=8, name="conv"),
                          act_type="relu")
    model = random_model(mx.sym.FullyConnected(x, num_hidden=5, name="fc"), 0, data=(3, 12, 12))
    found = ranges(histograms(model, IMAGES, SHAPES, every=True), "mse")
    for exclude, looked_at in (((), {"conv", "fc"}), (("fc",), {"conv", "fc"}), (("conv",), {"fc"})):
        assert set(resolve(model, model, IMAGES, SHAPES, found, exclude)[1]) == looked_at


def test_scaled_outputs_are_compared_as_such():
    model = chain_model()
    scales = np.linspace(0.5, 2, 8)
    arrays = dict(model.arg_params)
    arrays["conv1_weight"] = mx.nd.array(model.weight("conv1_weight") / scales.reshape(-1, 1, 1, 1))
    arrays["conv1_bias"] = mx.nd.array(model.weight("conv1_bias") / scales)
    arrays["conv2_weight"] = mx.nd.array(model.weight("conv2_weight") * scales.reshape(1, -1, 1, 1))
    scaled = type(model)(model.graph, arrays, model.aux_params)
    _, errors = resolve(scaled, model, IMAGES, SHAPES, thresholds(scaled), settings=Settings(scales={"conv1": scales}))
    assert errors["conv1"][0] < 1e-3
    _, wrong = resolve(scaled, model, IMAGES, SHAPES, thresholds(scaled))
    assert wrong["conv1"][0] > 0.01


def test_wide_patches_get_a_bias_only(monkeypatch):
    model = chain_model(widths=(16, 24, 24))
    monkeypatch.setattr(int8_prefix, "_WIDEST", 10)
    made, errors = resolve(model, model, IMAGES, SHAPES, thresholds(model), settings=Settings(30, solve=False))
    assert any(after < before for before, after in errors.values())
    for name in model.arg_params:
        changed = (made.weight(name) != model.weight(name)).any()
        assert not changed or name.endswith("_bias")

"""--num-classes: a new last layer, and not one bit of anything else."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import load_plan
from accnn.scoring.heads import class_head
from accnn.training.classifier import with_classes
from networks import chain_model, outputs, random_input, random_model
from trainers import SHAPE, arrays, same, small_model, small_net, train, trainer

HEADS = ["SoftmaxOutput", "scores", "softmax", "log_softmax", "Flatten", "_copy", "scores, Flatten", "BlockGrad"]


def given(model, classes, shape, output=None, seed=0):
    return with_classes(model, class_head(model, {"data": shape}, output), {"data": shape}, classes, seed)


def check(model, shape, layer, classes=9, output=None):
    """`layer` is new and fits, everything else is as it was."""
    before = {name: array.tobytes() for name, array in arrays(model).items()}
    changed = given(model, classes, shape, output)
    new = {layer + "_weight", layer + "_bias"} & set(before)
    assert list(changed.arg_params) == list(model.arg_params)
    for name, array in arrays(changed).items():
        assert before[name] == arrays(model)[name].tobytes()
        if name in new:
            assert array.shape == (classes,) + arrays(model)[name].shape[1:]
            assert array.dtype == arrays(model)[name].dtype
        else:
            assert array.tobytes() == before[name], name
    assert class_head(changed, {"data": shape}, output).classes == classes
    assert outputs(changed, data=random_input(2, *shape))[0].reshape(2, -1).shape == (2, classes)
    return changed


@pytest.mark.parametrize("end", HEADS)
def test_a_fully_connected_layer_under_every_head(end):
    changed = check(small_model(end), SHAPE, "fc")
    assert not arrays(changed)["fc_bias"].any()
    train(trainer(changed), classes=9)


def test_a_convolution_as_in_squeezenet():
    x = small_net("scores").get_internals()["relu_output"]
    x = mx.sym.Convolution(x, kernel=(1, 1), num_filter=7, name="conv10")
    x = mx.sym.Pooling(mx.sym.Activation(x, act_type="relu"), global_pool=True, kernel=(2, 2), pool_type="avg")
    check(random_model(mx.sym.SoftmaxOutput(mx.sym.Flatten(x), name="softmax"), data=SHAPE), SHAPE, "conv10")


def test_the_second_half_of_a_split_layer(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"conv_params": {}, "fc_params": {"fc2": 2}}')
    model = Accelerator(chain_model()).accelerate(load_plan(str(config)))
    assert {"fc2_red_weight", "fc2_rec_weight"} <= set(model.arg_params)
    check(model, (3, 12, 12), "fc2_rec")


def test_without_a_bias_and_with_hints_of_the_old_shape():
    weight = mx.sym.Variable("fc_weight", shape=(5, 90), init=mx.init.Zero())
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), weight, num_hidden=5, no_bias=True, name="fc")
    check(random_model(x, data=SHAPE), SHAPE, "fc")


def test_one_of_two_heads():
    x = mx.sym.Flatten(mx.sym.Variable("data"))
    symbol = mx.sym.Group([mx.sym.softmax(mx.sym.FullyConnected(x, num_hidden=n, name=name), name=name + "_prob")
                           for name, n in (("a", 4), ("b", 6))])
    changed = check(random_model(symbol, data=SHAPE), SHAPE, "a", output="a_prob")
    assert outputs(changed, data=random_input(1, *SHAPE))[1].shape == (1, 6)


def test_the_seed_decides():
    model = small_model()
    first, again, other = (given(model, 9, SHAPE, seed=seed) for seed in (1, 1, 2))
    assert same(first, again) == set(arrays(model)) and "fc_weight" not in same(first, other)
    assert np.std(arrays(first)["fc_weight"]) == pytest.approx(np.sqrt(2 / 12), rel=0.3)


RELU = small_net("scores").get_internals()["relu_output"]


def features():
    return mx.sym.Flatten(RELU)


def layer(x, name, **how):
    return mx.sym.FullyConnected(x, num_hidden=4, name=name, no_bias=True, **how)


def scaled_rows(weight):
    """Weight normalisation: rows of length 1, each times a number of its own."""
    return mx.sym.broadcast_mul(mx.sym.L2Normalization(weight, name="l2"), mx.sym.Variable("scale", shape=(4, 1)))


def conv_features():
    return mx.sym.Convolution(RELU, kernel=(1, 1), num_filter=4, name="last")


# Between the last layer and the output, or the weight and the layer: what is new, and whether the seed moves it.
BETWEEN = {
    "Reshape": (lambda: mx.sym.Reshape(layer(features(), "a"), shape=(-1, 4)), {"a_weight"}),
    "Reshape twice": (lambda: mx.sym.Reshape(mx.sym.Reshape(layer(features(), "a"), shape=(0, 4, 1, 1)), shape=(-1, 4)),
                      {"a_weight"}),
    "Reshape of the batch": (lambda: mx.sym.Reshape(layer(features(), "a"), shape=(0, -1)), {"a_weight"}),
    "times 2": (lambda: layer(features(), "a") * 2, {"a_weight"}),
    "clip": (lambda: mx.sym.clip(layer(features(), "a"), a_min=-5, a_max=5), {"a_weight"}),
    "transpose": (lambda: mx.sym.transpose(mx.sym.transpose(layer(features(), "a"))), {"a_weight"}),
    "max": (lambda: mx.sym.max(conv_features(), axis=(2, 3)), {"last_weight", "last_bias"}),
    "transpose and mean": (lambda: mx.sym.mean(mx.sym.transpose(conv_features(), axes=(0, 2, 3, 1)), axis=(1, 2)),
                           {"last_weight", "last_bias"}),
    "mean of two": (lambda: (layer(features(), "a") + layer(mx.sym.tanh(features()), "b")) / 2,
                    {"a_weight", "b_weight"}),
    "gated by one of as many filters": (
        lambda: mx.sym.broadcast_mul(layer(features(), "a"), mx.sym.mean(mx.sym.Flatten(conv_features()), axis=1,
                                                                         keepdims=True)), {"a_weight"}),
    "unit rows": (lambda: layer(features(), "a", weight=mx.sym.L2Normalization(mx.sym.Variable("w", shape=(4, 12)))),
                  {"w"}),
    "scaled rows": (lambda: layer(features(), "a", weight=scaled_rows(mx.sym.Variable("w", shape=(4, 12)))),
                    {"w", "scale"}),
    "cast": (lambda: layer(features(), "a", weight=mx.sym.Cast(mx.sym.Variable("w", shape=(4, 12), dtype="float32"),
                                                                   dtype="float32")),
             {"w"}),
    "stored the other way": (lambda: layer(features(), "a", weight=mx.sym.transpose(mx.sym.Variable(
        "w", shape=(12, 4)))), {"w"}),
    "two factors": (lambda: layer(features(), "a", weight=mx.sym.dot(mx.sym.Variable("u", shape=(4, 3)),
                                                                     mx.sym.Variable("v", shape=(3, 12)))), {"u"}),
    "spelt for the weight": (lambda: layer(features(), "a", weight=mx.sym.Reshape(mx.sym.Variable(
        "w", shape=(4, 6, 2)), shape=(4, 12))), {"w"}),
}


@pytest.mark.parametrize("classes", [4, 8, 9])
@pytest.mark.parametrize("kind", BETWEEN)
def test_what_infers_with_other_classes(kind, classes):
    made, new = BETWEEN[kind]
    model = random_model(mx.sym.SoftmaxOutput(made(), name="softmax"), data=SHAPE)
    changed, before = given(model, classes, SHAPE), arrays(model)
    assert {name for name, array in arrays(changed).items() if array.shape != before[name].shape or
            array.tobytes() != before[name].tobytes()} == new
    assert class_head(changed, {"data": SHAPE}).classes == classes
    said = outputs(changed, data=random_input(3, *SHAPE))[0]
    assert said.shape == (3, classes) and np.ptp(said, axis=1).min() > 1e-4
    if kind == "scaled rows":
        assert np.allclose(arrays(changed)["scale"], before["scale"].mean())
    made = trainer(changed, lr=0.01)
    train(made, classes=classes)
    assert not new & same(made.model(), changed)


@pytest.mark.parametrize("end, operator", [
    (lambda x: mx.sym.broadcast_add(x, mx.sym.Variable("prior", shape=(1, 4)), name="tied"), r"tied \(broadcast_add\)"),
    (lambda x: mx.sym.Concat(x, x), "gives 4 numbers for the 8 classes"),
    (lambda x: mx.sym.slice_axis(x, axis=1, begin=0, end=4, name="tied"), r"tied \(slice_axis\)"),
    (lambda x: mx.sym.BatchNorm(x, name="tied"), r"tied \(BatchNorm\)"),
    (lambda x: mx.sym.Concat(*mx.sym.SliceChannel(x, num_outputs=4, name="tied")), r"tied \(SliceChannel\)"),
    (lambda x: mx.sym.one_hot(mx.sym.argmax(x, axis=1), depth=4, name="tied"), r"tied \(one_hot\)"),
])
def test_what_is_tied_to_the_old_classes(end, operator):
    model = random_model(mx.sym.softmax(end(small_net("scores"))), data=SHAPE)
    with pytest.raises(AccnnError, match="%s.* tied to the old classes" % operator):
        given(model, 9, SHAPE)


def test_as_many_classes_as_before_fit_what_is_tied():
    model = random_model(mx.sym.softmax(mx.sym.BatchNorm(small_net("scores"), name="bn")), data=SHAPE)
    assert set(arrays(model)) - same(given(model, 4, SHAPE), model) == {"fc_weight", "fc_bias"}


def test_another_output_that_is_tied():
    scores = small_net("scores")
    model = random_model(mx.sym.Group([mx.sym.softmax(scores, name="prob"), mx.sym.broadcast_add(
        scores, mx.sym.Variable("prior", shape=(1, 4)))]), data=SHAPE)
    with pytest.raises(AccnnError, match="another output .* tied to the old classes of its last layer fc"):
        given(model, 9, SHAPE, "prob")


def test_groups_of_the_last_layer():
    x = small_net("scores").get_internals()["relu_output"]
    x = mx.sym.Convolution(mx.sym.Concat(x, x), kernel=(2, 2), num_filter=4, num_group=2, name="conv10")
    model = random_model(mx.sym.softmax(mx.sym.Flatten(x)), data=SHAPE)
    check(model, SHAPE, "conv10", classes=6)
    with pytest.raises(AccnnError, match=r"conv10 \(Convolution\).*tied to the old classes"):
        given(model, 9, SHAPE)


def test_a_weight_that_another_layer_reads_too():
    data, weight = mx.sym.Flatten(mx.sym.Variable("data")), mx.sym.Variable("shared_weight")
    symbol = mx.sym.Group([mx.sym.FullyConnected(data, weight, num_hidden=4, no_bias=True, name=name) for name in "ab"])
    with pytest.raises(AccnnError, match="shares shared_weight with another layer"):
        given(random_model(symbol, data=SHAPE), 9, SHAPE, "a")
    weight = mx.sym.L2Normalization(mx.sym.Variable("shared_weight", shape=(4, 90)), name="l2")
    symbol = mx.sym.Group([layer(data, "a", weight=weight), layer(data, "b", weight=weight * 2)])
    with pytest.raises(AccnnError, match="shares l2 with another layer"):
        given(random_model(symbol, data=SHAPE), 9, SHAPE, "a")


def test_no_layer_at_all():
    model = random_model(mx.sym.softmax(mx.sym.Flatten(mx.sym.Pooling(
        mx.sym.Variable("data"), global_pool=True, kernel=(1, 1), pool_type="avg"))), data=SHAPE)
    with pytest.raises(AccnnError, match="`classes`: "):
        given(model, 9, SHAPE)

"""--num-classes: a new last layer, and not one bit of anything else."""
import numpy as np
import pytest

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.plan import load_plan
from accnn.scoring.heads import class_head
from accnn.training.classifier import with_classes
from accnn.workbench import Workbench
from networks import chain_model, outputs, random_input, random_model
from trainers import SHAPE, arrays, same, small_model, small_net, train, trainer

HEADS = ["SoftmaxOutput", "scores", "softmax", "log_softmax", "Flatten", "_copy", "scores, Flatten", "BlockGrad"]


def given(model, classes, shape, output=None, seed=0):
    return with_classes(model, class_head(model, {"data": shape}, output), classes, seed)


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
    model = Workbench(chain_model()).accelerate(load_plan(str(config)))
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


@pytest.mark.parametrize("end", [
    lambda x: mx.sym.softmax(mx.sym.broadcast_add(x, mx.sym.Variable("prior", shape=(1, 4)))),
    lambda x: mx.sym.softmax(mx.sym.Concat(x, x)),
])
def test_what_is_tied_to_the_old_classes(end):
    model = random_model(end(small_net("scores")), data=SHAPE)
    with pytest.raises(AccnnError, match="tied to the old classes"):
        given(model, 9, SHAPE)


def test_a_reshape_with_the_old_number_of_classes():
    model = random_model(mx.sym.softmax(mx.sym.Reshape(small_net("scores"), shape=(-1, 4))), data=SHAPE)
    with pytest.raises(AccnnError):
        class_head(given(model, 9, SHAPE), {"data": SHAPE})


def test_a_weight_that_another_layer_reads_too():
    data, weight = mx.sym.Flatten(mx.sym.Variable("data")), mx.sym.Variable("shared_weight")
    symbol = mx.sym.Group([mx.sym.FullyConnected(data, weight, num_hidden=4, no_bias=True, name=name) for name in "ab"])
    with pytest.raises(AccnnError, match="shared_weight|share"):
        given(random_model(symbol, data=SHAPE), 9, SHAPE, "a")


def test_no_layer_at_all():
    model = random_model(mx.sym.softmax(mx.sym.Flatten(mx.sym.Pooling(
        mx.sym.Variable("data"), global_pool=True, kernel=(1, 1), pool_type="avg"))), data=SHAPE)
    with pytest.raises(AccnnError, match="--num-classes"):
        given(model, 9, SHAPE)

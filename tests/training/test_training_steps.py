"""One step and the next against plain NumPy: forward by loops, gradients by differences in double precision."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.runtime.distributed import Job
from accnn.scoring.heads import class_head
from accnn.training.objective import Distillation, Teacher, check_trainable
from networks import chain_model, random_model, residual_net
from reference import convolve
from trainers import BATCH, CLASSES, SHAPE, arrays, batch, ended, same, small_model, small_net, train, trainer

HEADS = ["scores", "softmax", "log_softmax", "SoftmaxActivation", "Flatten", "_copy", "scores, Flatten", "BlockGrad"]


def scores(values, images):
    """Of :func:`trainers.small_net`, in float64."""
    hidden = np.maximum(convolve(images, values["conv_weight"], values["conv_bias"], stride=(2, 2)), 0)
    return hidden.reshape(len(images), -1) @ values["fc_weight"].T + values["fc_bias"]


def log_softmax(values):
    values = values - values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def loss(values, images, labels, taught=None, weight=0.0, temperature=1.0):
    """(1 - w) H(y, p) + w T^2 H(q_T, p_T), the mean over a batch; `taught` are the teacher's scores."""
    mine = scores(values, images)
    hard = -log_softmax(mine)[np.arange(len(labels)), labels].mean()
    if taught is None:
        return hard
    soft = -(np.exp(log_softmax(taught / temperature)) * log_softmax(mine / temperature)).sum(axis=1).mean()
    return (1 - weight) * hard + weight * temperature ** 2 * soft


def gradients(values, *how, step=1e-5):
    """Central differences."""
    found = {}
    for name, array in values.items():
        found[name] = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept = array[place]
            sides = []
            for side in (kept + step, kept - step):
                array[place] = side
                sides.append(loss(values, *how))
            array[place] = kept
            found[name][place] = (sides[0] - sides[1]) / (2 * step)
    return found


def descend(model, steps, lr, mom, wd, teacher=None, *distillation):
    """Parameters after steps of SGD; weight decay spares biases."""
    values = {name: array.astype(np.float64) for name, array in arrays(model).items()}
    speed = {name: np.zeros_like(array) for name, array in values.items()}
    taught = teacher and {name: array.astype(np.float64) for name, array in arrays(teacher).items()}
    for number in range(steps):
        images, labels = batch(number)
        images = images.astype(np.float64)
        slopes = gradients(values, images, labels, scores(taught, images) if taught else None, *distillation)
        for name in values:
            decay = wd if name.endswith("_weight") else 0.0
            speed[name] = mom * speed[name] - lr * (slopes[name] + decay * values[name])
            values[name] = values[name] + speed[name]
    return values


def close(found, wanted, start, tolerance=2e-4):
    """Updates agree, relative to their size."""
    for name, before in arrays(start).items():
        update, true = found[name] - before, wanted[name] - before
        assert np.abs(true).max() > 1e-4
        np.testing.assert_allclose(update, true, atol=tolerance * np.abs(true).max(), err_msg=name)


@pytest.mark.parametrize("mom, wd", [(0.0, 0.0), (0.9, 0.0), (0.9, 0.05)])
def test_steps_with_momentum_and_weight_decay(mom, wd):
    model = small_model()
    made = trainer(model, lr=0.2, mom=mom, wd=wd)
    said = train(made, 3)
    wanted = descend(model, 3, 0.2, mom, wd)
    close(arrays(made.model()), wanted, model)
    images, _ = batch(0)
    np.testing.assert_allclose(said[0], np.exp(log_softmax(scores(arrays(model), images))), rtol=1e-4)


@pytest.mark.parametrize("weight, temperature", [(0.4, 3.0), (1.0, 2.0), (0.9, 1.0)])
def test_distillation(weight, temperature):
    model, teacher = small_model(), small_model(seed=7)
    head = class_head(teacher, {"data": SHAPE})
    made = trainer(model, teacher=Teacher(teacher, head, {"data": SHAPE}, BATCH, [mx.cpu()],
                                          Distillation(weight, temperature)))
    train(made, 2)
    close(arrays(made.model()), descend(model, 2, 0.1, 0.9, 0.01, teacher, weight, temperature), model)


@pytest.mark.parametrize("end", HEADS)
def test_the_form_of_the_head_does_not_matter(end):
    """The same parameters under another head make the same step, bit for bit, and the head stays what it was."""
    plain = trainer(small_model())
    model = small_model(end)
    made = trainer(model)
    assert np.array_equal(train(made, 2), train(plain, 2))
    assert same(made.model(), plain.model()) == set(arrays(model))
    assert made.model().symbol.tojson() == model.symbol.tojson()


def test_a_convolution_as_the_last_layer():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=SHAPE[1:], num_filter=CLASSES, name="conv")
    end = random_model(mx.sym.softmax(x, axis=1, name="prob"), data=SHAPE)
    flat = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=CLASSES, name="conv")
    other = random_model(mx.sym.SoftmaxOutput(flat, name="softmax"), data=SHAPE)
    ends, others = trainer(end), trainer(other)
    np.testing.assert_allclose(train(ends, 3), train(others, 3), atol=1e-5)


def two_heads():
    x = mx.sym.Activation(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=3, name="conv"),
                          act_type="relu")
    first = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=CLASSES, name="a"), name="first")
    second = mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(x, num_hidden=2, name="b"), name="second")
    return random_model(mx.sym.Group([first, second]), data=SHAPE)


def test_of_two_heads_one_is_trained():
    model = two_heads()
    made = trainer(model, output="first")
    train(made, 2)
    assert same(made.model(), model) == {"b_weight", "b_bias"}
    assert made.model().symbol.list_outputs() == ["first_output", "second_output"]
    assert list(made.model().arg_params) == list(model.arg_params)


def test_parameters_that_nothing_reads_are_kept():
    model = small_model()
    model.arg_params["ours"] = mx.nd.ones((2, 2))
    made = trainer(model)
    train(made)
    assert same(made.model(), model) == {"ours"}


@pytest.mark.parametrize("patterns, layers", [
    (["stem"], ["stem"]), (["unit0*"], ["unit0a", "unit0b", "unit0a_bn", "unit0b_bn"]),
    (["*_bn"], ["unit0a_bn", "unit0b_bn", "unit1a_bn", "unit1b_bn"]), (["fc_bias", "unit1a_weight"], []),
])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_frozen_layers_stay_and_all_others_move(patterns, layers, rule):
    from accnn.training.frozen import frozen_parameters

    model = random_model(residual_net(), data=(3, 8, 8))
    frozen = frozen_parameters(model, patterns, set(model.arg_params))
    made = trainer(model, (3, 8, 8), frozen=frozen, rule=rule)
    train(made, 3, shape=(3, 8, 8))
    stay = {name for name in arrays(model) if name.rsplit("_moving", 1)[0] in layers or
            name.rsplit("_", 1)[0] in layers or name in patterns}
    assert stay and same(made.model(), model) == stay
    assert made.model().symbol.tojson() == model.symbol.tojson()


NORMALISING = {"BatchNorm": mx.sym.BatchNorm, "BatchNorm_v1": mx.sym.BatchNorm_v1,
               "BatchNormWithReLU": mx.sym.contrib.BatchNormWithReLU,
               "SyncBatchNorm": lambda x, **how: mx.sym.contrib.SyncBatchNorm(x, key="frozen", ndev=1, **how)}


@pytest.mark.parametrize("kind", NORMALISING)
def test_statistics_of_every_kind_stay_with_what_is_frozen(kind):
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=4, no_bias=True, name="conv")
    x = NORMALISING[kind](x, fix_gamma=False, name="bn")
    model = random_model(mx.sym.softmax(mx.sym.FullyConnected(x, num_hidden=CLASSES, name="fc")), data=SHAPE)
    frozen = {"bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var"}
    for names, stay in (({"bn_gamma", "bn_beta"}, frozen), (set(), set())):
        made = trainer(model, frozen=sorted(names))
        train(made, 2)
        assert same(made.model(), model) == stay


def test_a_pattern_that_matches_nothing_or_everything():
    from accnn.training.frozen import frozen_parameters

    model = two_heads()
    with pytest.raises(AccnnError, match="`patterns=con` matches no layer.*conv"):
        frozen_parameters(model, ["con"], set(model.arg_params))
    with pytest.raises(AccnnError, match="leaves nothing"):
        frozen_parameters(model, ["conv*", "a"], {"data", "conv_weight", "conv_bias", "a_weight", "a_bias"})


@pytest.mark.parametrize("loss", ["LinearRegressionOutput", "LogisticRegressionOutput", "SVMOutput", "MakeLoss"])
def test_losses_of_another_kind_are_refused(loss):
    model = random_model(getattr(mx.sym, loss)(small_net("scores"), name="other"), data=SHAPE)
    with pytest.raises(AccnnError, match=r"\(%s\): only cross-entropy" % loss):
        check_trainable(model, class_head(model, {"data": SHAPE}), ["data"])


def test_a_second_input_is_refused():
    model = random_model(ended(small_net("scores") + mx.sym.Variable("more", shape=(1, CLASSES)), "softmax"),
                         data=SHAPE, more=(CLASSES,))
    with pytest.raises(AccnnError, match="needs 'more'"):
        check_trainable(model, class_head(model, {"data": SHAPE, "more": (CLASSES,)}), ["data"])


def test_dropout_is_drawn_anew_at_every_step_but_the_same_again():
    model = small_model(dropout=0.5)
    makers = [trainer(model, seed=seed) for seed in (1, 1, 2)]
    said = [train(made, 2) for made in makers]
    assert np.array_equal(said[0], said[1]) and not np.array_equal(said[0], said[2])
    images, labels = (mx.nd.array(array) for array in batch(0))
    still = trainer(model, lr=1e-30, mom=0.0)
    first, second, again = (still.step(images, labels, *place).probabilities.asnumpy()
                            for place in ((1, 0), (1, 1), (1, 0)))
    assert np.array_equal(first, again) and not np.array_equal(first, second)


def test_another_dropout():
    model = small_model(dropout=0.9)
    none = trainer(model, dropout=0.0)
    assert np.array_equal(train(none, 3), train(trainer(small_model()), 3))
    assert none.model().symbol.tojson() == model.symbol.tojson()


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_two_devices_train_as_one(rule, monkeypatch):
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")  # as open_job does
    one, two = (trainer(chain_model(), (3, 12, 12), contexts=devices, rule=rule, lr=1e-3)
                for devices in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]))
    for made in (one, two):
        train(made, 3, shape=(3, 12, 12))
    for name, array in arrays(one.model()).items():
        np.testing.assert_allclose(arrays(two.model())[name], array, atol=1e-5, err_msg=name)
    kept = {kind: {name: array.copy() for name, array in some.items()} for kind, some in two.arrays().items()}
    again = trainer(chain_model(), (3, 12, 12), contexts=[mx.cpu(0), mx.cpu(1)], rule=rule, lr=1e-3)
    again.restore(kept, two.updates())
    for made in (two, again):
        train(made, 2, shape=(3, 12, 12))
    assert same(two.model(), again.model()) == set(arrays(two.model()))


def test_a_size_fixed_inside_the_network_is_told():
    x = mx.sym.FullyConnected(mx.sym.Reshape(mx.sym.Variable("data"), shape=(1, -1)), num_hidden=CLASSES, name="fc")
    model = random_model(mx.sym.SoftmaxOutput(x, name="softmax"), data=SHAPE)
    with pytest.raises(AccnnError, match="batches of 8"):
        trainer(model)


def test_a_job_of_one():
    job = Job()
    assert job.leads and job.total(3) == 3 and job.total(2.5) == 2.5

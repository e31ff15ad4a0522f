"""What a network's own SoftmaxOutput says of its gradient, against plain NumPy."""
import numpy as np
import pytest
from scipy.special import softmax

from accnn import fine_tune
from accnn.core.compat import mx
from accnn.scoring.heads import class_head
from accnn.training.objective import Distillation, Teacher
from accnn.training.own_loss import OwnLoss, own_loss
from networks import random_model, saved
from pictures import items, packed
from reference import convolve
from trainers import BATCH, CLASSES, SHAPE, arrays, batch, small_model, small_net, train, trainer

RATE = 0.2
LOSSES = [
    dict(grad_scale=0.25), dict(smooth_alpha=0.1), dict(grad_scale=3, smooth_alpha=0.3),
    dict(use_ignore=True, ignore_label=2), dict(use_ignore=True, ignore_label=0, smooth_alpha=0.2, grad_scale=0.5),
    dict(ignore_label=2), dict(multi_output=True, smooth_alpha=0.1, grad_scale=2), dict(preserve_shape=True),
    dict(normalization="batch"), dict(normalization="valid", use_ignore=True, ignore_label=1, grad_scale=2),
]


def model_with(seed=0, **how):
    return random_model(mx.sym.SoftmaxOutput(small_net("scores"), name="softmax", **how), seed, data=SHAPE)


def hidden(values, images):
    found = convolve(images.astype(np.float64), values["conv_weight"], values["conv_bias"], stride=(2, 2))
    return np.maximum(found, 0).reshape(len(images), -1)


def scores(values, images):
    return hidden(values, images) @ values["fc_weight"].astype(np.float64).T + values["fc_bias"]


def slopes(values, grad_scale=1.0, smooth_alpha=0.0, use_ignore=False, ignore_label=-1, multi_output=False,
           **_without_meaning):
    """Gradient of the loss of the first batch with respect to the class scores, of shape (batch, classes)."""
    images, labels = batch(0)
    alpha = 0.0 if multi_output else smooth_alpha  # as MXNet does it
    target = np.full((BATCH, CLASSES), alpha / (CLASSES - 1))
    target[np.arange(BATCH), labels] = 1 - alpha
    found = softmax(scores(values, images), axis=1) - target
    found[labels == (ignore_label if use_ignore else None)] = 0
    return grad_scale * found / BATCH


def check_step(made, model, wanted):
    """The last layer made the step of a gradient with respect to its scores."""
    before, after = arrays(model), arrays(made.model())
    images, _ = batch(0)
    for name, slope in (("fc_bias", wanted.sum(axis=0)), ("fc_weight", wanted.T @ hidden(before, images))):
        np.testing.assert_allclose(after[name] - before[name], -RATE * slope, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("how", LOSSES, ids=str)
def test_a_step(how):
    model = model_with(**how)
    made = trainer(model, lr=RATE, mom=0.0, wd=0.0)
    said = train(made)
    check_step(made, model, slopes(arrays(model), **how))
    np.testing.assert_allclose(said[0], softmax(scores(arrays(model), batch(0)[0]), axis=1), atol=1e-6)


def test_the_scale_is_that_of_the_teachers_part_too():
    model, other, how = model_with(grad_scale=0.5, smooth_alpha=0.1), small_model(seed=7), Distillation(0.6, 3.0)
    made = trainer(model, lr=RATE, mom=0.0, wd=0.0, teacher=Teacher(
        other, class_head(other, {"data": SHAPE}), {"data": SHAPE}, BATCH, [mx.cpu()], how))
    train(made)
    mine, taught = (softmax(scores(arrays(some), batch(0)[0]) / 3.0, axis=1) for some in (model, other))
    soft = 0.5 * 0.6 * 3.0 * (mine - taught) / BATCH
    check_step(made, model, 0.4 * slopes(arrays(model), 0.5, 0.1) + soft)


@pytest.mark.parametrize("how, says", [
    ({}, None), (dict(ignore_label=3, preserve_shape=True), None), (dict(multi_output=True, smooth_alpha=0.1), None),
    (dict(grad_scale=0.5, smooth_alpha=0.1), "the loss softmax: its grad_scale=0.5 and smooth_alpha=0.1 kept"),
    (dict(use_ignore=True, normalization="valid"), "the loss softmax: its ignore_label=-1 kept; normalization=valid is "
                                                   "not taken over, a step is the mean over its batch"),
])
def test_what_is_said(how, says):
    model = model_with(**how)
    assert own_loss(model, class_head(model, {"data": SHAPE})).remark() == says


def test_behind_other_operators_and_of_the_output_that_is_trained():
    loss = mx.sym.SoftmaxOutput(small_net("scores"), name="softmax", grad_scale=0.5)
    ends = {"flat": mx.sym.Flatten(loss, name="flat"), "block": mx.sym.BlockGrad(loss, name="block")}
    more = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc9")
    ends["prob"] = mx.sym.softmax(more, name="prob")
    ends["on"] = mx.sym.softmax(mx.sym.FullyConnected(loss, num_hidden=3, name="fc8"), name="on")
    model = random_model(mx.sym.Group(list(ends.values())), data=SHAPE)
    found = {name: own_loss(model, class_head(model, {"data": SHAPE}, name)) for name in ends}
    assert found["prob"] == found["on"] == OwnLoss()
    assert found["flat"] == found["block"] == OwnLoss("softmax", 0.5)


def test_fine_tuning_says_it(tmp_path, capsys):
    net = saved(model_with(smooth_alpha=0.1), tmp_path / "net")
    command = ["-m", net, "--data-train", packed(tmp_path / "train", [item for item in items() if item[0] < CLASSES]),
               "--batch-size", "8", "--image-shape", "3,6,5", "--num-epochs", "1", "--model-prefix"]
    assert fine_tune.main(command + [str(tmp_path / "out")]) == 0
    assert "the loss softmax: its smooth_alpha=0.1 kept" in capsys.readouterr().err

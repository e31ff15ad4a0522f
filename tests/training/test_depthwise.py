"""Fine-tuning of chains with depthwise and grouped convolutions."""
import numpy as np
import pytest

from accnn.core.compat import mx
from networks import random_model
from trainers import CLASSES, SHAPE, arrays, batch, train, trainer

GROUPS = {"depthwise": 4, "grouped": 2}


def chain_net(groups):
    """1x1, (3, 1) and (1, 3) with groups, 1x1: the form of CP and of block terms."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=4, no_bias=True, name="a")
    x = mx.sym.Convolution(x, kernel=(3, 1), pad=(1, 0), num_filter=4, num_group=groups, no_bias=True, name="b")
    x = mx.sym.Convolution(x, kernel=(1, 3), pad=(0, 1), num_filter=4, num_group=groups, no_bias=True, name="c")
    x = mx.sym.Activation(mx.sym.Convolution(x, kernel=(1, 1), num_filter=6, name="d"), act_type="relu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=CLASSES, name="fc"), name="softmax")


def dense(weight, groups):
    """(mask, kernel) of the convolution without groups that does the same."""
    share = len(weight) // groups
    mask = np.kron(np.eye(groups), np.ones((share, weight.shape[1])))[:, :, None, None] * np.ones(weight.shape[2:])
    return mask > 0, np.tile(weight, (1, groups, 1, 1)) * mask


@pytest.mark.parametrize("kind", sorted(GROUPS))
def test_a_step_is_that_of_the_dense_convolution(kind):
    groups = GROUPS[kind]
    model, other = (random_model(chain_net(count), data=SHAPE) for count in (groups, 1))
    grouped_, plain = arrays(model), dict(other.arg_params)
    masks = {}
    for name, array in grouped_.items():
        if name in ("b_weight", "c_weight"):
            masks[name], array = dense(array, groups)
        plain[name] = mx.nd.array(array)
    other.arg_params.update(plain)
    makers = [trainer(one, mom=0.0, wd=0.0, lr=0.05) for one in (model, other)]
    said = [train(made) for made in makers]
    np.testing.assert_allclose(said[0][0], said[1][0], rtol=1e-4, atol=1e-6)
    after, wanted = (arrays(made.model()) for made in makers)
    for name, before in grouped_.items():
        found = wanted[name]
        if name in masks:
            found = found[masks[name]].reshape(before.shape)
        assert np.abs(found - before).max() > 1e-5, name
        np.testing.assert_allclose(after[name], found, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", sorted(GROUPS))
def test_it_learns(kind):
    images, labels = (mx.nd.array(array) for array in batch())
    made = trainer(random_model(chain_net(GROUPS[kind]), data=SHAPE), lr=0.05, wd=0.0)
    losses = []
    for step in range(60):
        said = made.step(images, labels, 1, step)
        picked = said.probabilities.asnumpy()[np.arange(len(labels)), labels.asnumpy().astype(int)]
        losses.append(-np.log(picked).mean())
    assert losses[-1] < 0.5 * losses[0]

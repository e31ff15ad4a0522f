"""Networks that oneDNN's fusion would change are bound without it, others with it: against executors without any."""
import os
from unittest import mock

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.graph.checkpoint import load_model
from accnn.runtime.fusion import fuses_rightly, right_fusion, unfused
from accnn.runtime.predictor import Predictor
from accnn.scoring.heads import class_head
from accnn.training.objective import teacher_symbol
from networks import chain_model, chain_net, outputs, random_input, random_model, residual_net

S = mx.sym
SHAPE = (3, 6, 7)


def conv(x, name, width=6, kernel=(3, 3), **more):
    return S.Convolution(x, kernel=kernel, pad=tuple(k // 2 for k in kernel), num_filter=width, name=name, **more)


def norm(x, name="n", **more):
    return S.BatchNorm(x, name=name, fix_gamma=False, **more)


def relu(x, name="r"):
    return S.Activation(x, act_type="relu", name=name)


def sum_with_its_source(end=lambda x: x):
    """The sum is fused with c1, and then c0 with BatchNorm, whose result the sum reads."""
    first = conv(S.Variable("data"), "c0")
    return end(conv(S.LeakyReLU(norm(first), act_type="leaky"), "c1") + first)


def fc(x, name="f", width=5):
    return S.FullyConnected(x, num_hidden=width, name=name)


def two_convolutions_and_a_sum():
    x = S.Variable("data")
    first, second = conv(x, "c0"), conv(x, "c1")
    return S.Concat(first + second, relu(second))


C0 = conv(S.Variable("data"), "c0")
N0, R0, F0 = norm(C0), relu(C0), fc(C0, "f0")
RN0, ALONE, MEAN = relu(N0), norm(S.Variable("data")), norm(C0, output_mean_var=True)
SUM = RN0 + conv(RN0, "c1")
WRONG = {
    "part with a sum": sum_with_its_source(), "whole with a sum": sum_with_its_source(lambda x: S.softmax(fc(x))),
    "sum without BatchNorm": conv(R0, "c1") + C0, "sum fused elsewhere": two_convolutions_and_a_sum(),
    "sum with itself": C0 + C0, "output and activation": S.Group([R0, C0]), "output and BatchNorm": S.Group([C0, N0]),
    "output through Dropout": S.Group([S.Dropout(C0), R0]), "activations": S.Group([R0, S.clip(C0, 0, 1)]),
    "BatchNorm alone": S.Concat(relu(ALONE), ALONE), "mean": S.Group([MEAN[0], MEAN[1]]),
    "another axis": norm(C0, axis=2), "fully connected": S.Group([F0, fc(relu(F0), "f1")]),
    "fully connected and a layer": S.abs(F0) + fc(F0, "f1"), "passing on": S.identity(S.Dropout(S.identity(R0))),
}
RIGHT = {
    "chain": chain_net(), "residual": residual_net(), "convolution": C0, "Dropout": relu(S.Dropout(C0)),
    "branches": S.Concat(conv(R0, "c1"), conv(R0, "c2"), R0), "output that goes on": S.Group([RN0, conv(RN0, "c1")]),
    "inverted residual": conv(relu(norm(conv(N0, "c1"), "n1")), "c2") + N0,
    "pre-activation": conv(relu(norm(SUM, "n1"), "r1"), "c2") + SUM,
}


def unfused_outputs(model, **inputs):
    with mock.patch.dict(os.environ, MXNET_SUBGRAPH_BACKEND="NONE"):
        return outputs(model, **inputs)


def check(symbol, seed=0):
    """A Predictor answers what an executor without fusion does; returns whether it fuses."""
    model, x = random_model(symbol, seed, data=SHAPE), random_input(4, *SHAPE)
    made = Predictor(model, {"data": SHAPE}, 4)
    for _ in range(2):  # what is fused keeps its weights after the first pass
        found = [output.asnumpy() for output in made.forward(mx.nd.array(x))]
    for some, wanted in zip(found, unfused_outputs(model, data=x)):
        np.testing.assert_allclose(some, wanted, rtol=1e-3, atol=1e-5 * max(1, abs(wanted).max()))
    return fuses_rightly(model.graph)


@pytest.mark.parametrize("symbol", WRONG.values(), ids=list(WRONG))
def test_what_would_be_wrong_is_not_fused(symbol):
    assert not check(symbol)


@pytest.mark.parametrize("symbol", RIGHT.values(), ids=list(RIGHT))
def test_what_is_right_stays_fused(symbol):
    assert check(symbol)


def one_of(rng, x, others, name):
    """A random operator that keeps the shape."""
    makers = [
        lambda: conv(x, name, kernel=(1, 1)), lambda: conv(x, name, num_group=3, no_bias=True),
        lambda: norm(x, name), lambda: relu(x, name), lambda: S.LeakyReLU(x, act_type="leaky", name=name),
        lambda: S.clip(x, a_min=0, a_max=1), lambda: S.elemwise_add(x, others[rng.randint(len(others))]),
        lambda: S.elemwise_add(others[rng.randint(len(others))], x), lambda: x * others[rng.randint(len(others))],
        lambda: S.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="max"), lambda: S.Dropout(x), lambda: S.sigmoid(x),
        lambda: conv(S.Concat(x, others[rng.randint(len(others))]), name)]
    return makers[rng.randint(len(makers))]()


def random_net(rng):
    """Operators that read the newest or another one, a few fully connected layers, and one to three outputs."""
    def newest_or_any(made):
        return made[-1 if rng.rand() < 0.7 else rng.randint(len(made))]

    made = [conv(S.Variable("data"), "c")]
    for i in range(rng.randint(1, 10)):
        made.append(one_of(rng, newest_or_any(made), made, "x%d" % i))
    ends = [fc(made[-1], "f0")]
    for i in range(1, rng.randint(1, 5)):
        x = newest_or_any(ends)
        ends.append([fc(x, "f%d" % i), relu(x), S.abs(x), x + ends[0]][rng.randint(4)])
    heads = ends[-1:] + [(made + ends)[rng.randint(len(made + ends))] for _ in range(rng.choice([0, 0, 1, 2]))]
    return S.Group(heads[::-1])


def test_random_networks():
    fused = [check(random_net(np.random.RandomState(seed)), seed) for seed in range(100)]
    assert 25 < sum(fused) < 75


def test_the_environment_and_stderr_stay(monkeypatch, capfd):
    for before in (None, "MKLDNN"):
        monkeypatch.delenv("MXNET_SUBGRAPH_BACKEND", raising=False)
        if before:
            monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", before)
        with unfused():
            assert os.environ["MXNET_SUBGRAPH_BACKEND"] == "default"
        with pytest.raises(KeyError), right_fusion(WRONG["part with a sum"]):
            raise KeyError
        assert os.environ.get("MXNET_SUBGRAPH_BACKEND") == before
        with right_fusion(RIGHT["chain"]):
            assert os.environ.get("MXNET_SUBGRAPH_BACKEND") == before
    check(WRONG["whole with a sum"])
    assert "Subgraph" not in capfd.readouterr().err


def test_only_binding_matters():
    """An executor that is reshaped stays as it was bound, and one that is bound for training fuses nothing."""
    inside = chain_model().symbol.get_internals()
    symbol, x = S.Group([inside["conv1_output"], inside["fc2_output"]]), random_input(6, 3, 12, 12)
    model = random_model(symbol, data=(3, 12, 12))
    wanted = unfused_outputs(model, data=x)
    for training in (False, True):
        module = mx.mod.Module(symbol, ["data"], None)
        with mock.patch.dict(os.environ, {} if training else {"MXNET_SUBGRAPH_BACKEND": "default"}):
            module.bind([("data", (4, 3, 12, 12))], None, for_training=training)
        module.set_params(model.arg_params, {})
        for rows in (4, 6, 2):
            module.reshape([("data", (rows, 3, 12, 12))], None)
            module.forward(mx.io.DataBatch([mx.nd.array(x[:rows])]), is_train=training)
            for output, one in zip(module.get_outputs(), wanted):
                np.testing.assert_allclose(output.asnumpy(), one[:rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, side", [("mtcnn_det1", 24), ("mtcnn_det3", 48), ("cifar_resnet20", 32),
                                        ("squeezenet_v1.0", 64), ("vgg16_cifar10", 32), ("retinaface_mnet_16", 64)])
def test_real_networks_stay_fused(shared, name, side):
    model, shapes = load_model(os.path.join(shared, "models", name)), {"data": (3, side, side)}
    assert fuses_rightly(model.graph)
    x = random_input(2, *shapes["data"])
    found = [output.asnumpy() for output in Predictor(model, shapes, 2).forward(mx.nd.array(x))]
    for some, wanted in zip(found, unfused_outputs(model, data=x)):
        np.testing.assert_allclose(some, wanted, rtol=1e-3, atol=1e-5 * abs(wanted).max())
    if len(found) == 1:
        taught = teacher_symbol(model, class_head(model, shapes), 3.0)
        with right_fusion(taught):
            assert os.environ.get("MXNET_SUBGRAPH_BACKEND") != "default"

"""What errors in responses do to the outputs, against finite differences of the rest of the network."""
import os

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.planning.accelerator import Accelerator
from accnn.reconstruction import importance
from accnn.reconstruction.images import ArrayImages
from accnn.reconstruction.importance import importances
from networks import chain_model, outputs, random_input, random_model, residual_net

S = mx.sym
SHAPE = (3, 5, 5)
IMAGES = 6
STEP = 1e-2


class Exhaustive:
    """Instead of random directions: one entry of one output after the other, so that sums are exact."""

    def __init__(self, sizes):
        self._turns = [(head, entry) for head, size in enumerate(sizes) for entry in range(size)]
        self._heads, self._calls = len(sizes), 0

    def standard_normal(self, shape):
        """One of :meth:`numpy.random.Generator.standard_normal`'s names."""
        turn, head = divmod(self._calls, self._heads)
        self._calls += 1
        found = np.zeros(shape)
        if self._turns[turn][0] == head:
            found.reshape(len(found), -1)[:, self._turns[turn][1]] = 1
        return found


def exact(monkeypatch, model, arrays, layers=None):
    """dict: the importances with all directions, each for the same images."""
    sizes = [out[0].size for out in outputs(model, **arrays)]
    monkeypatch.setattr(importance.np.random, "default_rng", lambda seed: Exhaustive(sizes))
    bench = Accelerator(model, {name: array.shape[1:] for name, array in arrays.items()})
    tiled = ArrayImages({name: np.concatenate([array] * sum(sizes)) for name, array in arrays.items()},
                        len(next(iter(arrays.values()))))
    return importances(model, tiled, bench.input_shapes, [bench.specs[name] for name in layers or bench.specs])


def weighted(form, out, slopes):
    """Columns whose second moment is the wanted matrix; `slopes` is of shape (what is changed, images, entries)."""
    out = out.reshape(len(out), -1)
    if form == "score":
        return slopes / np.sqrt(np.square(out).sum() / len(out))
    if form == "class scores":
        p = np.exp(out - out.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return (slopes - (slopes * p).sum(-1, keepdims=True)) * np.sqrt(p / 2)
    p = np.exp(out) if form == "log-probability" else out
    return slopes * np.sqrt((p if form == "log-probability" else 1 / p) / 2 / (p.sum() / len(p)))


def scaled(columns, channels):
    """The matrix of a layer of so many outputs, from an array (outputs, ...)."""
    rows = columns.reshape(channels, -1)
    total = rows @ rows.T
    return total / (np.trace(total) / channels) + np.eye(channels)


def brute(tail, model, y, forms, axis=1):
    """By changing one response at one place by hand."""
    rest = random_model(tail, y=y.shape[1:])
    for mine, theirs in ((rest.arg_params, model.arg_params), (rest.aux_params, model.aux_params)):
        for name in mine:
            mine[name][:] = theirs[name]
    truth, slopes = outputs(rest, y=y), []
    for place in np.ndindex(*y.shape[1:]):
        up, down = y.copy(), y.copy()
        up[(slice(None),) + place] += STEP
        down[(slice(None),) + place] -= STEP
        slopes.append([(a.astype(np.float64) - b) / (2 * STEP) for a, b in zip(outputs(rest, y=up), outputs(
            rest, y=down))])
    columns = np.concatenate([weighted(form, out, np.array([one[head].reshape(len(y), -1) for one in slopes]))
                              for head, (form, out) in enumerate(zip(forms, truth))], -1)
    columns = np.moveaxis(columns.reshape(y.shape[1:] + columns.shape[1:]), axis - 1 if axis > 0 else y.ndim - 2, 0)
    return scaled(columns, len(columns))


def responses(layer, model, x):
    return outputs(random_model_of(layer, model, x), data=x)[0]


def random_model_of(symbol, model, x):
    part = random_model(symbol, data=x.shape[1:])
    for name in part.arg_params:
        part.arg_params[name][:] = model.arg_params[name]
    return part


def fc(x, width=4, name="f", **more):
    return S.FullyConnected(x, num_hidden=width, name=name, **more)


def smooth(x, name="t"):
    return S.Activation(x, act_type="tanh", name=name)


def normed(x):
    return fc(smooth(S.BatchNorm(x, fix_gamma=False, name="n")))


def two_heads(x):
    x = smooth(x)
    places = S.Convolution(x, kernel=(1, 1), num_filter=2, name="p")
    return S.Group([S.SoftmaxOutput(fc(x), name="s"), fc(x, 3, "boxes"), S.softmax(places, axis=1, name="map")])


PLAIN = ["probability"]
TAILS = {
    "softmax": (lambda x: S.SoftmaxOutput(fc(smooth(x)), name="s"), PLAIN),
    "scores for classes": (lambda x: fc(smooth(x)), ["class scores"]),
    "log": (lambda x: S.log_softmax(fc(smooth(x))), ["log-probability"]),
    "regression": (lambda x: S.LinearRegressionOutput(fc(smooth(x)), name="l"), ["score"]),
    "sigmoid": (lambda x: S.LogisticRegressionOutput(fc(smooth(x)), name="l"), ["score"]),
    "a picture": (lambda x: S.Convolution(smooth(x), kernel=(2, 2), num_filter=2, name="q"), ["score"]),
    "many places": (lambda x: S.SoftmaxOutput(S.Convolution(smooth(x), kernel=(2, 2), num_filter=3, name="q"),
                                              multi_output=True, name="s"), PLAIN),
    "batch norm": (lambda x: S.softmax(normed(x)), PLAIN),
    "dropout": (lambda x: S.softmax(fc(S.Dropout(smooth(x), p=0.7))), PLAIN),
    "dropout always": (lambda x: S.softmax(fc(S.Dropout(smooth(x), p=0.0, mode="always"))), PLAIN),
    "blocked": (lambda x: S.BlockGrad(S.softmax(fc(smooth(S.BlockGrad(x))))), PLAIN),
    "make loss": (lambda x: S.MakeLoss(fc(smooth(x), 1)), ["score"]),
    "three heads": (two_heads, ["probability", "score", "probability"]),
    "the layer is the output": (lambda x: S.identity(x, name="copy"), ["score"]),
}
LAYERS = {"plain": {}, "grouped": {"num_group": 3}, "no bias": {"no_bias": True}, "stride": {"stride": (2, 2)}}


def conv(x, num_group=1, **more):
    if num_group > 1:
        x = S.Concat(x, x, dim=1)
    return S.Convolution(x, kernel=(3, 3), num_filter=6, num_group=num_group, name="c", **more)


@pytest.mark.parametrize("tail, layer", [(tail, "plain") for tail in TAILS] + [("softmax", one) for one in LAYERS])
def test_finite_differences(monkeypatch, tail, layer):
    make, forms = TAILS[tail]
    x, data = random_input(IMAGES, *SHAPE), S.Variable("data")
    model = random_model(make(conv(data, **LAYERS[layer])), data=SHAPE)
    y = responses(conv(data, **LAYERS[layer]), model, x)
    found = exact(monkeypatch, model, {"data": x}, ["c"])["c"]
    np.testing.assert_allclose(found, brute(make(S.Variable("y")), model, y, forms), atol=5e-3)


@pytest.mark.parametrize("flatten", [True, False])
def test_fully_connected(monkeypatch, flatten):
    def layer(x):
        return fc(x, 5, "g", flatten=flatten)

    def tail(x):
        return S.softmax(fc(smooth(x)))

    x = random_input(IMAGES, 3, 7)
    model = random_model(tail(layer(S.Variable("data"))), data=(3, 7))
    y = responses(layer(S.Variable("data")), model, x)
    assert y.ndim == (2 if flatten else 3)
    found = exact(monkeypatch, model, {"data": x}, ["g"])["g"]
    np.testing.assert_allclose(found, brute(tail(S.Variable("y")), model, y, PLAIN, -1), atol=5e-3)


def test_several_layers_at_once_are_each_alone(monkeypatch):
    model, x = chain_model(), random_input(4, 3, 12, 12)
    together = exact(monkeypatch, model, {"data": x})
    assert list(together) == ["conv1", "conv2", "conv3", "fc1", "fc2"]
    for name, found in together.items():
        np.testing.assert_allclose(found, exact(monkeypatch, model, {"data": x}, [name])[name], rtol=1e-4, atol=1e-6)


def test_several_inputs(monkeypatch):
    """Of two inputs one goes round the layer: the rest of the network is another for every image."""
    def tail(x):
        return S.softmax(fc(smooth(x) * S.Variable("gate")))

    x, gate = random_input(IMAGES, *SHAPE), random_input(IMAGES, 6, 3, 3, seed=5)
    model = random_model(tail(conv(S.Variable("data"))), data=SHAPE, gate=gate.shape[1:])
    found = exact(monkeypatch, model, {"data": x, "gate": gate}, ["c"])["c"]
    alone = [exact(monkeypatch, model, {"data": x[[i]], "gate": gate[[i]]}, ["c"])["c"] for i in range(IMAGES)]
    assert not np.allclose(alone[0], alone[1], atol=1e-2)
    y = responses(conv(S.Variable("data")), model, x)
    # The gate of an image as a parameter of the rest.
    for i in range(2):
        fixed = random_model(S.softmax(fc(smooth(S.Variable("y")) * S.Variable("gate", shape=(1, 6, 3, 3)))),
                             y=(6, 3, 3))
        fixed.arg_params["gate"] = mx.nd.array(gate[[i]])
        fixed.arg_params["f_weight"], fixed.arg_params["f_bias"] = (model.arg_params[n] for n in ("f_weight", "f_bias"))
        wanted = brute(S.softmax(fc(smooth(S.Variable("y")) * S.Variable("gate", shape=(1, 6, 3, 3)))), fixed,
                       y[[i]], PLAIN)
        np.testing.assert_allclose(alone[i], wanted, atol=5e-3)
    assert np.isfinite(found).all()


def test_mtcnn_det2(monkeypatch, shared):
    """Two outputs; its first fully connected layer, whose errors are those of its bias."""
    model, x = load_model(os.path.join(shared, "models", "mtcnn_det2")), random_input(4, 3, 24, 24)
    name = next(spec.name for spec in Accelerator(model, {"data": (3, 24, 24)}).layers if spec.op == "FullyConnected")
    step = STEP / 10  # its activations have corners
    bias, slopes = model.arg_params[name + "_bias"], []
    truth = outputs(model, data=x)
    for unit in range(bias.size):
        ends = []
        for change in (step, -step):
            moved = bias.asnumpy()
            moved[unit] += change
            changed = type(model)(model.graph, dict(model.arg_params, **{name + "_bias": mx.nd.array(moved)}),
                                  model.aux_params)
            ends.append(outputs(changed, data=x))
        slopes.append([(a.astype(np.float64) - b) / (2 * step) for a, b in zip(*ends)])
    forms = ["probability" if np.allclose(out.sum(1), 1) else "score" for out in truth]
    assert sorted(forms) == ["probability", "score"]
    columns = np.concatenate([weighted(form, out, np.array([one[head] for one in slopes]))
                              for head, (form, out) in enumerate(zip(forms, truth))], -1)
    found = exact(monkeypatch, model, {"data": x}, [name])[name]
    assert np.linalg.norm(found - scaled(columns, bias.size)) < 0.02 * np.linalg.norm(found)


def run(model, x, batch_size=4, seed=0, **more):
    bench = Accelerator(model, {"data": x.shape[1:]})
    return importances(model, ArrayImages({"data": x}, batch_size), bench.input_shapes, bench.layers, seed, **more)


def test_random_directions_come_near(monkeypatch):
    model, x = chain_model(), random_input(8, 3, 12, 12)
    with monkeypatch.context() as patched:
        wanted = exact(patched, model, {"data": x})
    found = run(model, np.concatenate([x] * 100), 64)
    for name in wanted:
        assert np.linalg.norm(found[name] - wanted[name]) < 0.2 * np.linalg.norm(wanted[name])


def test_the_model_stays_what_it_is_and_a_seed_decides():
    model, x = random_model(residual_net(), data=(3, 12, 12)), random_input(10, 3, 12, 12)
    before = {name: array.asnumpy() for name, array in list(model.arg_params.items()) + list(model.aux_params.items())}
    symbol = model.symbol.tojson()
    first, second, other = run(model, x), run(model, x), run(model, x, seed=1)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first[name], other[name])
        assert first[name].dtype == np.float64 and np.trace(first[name]) == pytest.approx(2 * len(first[name]))
        np.testing.assert_array_equal(first[name], first[name].T)
        assert np.linalg.eigvalsh(first[name])[0] >= 1 - 1e-6
    after = list(model.arg_params.items()) + list(model.aux_params.items())
    assert all(np.array_equal(before[name], array.asnumpy()) for name, array in after)
    assert model.symbol.tojson() == symbol


def test_a_last_batch_that_is_not_full(monkeypatch):
    """Rows of the batch before it do not count."""
    model, x = chain_model(), random_input(5, 3, 12, 12)
    monkeypatch.setattr(importance, "random_direction", lambda form, output, generator: np.ones(output.shape))
    for a, b in zip(run(model, x, 3).values(), run(model, x, 5).values()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_layers_that_nothing_depends_on():
    """What only a label or a whole number is made of: errors count as their squares."""
    x = random_input(4, *SHAPE)
    data = S.Variable("data")
    head = S.SoftmaxOutput(fc(data), S.reshape(fc(data, 1, "teacher"), shape=(-1,)), name="s")
    found = run(random_model(head, data=SHAPE), x)
    assert np.trace(found["f"]) == pytest.approx(8) and found["teacher"] == np.eye(1)
    found = run(random_model(S.argmax(fc(data), axis=1), data=SHAPE), x)
    np.testing.assert_array_equal(found["f"], np.eye(4))


@pytest.mark.parametrize("head", [lambda x: S.all_finite(fc(x)), lambda x: S.multi_sum_sq(fc(x), num_arrays=1)])
def test_what_mxnet_cannot_differentiate(head):
    with pytest.raises(AccnnError, match="cannot be differentiated.*`metric='responses'`"):
        run(random_model(head(S.Variable("data")), data=SHAPE), random_input(4, *SHAPE))


def test_half_precision_weighs_like_single():
    single, x = chain_model(), random_input(6, 3, 12, 12)
    half = chain_model()
    for params in (half.arg_params, single.arg_params):
        params.update({name: array.astype("float16") for name, array in params.items()})
    single.arg_params.update({name: array.astype("float32") for name, array in single.arg_params.items()})
    for a, b in zip(run(half, x).values(), run(single, x).values()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_progress_is_told_and_closed():
    seen = []

    class Told:
        def __init__(self, title, total):
            seen.append((title, total))

        def __call__(self, done, what=""):
            seen.append(done)

        def close(self):
            seen.append("closed")

    run(chain_model(), random_input(10, 3, 12, 12), progress=Told)
    assert seen == [("weighing responses", 10), 0, 4, 8, "closed"]

"""Samples of real passes equal what an executor without any fusion says, whatever is asked together."""
import itertools
import os
import tracemalloc

import numpy as np
import pytest
from inside import answers, around

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.data.images import Preprocessing
from accnn.data.records import open_records
from accnn.graph.checkpoint import Model, load_model
from accnn.graph.ir import Graph
from accnn.graph.specs import layer_specs
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction import sampling
from accnn.reconstruction.images import ArrayImages, record_images
from accnn.reconstruction.patches import draw
from accnn.reconstruction.sampling import Tap, sample
from networks import chain_model, chain_net, random_input, random_model, residual_net

SHAPES = {"data": (3, 12, 12)}
S = mx.sym


def conv(x, name, width=6, kernel=(3, 3), **more):
    return S.Convolution(x, kernel=kernel, pad=tuple(k // 2 for k in kernel), num_filter=width, name=name, **more)


def relu(x, name):
    return S.Activation(x, act_type="relu", name=name)


def branches():
    x = relu(conv(S.Variable("data"), "c0"), "r0")
    return conv(S.Concat(relu(conv(x, "c1"), "r1"), conv(x, "c2", kernel=(1, 1)), x), "c3")


def slices():
    first, second = S.SliceChannel(relu(conv(S.Variable("data"), "c0", 8), "r0"), num_outputs=2, name="s")
    x = conv(second, "c1", 4) + first
    return S.FullyConnected(relu(conv(x, "c2"), "r2"), num_hidden=4, name="f")


def normalised():
    first = S.BatchNorm(conv(S.Variable("data"), "c0"), name="n0", output_mean_var=True, fix_gamma=False)[0]
    x = relu(first, "r0")
    x = relu(conv(x, "c1") + x, "r1")
    x = relu(x + conv(relu(conv(x, "c2"), "r2"), "c3"), "r3")
    x = conv(S.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg", name="p"), "c4")
    x = conv(conv(S.BatchNorm(x, name="n4", fix_gamma=False), "c5"), "c6")
    x = relu(S.FullyConnected(x, num_hidden=5, name="f0"), "rf")
    return S.Group([S.FullyConnected(x, num_hidden=4, name="f1"), first, x])


def wrongly_fused():
    """A part of it, up to c2, is computed wrongly with oneDNN's fusion, although nothing inside is read."""
    first = conv(S.BatchNorm(S.Variable("data"), name="n0", fix_gamma=False), "c0")
    x = S.LeakyReLU(S.BatchNorm(first, name="n1", fix_gamma=False), act_type="leaky", name="l")
    x = S.clip(conv(conv(x, "c1") + first, "c2"), a_min=0, a_max=6, name="clip")
    return conv(conv(x, "c3", num_group=2) + conv(first, "c4"), "c5")


NETS = {"chain": chain_net, "residual": residual_net, "branches": branches, "slices": slices,
        "normalised": normalised, "wrongly fused": wrongly_fused}


def taps_of(specs):
    return [Tap(spec, kind) for spec in specs for kind in ("input", "response")]


def check(model, specs, taps, x, truth, folder, positions=20, batch_size=2):
    shapes = {name: array.shape[1:] for name, array in x.items()}
    found = sample(model, ArrayImages(x, batch_size), shapes, taps, positions, 0, folder)
    assert len(found) == len(taps)
    for tap, samples in zip(taps, found):
        wanted = tap.taken(truth[tap.spec.name][tap.kind == "response"],
                           draw(tap.spec, len(next(iter(x.values()))), positions, 0))
        assert samples.shape == wanted.shape[1:] and samples.rows == len(wanted)
        np.testing.assert_allclose(samples.array(), wanted, rtol=1e-4, atol=1e-5, err_msg=str(tap))


@pytest.mark.parametrize("name", NETS)
def test_whatever_is_asked_together(monkeypatch, tmp_path, name):
    model, x = random_model(NETS[name](), **SHAPES), {"data": random_input(5, 3, 12, 12)}
    specs = layer_specs(model, SHAPES)
    truth, taps = around(model, monkeypatch, {spec.name for spec in specs}, **x), taps_of(specs)
    asked = [taps, taps[::-1], taps[::2], taps[1::2], taps[1::2][::-1], taps + taps[:3]] + [[tap] for tap in taps]
    if name in ("slices", "wrongly fused"):
        asked += itertools.permutations(taps[-6:], 2)
    for some in asked:
        check(model, specs, list(some), x, truth, tmp_path)


def test_weights_times_inputs_are_responses(tmp_path):
    model = random_model(branches(), **SHAPES)
    for spec in layer_specs(model, SHAPES):
        read, answered = sample(model, ArrayImages({"data": random_input(5, 3, 12, 12)}, 2), SHAPES, taps_of([spec]),
                                10, 0, tmp_path)
        np.testing.assert_allclose(answers(read.array(), model.weight(spec.weight), model.weight(spec.bias), 1),
                                   answered.array(), rtol=1e-4, atol=1e-5)


def two_inputs():
    x = relu(conv(S.Variable("left"), "c0"), "r0")
    y = S.FullyConnected(S.Variable("right"), num_hidden=7, flatten=False, name="f0")
    joined = S.Concat(S.Flatten(x), S.Flatten(y), dim=1)
    return S.SoftmaxOutput(S.FullyConnected(joined, num_hidden=3, name="f1"), name="softmax")


def test_two_inputs_and_a_label(monkeypatch, tmp_path):
    x = {"left": random_input(5, 3, 6, 5), "right": random_input(5, 4, 8, seed=2)}
    shapes = {name: array.shape[1:] for name, array in x.items()}
    model = random_model(two_inputs(), **shapes)
    specs = layer_specs(model, shapes)
    truth = around(model, monkeypatch, {"c0", "f0", "f1"}, **x)
    for taps in (taps_of(specs), taps_of(specs[:1]), taps_of(specs[1:2]), taps_of(specs[2:])):
        check(model, specs, taps, x, truth, tmp_path)
    alone = ArrayImages({"left": x["left"]}, 2)
    assert sample(model, alone, shapes, [Tap(specs[0], "response")], 5, 0, tmp_path)[0].rows == 25
    with pytest.raises(AccnnError, match="also reads the inputs right"):
        sample(model, alone, shapes, [Tap(specs[2], "response")], 5, 0, tmp_path)


def test_a_model_of_which_other_layers_were_replaced(monkeypatch, tmp_path):
    model, x = chain_model(), {"data": random_input(5, 3, 12, 12)}
    bench = Accelerator(model, SHAPES)
    faster = bench.accelerate(Plan((Row("conv2", "Convolution", "vh", 5),)))
    taps = taps_of([bench.specs["conv3"], bench.specs["conv1"]])
    check(faster, None, taps, x, around(faster, monkeypatch, {"conv1", "conv3"}, **x), tmp_path)
    with pytest.raises(AccnnError, match="has 0 layers 'conv2' of the kind Convolution"):
        sample(faster, ArrayImages(x, 2), SHAPES, taps_of([bench.specs["conv2"]]), 5, 0, tmp_path)


def sampled(model, x, seed, batch_size, folder, positions=10):
    taps = taps_of(layer_specs(model, SHAPES))
    return [samples.array() for samples in sample(model, ArrayImages(x, batch_size), SHAPES, taps, positions, seed,
                                                  folder)]


def test_the_same_samples_for_a_seed_whatever_the_batches(monkeypatch, tmp_path):
    model, x = chain_model(), {"data": random_input(11, 3, 12, 12)}
    first = sampled(model, x, 0, 4, tmp_path)
    assert all((a == b).all() for a, b in zip(first, sampled(model, x, 0, 4, tmp_path)))
    assert (first[0] != sampled(model, x, 1, 4, tmp_path)[0]).any()
    for batch_size in (1, 3, 11, 100):
        for a, b in zip(first, sampled(model, x, 0, batch_size, tmp_path)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    sizes = []
    monkeypatch.setattr(sampling, "_BATCH_BYTES", 200000)
    monkeypatch.setattr(ArrayImages, "batches", lambda self, size, plain=ArrayImages.batches: (
        sizes.append(size) or plain(self, size)))
    for a, b in zip(first, sampled(model, x, 0, 11, tmp_path)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert len(sizes) == 1 and 1 < sizes[0] < 6


def test_memory_does_not_grow_with_the_images(tmp_path):
    model, x = chain_model(), {"data": random_input(1500, 3, 12, 12)}
    taps = taps_of(layer_specs(model, SHAPES)[:3])
    tracemalloc.start()
    found = sample(model, ArrayImages(x, 50), SHAPES, taps, 40, 0, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(os.path.getsize(samples.path) for samples in found) > 50 << 20 and peak < 10 << 20


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(tmp_path, value):
    model = chain_model()
    broken = Model(model.graph, dict(model.arg_params, conv2_bias=mx.nd.full((12,), value)), prefix="there/net")
    specs = {spec.name: spec for spec in layer_specs(model, SHAPES)}
    images = ArrayImages({"data": random_input(5, 3, 12, 12)}, 2)
    sample(broken, images, SHAPES, taps_of([specs["conv1"]]) + [Tap(specs["conv2"], "input")], 5, 0, tmp_path)
    # oneDNN's ReLU makes 0 of NaN.
    for name, kind in [("conv2", "response"), ("conv3", "input")][:1 if np.isnan(value) else 2]:
        with pytest.raises(AccnnError, match="the %s of the layer '%s' of there/net holds NaN or inf" % (kind, name)):
            sample(broken, images, SHAPES, [Tap(specs[name], kind)], 5, 0, tmp_path)


def test_rows_that_are_no_images(tmp_path):
    folded = S.Reshape(S.Variable("data"), shape=(1, 3, -1, 12))
    model = random_model(conv(folded, "c"), **SHAPES)
    taps, x = taps_of(layer_specs(model, SHAPES)), random_input(4, 3, 12, 12)
    for tap in taps:
        with pytest.raises(AccnnError, match="the %s of the layer 'c' .* for 4 images" % tap.kind):
            sample(model, ArrayImages({"data": x}, 4), SHAPES, [tap], 5, 0, tmp_path)
    assert sample(model, ArrayImages({"data": x}, 1), SHAPES, taps, 5, 0, tmp_path)[0].rows == 20


def test_nothing_asked(tmp_path):
    assert sample(chain_model(), ArrayImages({"data": random_input(4, 3, 12, 12)}, 4), SHAPES, [], 5, 0, tmp_path) == []


def test_layers_that_cannot_be_read(tmp_path):
    twice = conv(conv(S.Variable("data"), "c", 3), "c", 3)
    images = ArrayImages({"data": random_input(4, 3, 12, 12)}, 4)
    model = Model(Graph.from_symbol(twice), {"c_weight": mx.nd.ones((3, 3, 3, 3)), "c_bias": mx.nd.ones(3)})
    with pytest.raises(AccnnError, match="has 2 layers 'c'"):
        sample(model, images, SHAPES, [Tap(layer_specs(model, SHAPES)[0], "input")], 5, 0, tmp_path)
    other = random_model(conv(S.Variable("data"), "c", layout="NCHW"), **SHAPES)
    tap = Tap(layer_specs(other, {})[0], "input")
    with pytest.raises(AccnnError, match="shape of the layer 'c' .* is unknown"):
        sample(other, images, SHAPES, [tap], 5, 0, tmp_path)


@pytest.mark.parametrize("before", [None, "NONE"])
def test_the_environment_and_stderr_stay(monkeypatch, tmp_path, capfd, before):
    monkeypatch.delenv("MXNET_SUBGRAPH_BACKEND", raising=False)
    if before:
        monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", before)
    sampled(chain_model(), {"data": random_input(5, 3, 12, 12)}, 0, 2, tmp_path)
    assert os.environ.get("MXNET_SUBGRAPH_BACKEND") == before and not capfd.readouterr().err


def test_progress(tmp_path):
    told = []

    class Told:
        def __init__(self, title, total):
            told.append((title, total))

        def __call__(self, done, what):
            told.append(done)

        def close(self):
            told.append("closed")

    model = chain_model()
    sample(model, ArrayImages({"data": random_input(5, 3, 12, 12)}, 2), SHAPES, taps_of(layer_specs(model, SHAPES)),
           5, 0, tmp_path, Told)
    assert told == [("running images through the model", 5), 0, 2, 4, "closed"]


@pytest.mark.parametrize("name, data, shape", [
    ("squeezenet_v1.0", "imagenet_sample_600", (3, 224, 224)), ("cifar_resnet20", "cifar10_val_5000", (3, 32, 32)),
    ("mtcnn_det2", "cifar10_val_5000", (3, 24, 24))])
def test_real_networks_and_images(shared, monkeypatch, tmp_path, name, data, shape):
    model, shapes = load_model(os.path.join(shared, "models", name)), {"data": shape}
    records = open_records(os.path.join(shared, "data", data + ".rec"))
    specs = layer_specs(model, shapes)
    with record_images(records, Preprocessing(shape, (123.0,), (60.0,)), "data", 6, 0, 4) as images:
        x = np.concatenate([arrays["data"].asnumpy() for _, arrays in images.batches()])
        found = sample(model, images, shapes, taps_of(specs), 8, 0, tmp_path)
    truth = around(model, monkeypatch, {spec.name for spec in specs}, data=x)
    for number, tap in enumerate(taps_of(specs)):
        wanted = tap.taken(truth[tap.spec.name][number % 2], draw(tap.spec, 6, 8, 0))
        np.testing.assert_allclose(found[number].array(), wanted, rtol=1e-3, atol=1e-5 * abs(wanted).max())

"""Patches equal those cut out by hand, and weights times patches equal MXNet's responses."""
import numpy as np
import pytest
from inside import answers, around, patch

from accnn.core.compat import mx
from accnn.graph.specs import kernel, layer_specs
from accnn.reconstruction.patches import available, draw, patches, responses
from networks import random_input, random_model

CONVS = {
    "plain": dict(kernel=(3, 3)), "padded": dict(kernel=(3, 3), pad=(1, 1)), "1x1": dict(kernel=(1, 1)),
    "strided": dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1)), "1x1 strided": dict(kernel=(1, 1), stride=(2, 3)),
    "dilated": dict(kernel=(3, 2), dilate=(2, 3), pad=(2, 1)), "wide": dict(kernel=(1, 7), pad=(0, 3)),
    "tall": dict(kernel=(5, 1), stride=(1, 2), pad=(3, 0)), "groups": dict(kernel=(3, 3), num_group=3, pad=(1, 0)),
    "depthwise": dict(kernel=(3, 3), num_group=6, pad=(1, 1), stride=(2, 1)),
    "all of it": dict(kernel=(10, 9)), "one value": dict(kernel=(3, 3), pad=(4, 4), stride=(9, 9)),
}


@pytest.mark.parametrize("positions", [7, 1000])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions(monkeypatch, name, positions):
    x = random_input(3, 6, 10, 9)
    model = random_model(mx.sym.Convolution(mx.sym.Variable("data"), num_filter=12, name="c", **CONVS[name]),
                         data=x.shape[1:])
    spec, = layer_specs(model, {"data": x.shape[1:]})
    at = draw(spec, 3, positions, 0)
    found = patches(x, spec, at)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert found.shape == (at.size,) + spec.part.patch_shape
    np.testing.assert_array_equal(found, [patch(x[i], spec.part, place) for i in range(3) for place in at[i]])
    _, out = around(model, monkeypatch, ["c"], data=x)["c"]
    taken = responses(out, spec, at)
    np.testing.assert_array_equal(taken, [out[i].reshape(12, -1)[:, place] for i in range(3) for place in at[i]])
    np.testing.assert_allclose(answers(found, model.weight("c_weight"), model.weight("c_bias"), spec.part.groups),
                               taken, rtol=1e-4, atol=1e-5)


DECONVS = {
    "plain": dict(kernel=(3, 3)), "doubling": dict(kernel=(4, 4), stride=(2, 2), pad=(1, 1)),
    "adj": dict(kernel=(3, 3), stride=(2, 2), pad=(1, 1), adj=(1, 1)), "gaps": dict(kernel=(2, 1), stride=(3, 2)),
    "all of it": dict(kernel=(3, 5), stride=(2, 3), pad=(2, 1), dilate=(2, 1), adj=(1, 2)),
    "groups": dict(kernel=(4, 3), stride=(2, 1), num_group=3),
    "depthwise": dict(kernel=(4, 4), stride=(2, 2), num_group=6),
}


@pytest.mark.parametrize("name", DECONVS)
def test_transposed_convolutions(monkeypatch, name):
    x = random_input(3, 6, 5, 4)
    model = random_model(mx.sym.Deconvolution(mx.sym.Variable("data"), num_filter=12, no_bias=False, name="d",
                                              **DECONVS[name]), data=x.shape[1:])
    spec, = layer_specs(model, {"data": x.shape[1:]})
    _, out = around(model, monkeypatch, ["d"], data=x)["d"]
    assert spec.out_shape == out.shape[1:] and available(spec) == out[0, 0].size
    at = draw(spec, 3, 1000, 0)
    np.testing.assert_allclose(answers(patches(x, spec, at), kernel(model, spec), model.weight("d_bias"),
                                       spec.part.groups), responses(out, spec, at), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape, flatten, places", [
    ((5,), True, 1), ((2, 3, 4), True, 1), ((5,), False, 1), ((4, 5), False, 4), ((3, 2, 5), False, 6)])
def test_fully_connected_layers(monkeypatch, shape, flatten, places):
    x = random_input(3, *shape)
    model = random_model(mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, flatten=flatten, name="f"),
                         data=shape)
    spec, = layer_specs(model, {"data": shape})
    assert available(spec) == places
    for positions in (1, 3, 100):
        at = draw(spec, 3, positions, 0)
        vectors = x.reshape(3, places, -1)
        found = patches(x, spec, at)
        np.testing.assert_array_equal(found[:, 0], [vectors[i, place] for i in range(3) for place in at[i]])
        _, out = around(model, monkeypatch, ["f"], data=x)["f"]
        np.testing.assert_allclose(answers(found, model.weight("f_weight"), model.weight("f_bias"), 1),
                                   responses(out, spec, at), rtol=1e-4, atol=1e-5)


def test_a_layer_that_runs_several_times_for_an_image(monkeypatch):
    x = random_input(3, 4, 2, 6, 5)
    folded = mx.sym.Reshape(mx.sym.Variable("data"), shape=(-1, 2, 6, 5))
    model = random_model(mx.sym.Convolution(folded, kernel=(3, 3), num_filter=3, name="c"), data=x.shape[1:])
    spec, = layer_specs(model, {"data": x.shape[1:]})
    assert spec.repeats == 4 and available(spec) == 4 * 12
    at = draw(spec, 3, 20, 0)
    read, out = around(model, monkeypatch, ["c"], data=x)["c"]
    wanted = [patch(x[i, place // 12], spec.part, place % 12) for i in range(3) for place in at[i]]
    np.testing.assert_array_equal(patches(read, spec, at), wanted)
    np.testing.assert_allclose(answers(np.array(wanted), model.weight("c_weight"), model.weight("c_bias"), 1),
                               responses(out, spec, at), rtol=1e-4, atol=1e-5)


def test_half_and_double_precision():
    model = random_model(mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=3, name="c"),
                         data=(2, 5, 5))
    spec, = layer_specs(model, {"data": (2, 5, 5)})
    at, x = draw(spec, 3, 4, 0), random_input(3, 2, 5, 5)
    for kind in (np.float16, np.float64):
        found = patches(x.astype(kind), spec, at)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, patches(x, spec, at), atol=1e-3)

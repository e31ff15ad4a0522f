"""Fully connected layers that read feature maps: which these are, and chains of convolutions in their place."""
import numpy as np
import pytest

from accnn import costs, methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import SubConv, SubFC, macs
from accnn.graph.rewrite import Replacement, new_names, replace_layers
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.report import plan as report
from networks import chain_model, outputs, random_input, random_model
from reference import relative_error


def _data():
    return mx.sym.Variable("data")


def _fc(data, **options):
    return mx.sym.FullyConnected(data, num_hidden=6, name="fc", **options)


def _net(between):
    conv = mx.sym.Convolution(_data(), kernel=(3, 3), num_filter=4, name="conv")
    return _fc(between(conv))


BEHIND_MAPS = {
    "directly": lambda x: x,
    "Flatten": mx.sym.Flatten,
    "Reshape to (0, -1)": lambda x: mx.sym.Reshape(x, shape=(0, -1)),
    "Reshape to (-1, units)": lambda x: mx.sym.Reshape(x, shape=(-1, 80)),
    "Dropout behind": lambda x: mx.sym.Dropout(mx.sym.Flatten(x), p=0.5),
    "Dropout in front": lambda x: mx.sym.Flatten(mx.sym.Dropout(x, p=0.5)),
    "Activation behind": lambda x: mx.sym.Activation(mx.sym.Flatten(x), act_type="relu"),
    "over three axes": lambda x: mx.sym.Flatten(mx.sym.Reshape(x, shape=(0, 0, -1))),
    "identity": lambda x: mx.sym.identity(mx.sym.Flatten(x)),
}
BEHIND_NONE = {
    "global pooling": lambda x: mx.sym.Flatten(mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")),
    "an order of its own": lambda x: mx.sym.Reshape(mx.sym.transpose(mx.sym.Flatten(x)), shape=(1, -1)),
    "a concatenation": lambda x: mx.sym.Concat(mx.sym.Flatten(x), mx.sym.Flatten(x)),
    "half of them": lambda x: mx.sym.slice_axis(mx.sym.Flatten(x), axis=1, begin=0, end=40),
    "another layer": lambda x: mx.sym.FullyConnected(x, num_hidden=80, name="before"),
}


@pytest.mark.parametrize("between", BEHIND_MAPS.values(), ids=BEHIND_MAPS)
def test_the_maps_behind_a_vector_are_found(between):
    bench = Accelerator(random_model(_net(between), data=(3, 6, 7)), {"data": (3, 6, 7)})
    assert bench.specs["fc"].maps == (4, 4, 5) and bench.specs["conv"].maps is None


@pytest.mark.parametrize("between", BEHIND_NONE.values(), ids=BEHIND_NONE)
def test_other_vectors_have_none(between):
    bench = Accelerator(random_model(_net(between), data=(3, 6, 7)), {"data": (3, 6, 7)})
    assert bench.specs["fc"].maps is None


def test_an_input_of_the_network_may_be_maps_or_not():
    for shape, flatten, maps in (((4, 3, 2), True, (4, 3, 2)), ((4, 3, 2), False, None), ((24,), True, None),
                                 ((4, 6), True, None), ((4, 1, 1), True, None), ((2, 2, 3, 2), True, None)):
        bench = Accelerator(random_model(_fc(_data(), flatten=flatten), data=shape), {"data": shape})
        assert bench.specs["fc"].maps == maps


@pytest.mark.parametrize("between, maps, repeats", [
    (mx.sym.Flatten, (4, 4, 5), 6), (lambda x: mx.sym.Reshape(x, shape=(-1, 160)), None, 3),
    (lambda x: mx.sym.Reshape(x, shape=(-1, 40)), None, 12)])
def test_pictures_of_a_sequence_are_maps_until_they_are_joined(between, maps, repeats):
    frames = mx.sym.Reshape(_data(), shape=(-3, 0, 0, 0))
    model = random_model(_fc(between(mx.sym.Convolution(frames, kernel=(3, 3), num_filter=4, name="conv"))),
                         data=(6, 3, 6, 7))
    spec = Accelerator(model, {"data": (6, 3, 6, 7)}).specs["fc"]
    assert (spec.maps, spec.repeats) == (maps, repeats)


# A method of the tests' own: C maps summed into one by 1x1, a kernel of (H, W) on it, then all units.

def _by_hand(spec, rng):
    channels, height, width = spec.maps
    maps = None if tuple(spec.in_shape) == spec.maps else spec.maps
    chain = (SubConv("_one", channels, 2, (1, 1), bias=False, maps=maps), SubConv("_two", 2, 3, (height, width)),
             SubFC("_three", 3, spec.part.out_units, spec.part.bias))
    arrays = [(rng.standard_normal(part.weight_shape), rng.standard_normal(part.outputs) if part.bias else None)
              for part in chain]
    return chain, arrays


def _as_one(chain, arrays):
    """Weight and bias of the fully connected layer that a chain of _by_hand is."""
    (one, _), (two, inner), (three, outer) = arrays
    kernel = np.einsum("nt,tsyx,sc->ncyx", three, two, one[:, :, 0, 0])
    return kernel.reshape(len(three), -1), three @ inner + (0 if outer is None else outer)


@pytest.mark.parametrize("between", BEHIND_MAPS.values(), ids=BEHIND_MAPS)
@pytest.mark.parametrize("no_bias", [False, True])
def test_a_chain_of_convolutions_in_its_place(between, no_bias):
    conv = mx.sym.Convolution(_data(), kernel=(3, 3), num_filter=4, name="conv")
    model = random_model(_fc(between(conv), no_bias=no_bias), data=(3, 6, 7))
    bench, x = Accelerator(model, {"data": (3, 6, 7)}), random_input(3, 3, 6, 7)
    spec = bench.specs["fc"]
    chain, arrays = _by_hand(spec, np.random.RandomState(0))
    faster = replace_layers(model, [Replacement(spec, chain, arrays)])
    nodes = {node.name: node for node in faster.graph.nodes}
    assert ("fc_maps" in nodes) == (len(spec.in_shape) == 1)
    if "fc_maps" in nodes:
        assert nodes["fc_maps"].op == "Reshape" and nodes["fc_maps"].attrs == {"shape": "(0, 4, 4, 5)"}
    assert set(new_names(spec, chain)) <= set(nodes)
    read = outputs(random_model(between(conv), data=(3, 6, 7)), data=x)[0].reshape(3, -1)
    weight, bias = _as_one(chain, arrays)
    assert relative_error(outputs(faster, data=x)[0], read @ weight.T + bias) < 1e-5


def test_the_chain_is_counted_from_the_maps():
    bench = Accelerator(chain_model())
    spec = bench.specs["fc1"]
    assert spec.in_shape == (576,) and spec.maps == (16, 6, 6)
    chain, _ = _by_hand(spec, np.random.RandomState(0))
    assert [part.places(shape) for part, shape in zip(chain, [spec.in_shape, (2, 6, 6), (3, 1, 1)])] == [36, 1, 1]
    assert macs(chain, spec.in_shape) == 36 * 16 * 2 + 36 * 2 * 3 + 3 * 16
    assert costs.get("macs").chain(spec, chain) == macs(chain, spec.maps)


def test_hidden_attributes_are_inherited_by_the_maps():
    with mx.AttrScope(ctx_group="last"):
        net = _fc(mx.sym.Flatten(_data()))
    model = random_model(net, data=(4, 3, 2))
    spec = Accelerator(model, {"data": (4, 3, 2)}).specs["fc"]
    faster = replace_layers(model, [Replacement(spec, *_by_hand(spec, np.random.RandomState(0)))])
    maps, = (node for node in faster.graph.nodes if node.name == "fc_maps")
    assert maps.attrs["__ctx_group__"] == "last"


def test_a_taken_name_is_refused():
    net = _fc(mx.sym.Flatten(mx.sym.Activation(_data(), act_type="relu", name="fc_maps")))
    bench = Accelerator(random_model(net, data=(4, 3, 2)), {"data": (4, 3, 2)})
    assert bench.refusal(bench.specs["fc"], methods.get("fc-tucker")) == (
        "the network already has something called fc_maps")
    with pytest.raises(AccnnError, match="fc_maps"):
        bench.accelerate(Plan((Row("fc", "FullyConnected", "fc-tucker", (2, 2)),)))
    assert bench.refusal(bench.specs["fc"], methods.get("fc-svd")) is None


def test_a_report_counts_what_mxnet_infers():
    bench = Accelerator(chain_model())
    plan = Plan((Row("fc1", "FullyConnected", "fc-tucker", (5, 7)),))
    told, faster = report.summary(bench, plan), bench.accelerate(plan)
    internals = faster.symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=(1, 3, 12, 12), softmax_label=(1,))
    shapes = dict(zip(internals.list_outputs(), shapes))
    counted = sum(faster.arg_params[node.name + "_weight"].size * int(np.prod(shapes[node.name + "_output"][2:]))
                  for node in faster.graph.nodes if node.op in ("Convolution", "FullyConnected"))
    assert told["network"]["after"] == counted
    assert told["parameters"]["after"] == sum(array.size for array in faster.arg_params.values())

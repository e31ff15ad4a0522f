"""What is cut out of a network computes what the network computes there."""
from math import prod

import pytest

from accnn import Accelerator, methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.cut import DATA, cut, source
from accnn.graph.ir import Graph
from accnn.planning.plan import Plan, Row
from networks import chain_model, outputs, random_input, random_model, residual_net
from reference import relative_error


def branches():
    """Concat of branches, a layer that reads one of several outputs, two inputs and two heads."""
    x, z = mx.sym.Variable("data"), mx.sym.Variable("other")
    x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=16, name="stem")
    halves = mx.sym.SliceChannel(x, num_outputs=2, name="halves")
    a = mx.sym.Convolution(halves[1], kernel=(3, 3), pad=(1, 1), num_filter=12, name="a")
    b = mx.sym.Convolution(a, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=12, num_group=2, name="b")
    c = mx.sym.Convolution(mx.sym.Concat(a, halves[0], name="both"), kernel=(3, 3), stride=(2, 2), pad=(1, 1),
                           num_filter=12, name="c")
    head = mx.sym.FullyConnected(b + c, num_hidden=24, name="fc")
    other = mx.sym.FullyConnected(mx.sym.Concat(head, z, name="all"), num_hidden=24, name="fc_other")
    return mx.sym.Group([mx.sym.SoftmaxOutput(head, name="softmax"), other])


NETWORKS = {
    "chain": (chain_model, {"data": (3, 12, 12)}),
    "residual": (lambda: random_model(residual_net(), data=(3, 10, 10)), {"data": (3, 10, 10)}),
    "branches": (lambda: random_model(branches(), data=(3, 9, 9), other=(6,)), {"data": (3, 9, 9), "other": (6,)}),
}


@pytest.fixture(params=NETWORKS)
def networks(request):
    """The baseline, the network made from it, its shapes, and specs by name."""
    build, shapes = NETWORKS[request.param]
    bench = Accelerator(build(), shapes)
    plan = Plan(tuple(Row(spec.name, spec.op, methods.DEFAULT[spec.op], 3) for spec in bench.layers[1:]))
    return bench.model, bench.accelerate(plan), shapes, bench, plan


def taps(model, entries, inputs):
    """Values of entries of a network, by MXNet's own internals."""
    position = {node.name: i for i, node in enumerate(model.graph.nodes) if not node.is_variable}
    heads = tuple((position[name], output, 0) for name, output in entries)
    symbol = Graph(model.graph.nodes, heads).to_symbol()
    tapped = type(model)(Graph.from_symbol(symbol), model.arg_params, model.aux_params)
    read = set(symbol.list_arguments())
    return outputs(tapped, **{name: array for name, array in inputs.items() if name in read})


def test_a_cut_gives_the_numbers_of_the_whole_network(networks):
    old, new, shapes, bench, _ = networks
    inputs = {name: random_input(2, *shape) for name, shape in shapes.items()}
    for model in (old, new):
        for spec in bench.layers:
            start = source(old, spec.name)
            part = cut(model, spec.name, start)
            read = inputs[start[0]] if start[0] in inputs else taps(model, [start], inputs)[0]
            expected, = taps(model, [(spec.name, 0)], inputs)
            assert relative_error(outputs(part.model, **{DATA: read})[0], expected) < 1e-5


def test_replaced_layers_are_told_from_those_left_alone(networks):
    old, new, shapes, bench, plan = networks
    chosen = {row.layer for row in plan.chosen()}
    for spec in bench.layers:
        start = source(old, spec.name)
        before, after = (cut(model, spec.name, start) for model in (old, new))
        shape = (2,) + spec.in_shape
        assert before.same_work(after, shape) == (spec.name not in chosen)
        assert before.operators == (spec.name,)
        assert len(after.operators) == (2 if spec.name in chosen else 1)


def test_macs_are_those_of_the_shapes_mxnet_infers(networks):
    old, new, shapes, bench, _ = networks
    for model in (old, new):
        for spec in bench.layers:
            part = cut(model, spec.name, source(old, spec.name))
            assert part.macs((3,) + spec.in_shape) == 3 * counted(part.model, {DATA: spec.in_shape})


def counted(model, shapes):
    """Multiply-adds of one example: weights times the positions of each output, from MXNet's inferred shapes alone."""
    internals = model.symbol.get_internals()
    _, inferred, _ = internals.infer_shape_partial(**{name: (1,) + tuple(shape) for name, shape in shapes.items()})
    by_name = dict(zip(internals.list_outputs(), inferred))
    layers = [node.name for node in model.graph.nodes if node.op in ("Convolution", "FullyConnected")]
    return sum(model.arg_params[name + "_weight"].size * prod(by_name[name + "_output"][2:]) for name in layers)


def test_what_cannot_be_cut_says_why():
    model = chain_model()
    with pytest.raises(AccnnError, match="no layer called 'conv9'"):
        cut(model, "conv9", ("data", 0))
    with pytest.raises(AccnnError, match="does not compute 'conv2' from 'pool'"):
        cut(model, "conv2", ("pool", 0))
    gated = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(1, 1), num_filter=4, name="c")
    gated = mx.sym.broadcast_mul(gated, mx.sym.Variable("gate"), name="end")
    with pytest.raises(AccnnError, match="'end' reads 'gate' too"):
        cut(random_model(gated, data=(4, 5, 5), gate=(4, 5, 5)), "end", ("data", 0))


def test_a_cut_leaves_the_network_as_it_was():
    model = chain_model()
    nodes, params = model.graph.nodes, dict(model.arg_params)
    part = cut(model, "conv2", ("relu1", 0))
    assert model.graph.nodes is nodes and model.arg_params == params
    assert set(part.model.arg_params) == {"conv2_weight", "conv2_bias"}
    assert part.model.arg_params["conv2_weight"] is params["conv2_weight"]

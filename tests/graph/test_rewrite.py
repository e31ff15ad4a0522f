"""Layers replaced in graphs of every kind: outputs equal at full rank, everything else untouched."""
import json

import numpy as np
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.report import plan as report
from networks import chain_model, outputs, random_input, random_model, residual_net, saved
from reference import convolve, relative_error

EXACT = 1e-5


def full_rank(bench, names=None):
    """Plan that replaces the named layers, or all that can be, at their largest rank."""
    rows = []
    for spec in bench.specs.values():
        method = methods.get(methods.DEFAULT[spec.op])
        if (names is None or spec.name in names) and not spec.refusal and not method.refuse(spec):
            rows.append(Row(spec.name, spec.op, method.name, method.full_rank(spec)))
    return Plan(tuple(rows))


def check_parity(model, **inputs):
    """Every layer alone and all together at full rank give the outputs of `model`; return the names replaced."""
    bench = Accelerator(model, {name: x.shape[1:] for name, x in inputs.items()})
    expected, plan = outputs(model, **inputs), full_rank(bench)
    for rows in [(row,) for row in plan.rows] + [plan.rows]:
        faster = bench.accelerate(Plan(rows))
        assert faster.symbol.list_outputs() == model.symbol.list_outputs()
        for made, wanted in zip(outputs(faster, **inputs), expected):
            assert relative_error(made, wanted) <= EXACT, [row.layer for row in rows]
        check_untouched(model, faster, {row.layer for row in rows})
    return [row.layer for row in plan.rows]


def check_untouched(model, faster, replaced):
    """Nodes, attributes and parameters that are not part of a replaced layer are what they were."""
    nodes = {node.name: node for node in faster.graph.nodes}
    mine = {name + end for name in replaced for end in ("_weight", "_bias")} | replaced
    for node in model.graph.nodes:
        if node.name not in mine:
            assert nodes[node.name].op == node.op and nodes[node.name].attrs == node.attrs
    for before, after in ((model.arg_params, faster.arg_params), (model.aux_params, faster.aux_params)):
        assert all(after[name] is array for name, array in before.items() if name not in mine)
    assert not mine - replaced & set(faster.arg_params)
    taps = set(faster.symbol.get_internals().list_outputs())
    assert {name + "_output" for name in replaced} <= taps
    needed = set(faster.symbol.list_arguments()) | set(faster.symbol.list_auxiliary_states())
    unused = (set(model.arg_params) | set(model.aux_params)) - set(model.graph.variables())
    assert set(faster.arg_params) | set(faster.aux_params) <= needed | unused


def conv(data, name, filters=6, **options):
    options.setdefault("kernel", (3, 3))
    return mx.sym.Convolution(data, num_filter=filters, name=name, **options)


def test_vgg_like_chain():
    assert check_parity(chain_model(), data=random_input(2, 3, 12, 12)) == ["conv1", "conv2", "conv3", "fc1", "fc2"]


def test_residual_network_with_batchnorm_and_no_bias():
    model = random_model(residual_net(), data=(3, 9, 9))
    replaced = check_parity(model, data=random_input(2, 3, 9, 9))
    assert len(replaced) == 6
    faster = Accelerator(model, {"data": (3, 9, 9)}).accelerate(full_rank(Accelerator(model, {"data": (3, 9, 9)})))
    assert set(faster.aux_params) == set(model.aux_params) and "stem_v_bias" not in faster.arg_params


@pytest.mark.parametrize("options", [
    {"stride": (2, 1), "pad": (1, 0)}, {"stride": (1, 3), "pad": (0, 2)}, {"dilate": (2, 1), "pad": (2, 1)},
    {"kernel": (5, 2), "stride": (2, 2)}, {"kernel": (1, 7), "pad": (0, 3)}, {"kernel": (1, 1), "pad": (1, 1)},
    {"num_group": 3, "pad": (1, 1)}, {"num_group": 6, "filters": 12}, {"no_bias": True}, {"layout": "NCHW"},
], ids=str)
def test_every_kind_of_2d_convolution(options):
    net = conv(conv(mx.sym.Variable("data"), "first", pad=(1, 1)), "second", **options)
    model = random_model(net, data=(3, 13, 11))
    x = random_input(2, 3, 13, 11)
    assert check_parity(model, data=x) == ["first", "second"]
    spec = Accelerator(model, {"data": (3, 13, 11)}).specs["second"].part
    middle = convolve(x, model.weight("first_weight"), model.weight("first_bias"), pad=(1, 1))
    bias = None if options.get("no_bias") else model.weight("second_bias")
    independent = convolve(middle, model.weight("second_weight"), bias, spec.stride, spec.pad, spec.dilate, spec.groups)
    assert relative_error(outputs(model, data=x)[0], independent) <= EXACT


def test_stride_pad_and_dilation_are_written_on_the_right_half():
    net = conv(mx.sym.Variable("data"), "c", kernel=(3, 5), stride=(2, 3), pad=(1, 2), dilate=(1, 2))
    model = random_model(net, data=(3, 21, 21))
    bench = Accelerator(model, {"data": (3, 21, 21)})
    nodes = {node.name: node for node in bench.accelerate(full_rank(bench)).graph.nodes}
    assert nodes["c_v"].attrs == {"kernel": "(3, 1)", "num_filter": "9", "stride": "(2, 1)", "pad": "(1, 0)"}
    assert nodes["c_h"].attrs == {"kernel": "(1, 5)", "num_filter": "6", "stride": "(1, 3)", "pad": "(0, 2)",
                                  "dilate": "(1, 2)"}
    assert {"c_v_weight", "c_v_bias", "c_h_weight", "c_h_bias"} <= set(nodes)


def test_several_inputs_outputs_concat_slice_and_prelu():
    a, b = mx.sym.Variable("left"), mx.sym.Variable("right")
    left = mx.sym.LeakyReLU(conv(a, "conv_a", pad=(1, 1)), act_type="prelu", name="prelu")
    right = conv(b, "conv_b", 4, pad=(1, 1))
    both = mx.sym.Concat(left, right, name="both")
    halves = mx.sym.SliceChannel(both, num_outputs=2, name="halves")
    top = conv(halves[1], "top")
    net = mx.sym.Group([top, right, mx.sym.FullyConnected(halves[0], num_hidden=3, name="fc"), halves[0]])
    model = random_model(net, left=(3, 8, 8), right=(2, 8, 8))
    replaced = check_parity(model, left=random_input(2, 3, 8, 8), right=random_input(2, 2, 8, 8, seed=2))
    assert replaced == ["conv_a", "conv_b", "top", "fc"]


@pytest.mark.parametrize("flatten, shape", [(True, (4, 5)), (False, (4, 5)), (True, (2, 3, 4)), (False, (2, 3, 4))])
@pytest.mark.parametrize("no_bias", [False, True])
def test_fully_connected_layers(flatten, shape, no_bias):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=6, flatten=flatten, no_bias=no_bias, name="fc")
    model = random_model(net, data=shape)
    assert check_parity(model, data=random_input(3, *shape)) == ["fc"]


def test_half_precision_stays_half_precision():
    model = random_model(conv(mx.sym.Variable("data"), "c"), dtype="float16", data=(3, 8, 8))
    bench = Accelerator(model, {"data": (3, 8, 8)})
    assert {array.dtype for array in bench.accelerate(full_rank(bench)).arg_params.values()} == {np.float16}


def test_shared_weights_are_refused():
    weight = mx.sym.Variable("w")
    net = conv(conv(mx.sym.Variable("data"), "one", 3, weight=weight, pad=(1, 1)), "two", 3, weight=weight)
    bench = Accelerator(random_model(net, data=(3, 9, 9)), {"data": (3, 9, 9)})
    assert bench.specs["one"].refusal == "shares w with two"
    with pytest.raises(AccnnError, match="'two' cannot be split: shares w with one"):
        bench.accelerate(Plan((Row("two", "Convolution", "vh", 2),)))


def test_other_layers_are_refused_with_a_reason():
    data, flat = mx.sym.Variable("data"), mx.sym.Variable("sequence")
    nets = {
        "1-D": (conv(flat, "c", kernel=(3,)), {"sequence": (4, 20)}),
        "3-D": (conv(data, "c", kernel=(3, 3, 3)), {"data": (2, 6, 6, 6)}),
        "layout NHWC": (conv(data, "c", layout="NHWC"), {"data": (9, 9, 3)}),
        "computed by": (conv(data, "c", weight=mx.sym.Variable("w", shape=(6, 3, 3, 3)) * 2), {"data": (3, 9, 9)}),
    }
    for reason, (net, shapes) in nets.items():
        if reason == "layout NHWC":  # MXNet's CPU build infers its shapes only when asked for nothing else
            model = random_model(net, **{name: shape for name, shape in shapes.items()})
        else:
            model = random_model(net, **shapes)
        spec = Accelerator(model, shapes).specs["c"]
        assert reason in spec.refusal
        with pytest.raises(AccnnError, match="no layer of"):
            Accelerator(model, shapes).select_ranks(1.5)


def test_duplicate_names_and_taken_names():
    data = mx.sym.Variable("data")
    same = mx.sym.Group([conv(data, "c", weight=mx.sym.Variable("w1"), bias=mx.sym.Variable("b1")),
                         conv(data, "c", weight=mx.sym.Variable("w2"), bias=mx.sym.Variable("b2"))])
    model = random_model(same, data=(3, 8, 8))
    with pytest.raises(AccnnError, match="same name"):
        bench = Accelerator(model, {"data": (3, 8, 8)})
        bench.accelerate(Plan((Row("c", "Convolution", "vh", 2),)))
    assert report.summary(bench, bench.check(Plan(())))["network"]["before"] == _macs(model, data=(1, 3, 8, 8))
    taken = mx.sym.Group([conv(data, "c"), mx.sym.Activation(data, act_type="relu", name="c_v"), conv(data, "d")])
    bench = Accelerator(random_model(taken, data=(3, 8, 8)), {"data": (3, 8, 8)})
    rows = {row.layer: row for row in bench.select_ranks(1.2).rows}
    assert rows["c"].reason == "the network already has something called c_v" and rows["d"].method == "vh"
    with pytest.raises(AccnnError, match="'c' cannot be split: .* c_v"):
        bench.accelerate(Plan((Row("c", "Convolution", "vh", 2),)))


def test_hidden_attributes():
    """Learning rates follow into the parts, shape hints do not, and code in attributes stays text."""
    weight = mx.sym.Variable("c_weight", shape=(6, 3, 3, 3), lr_mult=2.0, wd_mult=0.5)
    data = mx.sym.Variable("data", attr={"__note__": "__import__('os').system('exit 1')"})
    with mx.AttrScope(ctx_group="dev1"):
        net = conv(data, "c", weight=weight)
    model = random_model(net, data=(3, 8, 8))
    bench = Accelerator(model, {"data": (3, 8, 8)})
    faster = bench.accelerate(full_rank(bench))
    nodes = {node.name: node for node in faster.graph.nodes}
    assert nodes["c_v_weight"].attrs == {"__lr_mult__": "2.0", "__wd_mult__": "0.5"}
    assert nodes["c_h"].attrs["__ctx_group__"] == "dev1"
    assert nodes["data"].attrs["__note__"].startswith("__import__")
    assert "__shape__" not in json.dumps([node.attrs for node in faster.graph.nodes])
    outputs(faster, data=random_input(1, 3, 8, 8))


def test_parameters_of_no_node_are_kept():
    model = chain_model()
    model.arg_params["somebody_elses"] = mx.nd.ones((2,))
    bench = Accelerator(model)
    assert "somebody_elses" in bench.accelerate(full_rank(bench)).arg_params


def test_the_input_model_is_not_changed():
    model = chain_model()
    before = model.symbol.tojson(), {name: array.asnumpy() for name, array in model.arg_params.items()}
    bench = Accelerator(model)
    bench.accelerate(bench.select_ranks(2.0))
    assert model.symbol.tojson() == before[0]
    assert set(model.arg_params) == set(before[1])
    assert all((model.arg_params[name].asnumpy() == array).all() for name, array in before[1].items())


def test_an_accelerated_model_can_be_accelerated_again():
    model, x = chain_model(), random_input(1, 3, 12, 12)
    once = Accelerator(model).accelerate(full_rank(Accelerator(model), {"conv2"}))
    again = Accelerator(once)
    twice = again.accelerate(full_rank(again))
    assert relative_error(outputs(twice, data=x)[0], outputs(model, data=x)[0]) <= EXACT
    assert "conv2_v_h_weight" in twice.arg_params


def test_macs_of_the_report_are_those_of_the_rewritten_network():
    model = random_model(residual_net(), data=(3, 20, 20))
    bench = Accelerator(model, {"data": (3, 20, 20)})
    plan = bench.select_ranks(1.7, fc=True)
    faster, told = bench.accelerate(plan), report.summary(bench, plan)
    assert told["network"]["before"] == _macs(model, data=(1, 3, 20, 20))
    assert told["network"]["after"] == _macs(faster, data=(1, 3, 20, 20))
    stored = [sum(a.size for a in list(m.arg_params.values()) + list(m.aux_params.values())) for m in (model, faster)]
    assert [told["parameters"]["before"], told["parameters"]["after"]] == stored


def _macs(model, **shapes):
    """Counted from MXNet's own shape inference: outputs of a layer times weights of one output."""
    internals = model.symbol.get_internals()
    arg_shapes, out_shapes, _ = internals.infer_shape(**shapes)
    args = dict(zip(internals.list_arguments(), arg_shapes))
    layers = {node.name + "_output": node for node in model.graph.nodes if node.op in ("Convolution", "FullyConnected")}
    return sum(int(np.prod(shape)) * int(np.prod(args[_weight_of(model, layers[name])][1:]))
               for name, shape in zip(internals.list_outputs(), out_shapes) if name in layers)


def _weight_of(model, node):
    return model.graph.nodes[node.inputs[1][0]].name


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_weights_that_are_no_floats_are_refused(dtype):
    model = random_model(conv(conv(mx.sym.Variable("data"), "c"), "d"), data=(3, 9, 9))
    model.arg_params["c_weight"] = model.arg_params["c_weight"].astype(dtype)
    assert "no float16" in Accelerator(model, {"data": (3, 9, 9)}).specs["c"].refusal


def test_casts_of_mixed_precision_stay(tmp_path):
    """MXNet's tojson drops amp_cast unless told otherwise."""
    cast = mx.sym.amp_cast(mx.sym.Variable("data"), dtype="float16", name="cast")
    model = random_model(conv(conv(mx.sym.amp_cast(cast, dtype="float32", name="back"), "c"), "d"), data=(3, 9, 9))
    bench = Accelerator(load_model(saved(model, tmp_path / "m")), {"data": (3, 9, 9)})
    again = load_model(saved(bench.accelerate(full_rank(bench)), tmp_path / "new"))
    assert [node.name for node in again.graph.nodes if node.op == "amp_cast"] == ["cast", "back"]


def test_layers_that_run_several_times_for_one_example():
    """Five frames folded into the batch cost five times as much, and weigh so in the choice of ranks."""
    frames = mx.sym.Reshape(mx.sym.Variable("data"), shape=(-3, 0, 0, 0))
    net = conv(conv(frames, "a", 8, pad=(1, 1)), "b", 8, pad=(1, 1))
    model = random_model(net, data=(5, 3, 8, 8))
    bench = Accelerator(model, {"data": (5, 3, 8, 8)})
    told = report.summary(bench, bench.select_ranks(1.3))
    assert told["network"]["before"] == _macs(model, data=(1, 5, 3, 8, 8))


def test_names_beyond_ascii():
    model = random_model(conv(mx.sym.Variable("data"), "\u5377\u79ef"), data=(3, 8, 8))
    assert check_parity(model, data=random_input(1, 3, 8, 8)) == ["\u5377\u79ef"]


def test_a_name_is_a_pattern_for_itself():
    model = random_model(conv(conv(mx.sym.Variable("data"), "conv[1]", pad=(1, 1)), "conv[2]"), data=(3, 9, 9))
    rows = {row.layer: row for row in Accelerator(model, {"data": (3, 9, 9)}).select_ranks(1.1,
                                                                                           layers=["conv[1]"]).rows}
    assert rows["conv[1]"].method == "vh" and rows["conv[2]"].method is None


def test_subgraphs_are_left_alone():
    """The body of a control-flow operator is not looked into; layers around it are split."""
    def body(item, state):
        return mx.sym.FullyConnected(item, num_hidden=5, name="inner", flatten=False), state

    data = conv(mx.sym.Variable("data"), "outer", 4, pad=(1, 1))
    out, _ = mx.sym.contrib.foreach(body, mx.sym.transpose(data, (1, 0, 2, 3)), mx.sym.zeros((1,)))
    model = random_model(out, data=(3, 6, 6))
    assert check_parity(model, data=random_input(1, 3, 6, 6)) == ["outer"]

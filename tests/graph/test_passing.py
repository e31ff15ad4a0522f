"""Weights behind casts and other operators that keep values: split as any other; computed ones count and stay."""
import numpy as np
import pytest
from mxnet.contrib import amp

from accnn import methods
from accnn.core.compat import mx
from accnn.graph.checkpoint import Model, load_model, save_model
from accnn.graph.ir import Graph
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.report import plan
from networks import chain_model, outputs, random_input, random_model
from reference import relative_error

sym = mx.sym
SHAPE = (4, 9, 8)


def full_rank(bench):
    return Plan(tuple(Row(spec.name, spec.kind, method.name, method.full_rank(spec))
                      for spec, method in ((spec, methods.get(methods.DEFAULT[spec.kind])) for spec in bench.layers)
                      if not bench.refusal(spec, method)))


def parts(weight, bias=None):
    """A convolution and a fully connected layer whose weights are what `weight` makes of variables, and the model."""
    bias = bias or (lambda variable: variable)
    data = sym.Convolution(sym.Variable("data"), weight(sym.Variable("c_weight", shape=(6, 4, 3, 3))),
                           bias(sym.Variable("c_bias", shape=(6,))), kernel=(3, 3), num_filter=6, name="c")
    data = sym.FullyConnected(data, weight(sym.Variable("f_weight", shape=(5, 252))),
                              bias(sym.Variable("f_bias", shape=(5,))), num_hidden=5, name="f")
    return random_model(data, data=SHAPE)


KEEPING = {
    "amp_cast": lambda w: sym.amp_cast(w, dtype="float32"),
    "Cast": lambda w: sym.Cast(sym.Cast(w, dtype="float64"), dtype="float32"),
    "identity": sym.identity,
    "BlockGrad": sym.BlockGrad,
    "Dropout": lambda w: sym.Dropout(w, p=0.3),
    "Reshape": lambda w: sym.Reshape(w, shape=(0, -2)),
    "several": lambda w: sym.BlockGrad(sym.identity(sym.amp_cast(w, dtype="float32"))),
}


@pytest.mark.parametrize("name", KEEPING)
def test_full_rank_parity_and_the_operators_stay_on_the_new_weights(name):
    model, x = parts(KEEPING[name], sym.identity), random_input(2, *SHAPE)
    bench = Accelerator(model, {"data": SHAPE})
    assert [spec.refusal for spec in bench.layers] == [None, None]
    made = bench.accelerate(full_rank(bench))
    assert relative_error(outputs(made, data=x)[0], outputs(model, data=x)[0]) <= 1e-5
    assert sorted(made.arg_params) == sorted(
        "%s_%s" % pair for pair in [("c_v", "weight"), ("c_v", "bias"), ("c_h", "weight"), ("c_h", "bias"),
                                    ("f_red", "weight"), ("f_rec", "weight"), ("f_rec", "bias")])

    def ops(net, weight):
        found, name = [], weight
        readers = {net.graph.nodes[entry[0]].name: node for node in net.graph.nodes for entry in node.inputs}
        while readers[name].op not in ("Convolution", "FullyConnected"):
            found.append((readers[name].op, readers[name].attrs))
            name = readers[name].name
        return found

    wanted = [one for one in ops(model, "c_weight") if one[0] != "Reshape"]
    assert ops(made, "c_v_weight") == ops(made, "c_h_weight") == ops(made, "f_red_weight") == wanted


@pytest.mark.parametrize("shape", [(-1,), (6, -1), (2, 3, 4, 9)])
def test_a_weight_stored_in_another_shape(shape):
    stored = np.zeros((6, 4, 3, 3)).reshape(shape).shape
    weight = sym.Reshape(sym.Variable("c_weight", shape=stored), shape=(6, 4, 3, 3))
    model = random_model(sym.Convolution(sym.Variable("data"), weight, kernel=(3, 3), num_filter=6, no_bias=True,
                                         name="c"), data=SHAPE)
    bench, x = Accelerator(model, {"data": SHAPE}), random_input(2, *SHAPE)
    made = bench.accelerate(full_rank(bench))
    assert made.arg_params["c_v_weight"].shape == (12, 4, 3, 1)
    assert relative_error(outputs(made, data=x)[0], outputs(model, data=x)[0]) <= 1e-5


def test_a_network_in_bfloat16(tmp_path):
    model, x = chain_model(), random_input(2, 3, 12, 12)
    symbol, args, aux = amp.convert_model(model.symbol, dict(model.arg_params), {}, target_dtype="bfloat16")
    save_model(Model(Graph.from_symbol(symbol), args, aux), str(tmp_path / "amp"))
    bench = Accelerator(load_model(str(tmp_path / "amp")), {"data": (3, 12, 12)})
    assert [(spec.refusal, spec.precision) for spec in bench.layers] == [(None, "bfloat16")] * 5
    bench.accelerate(full_rank(bench)).save(str(tmp_path / "fast"))
    fast = load_model(str(tmp_path / "fast"))
    assert {array.dtype for array in fast.arg_params.values()} == {np.float32}
    exact, = outputs(model, data=x)
    rounded = relative_error(outputs(bench.model, data=x)[0], exact)
    assert 1e-4 < relative_error(outputs(fast, data=x)[0], exact) < 2 * rounded + 1e-3  # computed in bfloat16 as well


COMPUTED = {
    "scaled": lambda w: w * 2, "multicast": lambda w: sym.amp_multicast(w, w, num_outputs=2)[0],
    "to integers": lambda w: sym.Cast(sym.Cast(w, dtype="int32"), dtype="float32"),
    "reversed": lambda w: sym.Reshape(w, shape=(-1, 0), reverse=True),
    "always dropped": lambda w: sym.Dropout(w, p=0.5, mode="always"),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_count_and_stay(name):
    make = COMPUTED[name]
    weight = sym.Reshape(make(sym.Variable("c_weight", shape=(6, 4, 3, 3))), shape=(6, 4, 3, 3))
    data = sym.Convolution(sym.Variable("data"), weight, kernel=(3, 3), num_filter=6, no_bias=True, name="c")
    made = make(sym.Variable("f_weight", shape=(5, 252)))
    data = sym.FullyConnected(data, made, num_hidden=5, no_bias=True, name="f")
    bench = Accelerator(random_model(data, data=SHAPE), {"data": SHAPE})
    assert all("computed by" in spec.refusal for spec in bench.layers)
    told = plan.summary(bench, Plan(()))
    assert [layer["macs_before"] for layer in told["layers"]] == [7 * 6 * 6 * 36, 5 * 252]
    assert told["network"]["uncounted"] == 0


def test_a_cast_weight_that_others_read_too():
    cast, shared = sym.amp_cast(sym.Variable("w"), dtype="float32"), sym.Variable("v")
    one = sym.Convolution(sym.Variable("data"), cast, kernel=(3, 3), num_filter=4, no_bias=True, name="one")
    two = sym.Convolution(one, cast, kernel=(3, 3), num_filter=4, no_bias=True, name="two")
    three = sym.Convolution(two, shared, kernel=(1, 1), num_filter=4, no_bias=True, name="three")
    model = random_model(sym.Group([three, sym.amp_cast(shared, dtype="float64", name="cast")]), data=SHAPE)
    left = [spec.refusal for spec in Accelerator(model, {"data": SHAPE}).layers]
    assert left[0] == "shares w with two" and left[1] == "shares w with one" and left[2] == "shares v with cast"

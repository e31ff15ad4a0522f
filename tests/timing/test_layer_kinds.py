"""Layers of every kind are timed against what stands for them, or a row says why not."""
from mxnet.contrib import amp

from accnn import methods
from accnn.core.compat import mx
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.timing.clock import NOT_COMPARED, REPLACED, UNCHANGED
from accnn.timing.layers import find_pairs, layer_inputs, time_layers
from networks import chain_model, random_input, random_model

sym = mx.sym


def rows(model, shape, rank=3, batch=2):
    """Rows by layer: everything that can be is split at a small rank."""
    bench = Accelerator(model, {"data": shape})
    able = [(spec, methods.get(methods.DEFAULT[spec.kind])) for spec in bench.layers if not spec.refusal]
    new = bench.accelerate(Plan(tuple(Row(spec.name, spec.kind, method.name, rank) for spec, method in able)))
    pairs = find_pairs(model, new, bench.layers)
    arrays = {"data": mx.nd.array(random_input(batch, *shape))}
    read = layer_inputs(model, pairs, {"data": shape}, batch, arrays, mx.cpu())
    return {row["layer"]: row for row in time_layers(
        pairs, read, batch, dict(rounds=1, warm_up=0), lambda done, what: None, lambda: None)}


def test_transposed_old_and_looped_convolutions():
    def step(frame, states):
        now = sym.Convolution(frame, kernel=(3, 3), pad=(1, 1), num_filter=4, name="in") + states[0]
        return now, [now]

    x = sym.Convolution_v1(sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="old")
    x = sym.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=6, name="up")
    frames = sym.expand_dims(sym.swapaxes(x, dim1=0, dim2=1), axis=2)
    _, last = sym.contrib.foreach(step, frames, [sym.zeros((1, 4, 16, 14))])
    found = rows(random_model(last[0], data=(3, 8, 7)), (3, 8, 7), batch=1)
    assert [found[name]["status"] for name in ("old", "up")] == [REPLACED, REPLACED]
    assert found["up"]["chain"] == ["up_v", "up_h"] and found["old"]["op"] == "Convolution_v1"
    assert found["up"]["macs_before"] == 8 * 6 * 16 * 8 * 7
    assert found["up"]["macs_after"] == 8 * 3 * 4 * 8 * 7 + 3 * 6 * 4 * 16 * 7
    assert found["up"]["before"]["median_ms"] > 0 and found["up"]["measured"]
    inside, = set(found) - {"old", "up"}
    assert found[inside]["status"] == NOT_COMPARED and "a loop of 6 steps" in found[inside]["reason"]


def test_a_network_in_bfloat16():
    model = chain_model()
    symbol, args, aux = amp.convert_model(model.symbol, dict(model.arg_params), {}, target_dtype="bfloat16")
    found = rows(Model(Graph.from_symbol(symbol), args, aux), (3, 12, 12))
    assert [row["status"] for row in found.values()] == [REPLACED] * 5


def test_deformable_convolutions_are_unchanged():
    body = sym.Convolution(sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="c")
    offset = sym.Convolution(body, kernel=(3, 3), pad=(1, 1), num_filter=18, name="offset")
    made = sym.contrib.DeformableConvolution(body, offset, kernel=(3, 3), pad=(1, 1), num_filter=6, name="deform")
    found = rows(random_model(made, data=(3, 8, 7)), (3, 8, 7))
    assert found["c"]["status"] == found["offset"]["status"] == REPLACED
    assert found["deform"]["status"] in (UNCHANGED, REPLACED)  # with its offsets, which are a chain now

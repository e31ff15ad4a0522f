"""What every engine does, and MXNet besides: the same answers in every precision, up to what that rounds."""
import datetime
import os
import sys
import types

import numpy as np
import pytest

from accnn import engines
from accnn.core import amx
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import PRECISIONS
from accnn.core.libraries import missing
from networks import chain_model, outputs, random_input, random_model, residual_net

NEAR = {"fp32": 1e-5, "bf16": 0.03, "int8": 0.15}


def loaded(engine, model, precision, batch=2, shapes=None, **how):
    engine = engines.get(engine)
    if engine.refuse(precision):
        pytest.skip(engine.refuse(precision))
    return engine.load(model, shapes or {"data": (3, 12, 12)}, batch, precision=precision, **how)


@pytest.mark.parametrize("name", engines.names())
def test_the_contract(name):
    engine = engines.get(name)
    assert engine.name == name and engine.summary and set(engine.precisions) <= set(PRECISIONS)
    assert engine.available() is not None or engine.version[0].isdigit()
    assert "no precision 'int4'" in engine.refuse("int4") or engine.available()
    with pytest.raises(AccnnError, match="int4|cannot be imported"):
        engine.load(chain_model(), {"data": (3, 12, 12)}, 1, precision="int4")


@pytest.mark.parametrize("name", engines.names())
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_answers_are_those_of_mxnet(name, precision):
    model, data = chain_model(), random_input(2, 3, 12, 12)
    before = {key: array.asnumpy() for key, array in model.arg_params.items()}
    network = loaded(name, model, precision, calibration=[{"data": data}])
    assert network.inputs[0] == "data" and network.output_names == ["softmax_output"]
    assert network.precision == precision and precision in network.ran
    (expected,), (found,) = outputs(model, data=data), network(data)
    assert found.dtype == np.float32 and np.abs(found - expected).max() <= NEAR[precision] * expected.max()
    once = network.once(data)
    assert once() is None and np.array_equal(network(data)[0], found)
    assert all(np.array_equal(array, model.arg_params[key].asnumpy()) for key, array in before.items())


@pytest.mark.parametrize("name", engines.names())
def test_int8_of_a_float32_network_needs_ranges(name):
    with pytest.raises(AccnnError, match="INT8 needs the range of every tensor"):
        loaded(name, chain_model(), "int8")


@pytest.mark.parametrize("name", engines.names())
def test_several_inputs_in_their_order(name):
    net = mx.sym.broadcast_sub(mx.sym.Variable("one"), mx.sym.Variable("two"), name="less")
    network = loaded(name, random_model(net, one=(4,), two=(4,)), "fp32", 1, {"two": (4,), "one": (4,)})
    arrays = {"one": np.full((1, 4), 5.0), "two": np.full((1, 4), 2.0)}
    assert network(*(arrays[name] for name in network.inputs))[0].tolist() == [[3.0] * 4]


@pytest.mark.parametrize("stored", ["int8", "bf16"])
def test_a_converted_network_runs_as_it_is_and_in_no_other_precision(stored):
    converted = engines.mxnet.convert(chain_model(), stored, [{"data": random_input(2, 3, 12, 12)}])
    assert engines.mxnet.convert(converted, stored) is converted
    assert loaded("mxnet", converted, stored).ran == stored
    for precision in {"fp32", "bf16", "int8"} - {stored}:
        with pytest.raises(AccnnError, match="give the float32 checkpoint"):
            loaded("mxnet", converted, precision)


@pytest.mark.parametrize("name", sorted(set(engines.names()) - {"mxnet"}))
@pytest.mark.parametrize("stored", ["int8", "bf16"])
def test_other_engines_want_the_float32_checkpoint(name, stored):
    converted = engines.mxnet.convert(chain_model(), stored, [{"data": random_input(2, 3, 12, 12)}])
    for precision in engines.get(name).precisions[:-1]:  # INT8, the last one, runs as it is stored
        with pytest.raises(AccnnError, match="give the float32 checkpoint"):
            loaded(name, converted, precision)


@pytest.mark.parametrize("name", engines.names())
def test_branches_and_batchnorm_in_two_threads(name, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    model, data = random_model(residual_net(), data=(3, 12, 12)), random_input(2, 3, 12, 12)
    found, = loaded(name, model, "fp32", threads=2)(data)
    assert np.abs(found - outputs(model, data=data)[0]).max() <= 1e-5 * np.abs(found).max()


@pytest.mark.parametrize("name", engines.names())
def test_double_precision(name):
    net, data = chain_model().symbol.get_internals()["fc2_output"], random_input(2, 3, 12, 12)
    model = random_model(net, dtype="float64", data=(3, 12, 12))
    expected = outputs(random_model(net, data=(3, 12, 12)), data=data)[0]
    assert np.allclose(loaded(name, model, "fp32")(data)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", engines.names())
def test_a_network_that_holds_its_batch(name):
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=6, name="fc")
    model, shapes = random_model(mx.sym.reshape(net, shape=(4, -1)), data=(5,)), {"data": (5,)}
    assert loaded(name, model, "fp32", 4, shapes)(np.ones((4, 5), np.float32))[0].shape == (4, 6)


@pytest.mark.parametrize("name", engines.names())
def test_probabilities_of_many_classes_in_int8(name):
    model, data = chain_model(classes=600), random_input(2, 3, 12, 12)
    found, = loaded(name, model, "int8", calibration=[{"data": data}])(data)
    expected, = outputs(model, data=data)
    assert np.abs(found - expected).max() <= 0.03 * expected.max() and np.allclose(found.sum(axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("name, package, extra", [("onnxruntime", "onnxruntime", "onnx"), ("openvino", "onnx", "onnx"),
                                                  ("openvino", "openvino", "openvino")])
def test_what_is_missing_is_named_with_the_extra(name, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", types.ModuleType("onnx"))
    monkeypatch.setitem(sys.modules, package, None)
    engine = engines.get(name)
    assert "%s cannot be imported" % package in engine.available() and "'.[%s]'" % extra in engine.available()
    with pytest.raises(AccnnError, match=package + " cannot be imported"):
        engine.load(chain_model(), {"data": (3, 12, 12)}, 1)


def test_float32_is_float32_in_openvino_where_bfloat16_is_its_choice():
    assert loaded("openvino", chain_model(), "fp32").ran == "fp32 in 5 of 5 layers"
    assert loaded("openvino", chain_model(), "bf16").ran.startswith("bf16 in 5 of 5 layers")


def test_nncf_is_told_to_keep_what_it_is_used_for_to_itself(monkeypatch):
    monkeypatch.delenv("NNCF_CI", raising=False)
    monkeypatch.setitem(sys.modules, "nncf", types.ModuleType("nncf"))
    assert missing("nncf") is None and os.environ["NNCF_CI"] == "1"
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "'.[openvino]'" in missing("nncf")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_of_any_number_of_examples(name):
    model, data = random_model(residual_net(), data=(3, 12, 12)), random_input(5, 3, 12, 12)
    network = loaded(name, model, "int8", calibration=[{"data": data[:3]}, {"data": data[3:]}])
    assert network.ran.startswith("int8 in 6 of 6 layers")
    found, = network(data[:2])
    assert np.abs(found - outputs(model, data=data[:2])[0]).max() <= NEAR["int8"] * np.abs(found).max()


@pytest.mark.parametrize("name", engines.names())
def test_outputs_in_front_of_a_relu_keep_their_negative_numbers_in_int8(name):
    layer = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=4, kernel=(3, 3), name="c1")
    behind = mx.sym.Convolution(mx.sym.Activation(layer, act_type="relu"), num_filter=4, kernel=(3, 3), name="c2")
    model, data = random_model(mx.sym.Group([behind, layer]), data=(3, 12, 12)), random_input(2, 3, 12, 12)
    network = loaded(name, model, "int8", calibration=[{"data": data}])
    for found, expected in zip(network(data), loaded("mxnet", model, "fp32")(data)):
        assert expected.min() < 0 and np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()


def test_mxnet_has_the_threads_that_its_process_was_started_with(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert loaded("mxnet", chain_model(), "fp32", threads=2)
    with pytest.raises(AccnnError, match="OMP_NUM_THREADS=3, this one has 2"):
        loaded("mxnet", chain_model(), "fp32", threads=3)


def test_bfloat16_wants_avx512(monkeypatch):
    monkeypatch.setattr(amx, "isa", lambda: "AVX2")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert "the environment says DNNL_MAX_CPU_ISA=AVX2" in engines.get("mxnet").refuse("bf16")
    assert engines.get("mxnet").refuse("int8") is None


def test_only_what_runs_between_two_layers_counts():
    took = {"data": 1, "front/Conv": 2, "front/Relu": 4, "x_to_y": 8, "a/Conv": 16, "behind/Conv": 32,
            "behind_output": 64}
    profile = [types.SimpleNamespace(node_name=name, real_time=datetime.timedelta(seconds=seconds))
               for name, seconds in took.items()]
    seconds = engines.openvino._seconds_between
    assert seconds("front", "behind", profile) == 24 and seconds("none", "behind", profile) == 31
    assert seconds("front", "none", profile) == 120 and seconds("none", "a", profile) == 15


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_profiled_network_tells_what_runs_between_layers(precision):
    data = random_input(2, 3, 12, 12)
    network = loaded("openvino", chain_model(), precision, calibration=[{"data": data}], profiled=True)
    whole, part = (network.between(*names, data)() for names in (("", ""), ("conv1", "fc1")))
    assert 0 < part < whole < 1

"""What every engine does, and MXNet besides: the same answers in every precision, up to what that rounds."""
import numpy as np
import pytest

from accnn import engines
from accnn.core import amx
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import PRECISIONS
from networks import chain_model, outputs, random_input, random_model

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
    with pytest.raises(AccnnError, match="int4"):
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
    with pytest.raises(AccnnError, match="quantize it with images"):
        loaded(name, chain_model(), "int8")


def test_several_inputs_in_their_order():
    net = mx.sym.broadcast_sub(mx.sym.Variable("one"), mx.sym.Variable("two"), name="less")
    network = loaded("mxnet", random_model(net, one=(4,), two=(4,)), "fp32", 1, {"two": (4,), "one": (4,)})
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

"""Networks as they are bound to be timed: the numbers of a Predictor, and one copy of the weights."""
import os

import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model, params_path
from accnn.graph.params_file import places
from accnn.runtime.bound import BoundNetwork, read_once
from accnn.runtime.fusion import unfused
from accnn.runtime.predictor import Predictor
from accnn.timing.stored import StoredModel, released
from networks import chain_model, random_input, random_model, residual_net, saved

MB = 1 << 20


def wide(inputs=400, units=40000):
    """Model with one fully connected layer of 64 MB and nothing else that counts."""
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=units, no_bias=True, name="fc")
    return random_model(mx.sym.Activation(net, act_type="relu", name="relu"), data=(inputs,))


def two_readers():
    """Model whose convolution's weight is read by another operator too."""
    weight = mx.sym.Variable("w")
    net = mx.sym.Convolution(mx.sym.Variable("data"), weight, kernel=(3, 3), num_filter=64, no_bias=True, name="conv")
    return random_model(mx.sym.Group([net, mx.sym.sum(weight)]), data=(64, 9, 9))


def two_inputs():
    net = mx.sym.Concat(residual_net(blocks=1), mx.sym.Variable("extra"))
    return random_model(mx.sym.FullyConnected(net, num_hidden=3, name="two"), data=(3, 8, 8), extra=(2,))


def alike(model, shapes, network, batch=2):
    assert network.inputs == list(shapes)
    arrays = [mx.nd.array(random_input(batch, *shape)) for shape in shapes.values()]
    wanted = [array.asnumpy() for array in Predictor(model, shapes, batch).forward(*arrays)]
    for _ in range(3):  # fused operators keep what they arranged in the first pass
        found = [array.asnumpy() for array in network.forward(*arrays)]
        assert len(found) == len(wanted) and all(map(np.array_equal, found, wanted))


@pytest.mark.parametrize("make, shapes", [
    (chain_model, {"data": (3, 12, 12)}), (two_inputs, {"data": (3, 8, 8), "extra": (2,)}),
    (lambda: random_model(residual_net(), data=(3, 10, 10)), {"data": (3, 10, 10)}),
    (lambda: random_model(chain_model().symbol.get_internals()["fc2_output"], dtype="float64", data=(3, 12, 12)),
     {"data": (3, 12, 12)}),
    (two_readers, {"data": (64, 9, 9)}), (wide, {"data": (400,)})])
def test_a_stored_network_computes_what_a_predictor_does(make, shapes, tmp_path):
    model = load_model(saved(make(), tmp_path / "net"))
    stored = StoredModel(model)
    with released([stored]):
        network = BoundNetwork(stored.model, shapes, 2)
        alike(model, shapes, network)
    alike(model, shapes, network)
    alike(model, shapes, network, batch=3)
    for name, array in model.arg_params.items():
        assert np.array_equal(stored.model.weight(name), array.asnumpy())


def test_without_fusion_weights_are_copied_since_they_are_rearranged_in_place():
    model = random_model(residual_net(), data=(3, 10, 10))
    before = {name: array.asnumpy() for name, array in model.arg_params.items()}
    with unfused():
        assert read_once(model.symbol) == set()
        alike(model, {"data": (3, 10, 10)}, BoundNetwork(model, {"data": (3, 10, 10)}, 2))
    assert all(np.array_equal(array.asnumpy(), before[name]) for name, array in model.arg_params.items())


def test_which_weights_are_read_once(monkeypatch):
    assert {"conv1_weight", "fc1_weight", "fc2_weight"} <= read_once(chain_model().symbol)
    assert "data" not in read_once(chain_model().symbol) and "w" not in read_once(two_readers().symbol)
    monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")
    assert read_once(chain_model().symbol) == set()


def resident(kind):
    with open("/proc/self/status", encoding="utf-8") as handle:
        return next(1024 * int(line.split()[1]) for line in handle if line.startswith(kind))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
def test_of_the_weights_there_is_one_copy(tmp_path):
    stored = StoredModel(load_model(saved(wide(), tmp_path / "net")))
    data, before = mx.nd.array(random_input(1, 400)), resident("VmRSS")
    network = BoundNetwork(stored.model, {"data": (400,)}, 1)
    network.forward(data)[0].wait_to_read()
    both = resident("VmRSS") - before
    stored.release()
    after = resident("VmRSS") - before
    assert 55 * MB < after < 80 * MB < 110 * MB < both  # in the layout of the kernel; and that of the file


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
def test_what_is_read_is_given_back_meanwhile(tmp_path):
    stored = StoredModel(load_model(saved(wide(), tmp_path / "net")))
    before = resident("RssFile")
    numbers = stored.model.arg_params["fc_weight"].asnumpy()
    assert resident("RssFile") > before + 55 * MB
    with released([stored]):
        assert np.array_equal(stored.model.arg_params["fc_weight"].asnumpy(), numbers)
    assert resident("RssFile") < before + 5 * MB


def test_arrays_lie_in_the_file_where_they_are_said_to(tmp_path):
    model = random_model(residual_net(), data=(3, 10, 10))
    path = params_path(saved(model, tmp_path / "net"), 1)
    found, content = places(path), open(path, "rb").read()
    arrays = dict({"arg:" + name: array for name, array in model.arg_params.items()},
                  **{"aux:" + name: array for name, array in model.aux_params.items()})
    assert set(found) == set(arrays)
    for key, (start, shape) in found.items():
        read = np.frombuffer(content, np.float32, arrays[key].size, start)
        assert np.array_equal(read.reshape(shape), arrays[key].asnumpy())


@pytest.mark.parametrize("arrays, wanted", [
    ({"arg:a": mx.nd.ones((3, 2)), "arg:b": mx.nd.ones((2,), dtype="float16"), "arg:c": mx.nd.ones((5,))}, {"a", "c"}),
    ({"arg:a": mx.nd.ones((3, 2)), "arg:s": mx.nd.ones((3, 2)).tostype("csr")}, set()),
    ([mx.nd.ones((3, 2))], set())])
def test_arrays_of_other_forms_are_left_alone(tmp_path, arrays, wanted):
    mx.nd.save(str(tmp_path / "x"), arrays)
    assert set(places(str(tmp_path / "x"))) == {"arg:" + name for name in wanted}


@pytest.mark.parametrize("batch, shapes, sentence", [
    (2, {"data": (3, 40, 40)}, "give the right `input_shapes`"),
    (2, {"data": (3, 12, 12)}, "batches of 2")])
def test_what_does_not_fit_is_told(batch, shapes, sentence):
    model = chain_model()
    if "batches" in sentence:
        net = mx.sym.Reshape(mx.sym.Variable("data"), shape=(1, -1))
        model = random_model(mx.sym.FullyConnected(net, num_hidden=2, name="fc"), **shapes)
    with pytest.raises(AccnnError, match=sentence):
        BoundNetwork(model, shapes, batch)


def test_normalisations_in_half_precision_are_bound_in_float32_as_a_module_does():
    """No CPU computes the network; that is said when it runs."""
    model, shapes = random_model(residual_net(), dtype="float16", data=(3, 8, 8)), {"data": (3, 8, 8)}
    assert BoundNetwork(model, shapes, 2).output_shapes == Predictor(model, shapes, 2).output_shapes
    assert {array.dtype for array in model.arg_params.values()} == {np.float16}

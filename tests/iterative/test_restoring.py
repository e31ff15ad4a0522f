"""A restored kernel answers what its chain answers: both are run, in plain NumPy and by MXNet."""
from dataclasses import replace

import numpy as np
import pytest

from accnn import methods
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv, SubDeconv, SubFC
from accnn.graph.rewrite import replace_layers
from accnn.iterative.restoring import fitness, restored_kernel, with_restored
from accnn.planning.accelerator import Accelerator
from accnn.planning.plan import Plan, Row
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import ArrayImages
from networks import chain_model, outputs, random_input, random_model
from reference import relative_error, run_chain

PARTS = {
    "plain": SubConv("", 6, 8, (3, 3), pad=(1, 1)),
    "stride, dilation": SubConv("", 5, 7, (3, 3), (1, 2), (2, 3), (2, 3)),
    "rectangular": SubConv("", 4, 6, (5, 2), (2, 3), (2, 1)),
    "one by one": SubConv("", 9, 7, (1, 1)),
    "no bias": SubConv("", 6, 8, (3, 3), bias=False),
    "groups": SubConv("", 6, 9, (3, 3), (2, 2), (1, 1), groups=3),
    "depthwise": SubConv("", 6, 6, (3, 3), pad=(1, 1), groups=6, bias=False),
    "transposed": SubDeconv("", 6, 8, (4, 3), (2, 2), (1, 0), adj=(1, 0)),
    "transposed, groups": SubDeconv("", 6, 9, (4, 4), (2, 2), (1, 1), groups=3, bias=False),
    "fully connected": SubFC("", 30, 12),
    "reads maps": SubFC("", 60, 12),
}
MAPS = {60: (5, 4, 3)}  # by units read


def spec_of(part):
    shape = (part.in_channels, 11, 13) if part.kind == "Convolution" else (part.in_units,)
    maps = MAPS.get(part.in_units) if part.op == "FullyConnected" else None
    return LayerSpec("layer", part, shape, "layer_weight", "layer_bias" if part.bias else None, part.op, maps=maps)


def drawn(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def cases():
    for method in map(methods.get, methods.names()):
        for title, part in PARTS.items():
            if method.refuse(spec_of(part)) is None:
                yield pytest.param(method, spec_of(part), id="%s-%s" % (method.name, title.replace(" ", "_")))


def answers_alike(spec, chain, arrays):
    data = drawn(2, *spec.in_shape, seed=1)
    kernel = restored_kernel(spec, chain, arrays)
    assert kernel.shape == spec.part.weight_shape and kernel.dtype == np.float32
    dense = run_chain(data, (spec.part,), [(kernel, arrays[-1][1])])
    assert relative_error(dense, run_chain(data, chain, arrays)) <= 1e-5


@pytest.mark.parametrize("method, spec", list(cases()))
def test_every_method(method, spec):
    weight, bias = drawn(*spec.part.weight_shape), drawn(spec.part.outputs) if spec.part.bias else None
    for rank in (method.ranks(spec)[0], method.ranks(spec)[len(method.ranks(spec)) // 2]):
        answers_alike(spec, method.chain(spec, rank), method.factor(weight, bias, spec, rank))


def test_a_chain_with_depthwise_parts():
    """Such as CP's: 1x1, two depthwise ones, 1x1."""
    spec = spec_of(PARTS["plain"])
    chain = (SubConv("_a", 6, 5, (1, 1), bias=False), SubConv("_b", 5, 5, (3, 1), pad=(1, 0), groups=5, bias=False),
             SubConv("_c", 5, 5, (1, 3), pad=(0, 1), groups=5, bias=False), SubConv("_d", 5, 8, (1, 1)))
    answers_alike(spec, chain, [(drawn(*part.weight_shape, seed=number), drawn(8) if part.bias else None)
                                for number, part in enumerate(chain)])


def test_a_chain_that_joins_groups_is_refused():
    spec = spec_of(PARTS["groups"])
    chain = (replace(spec.part, suffix="_a"), SubConv("_b", 9, 9, (1, 1)))
    with pytest.raises(AccnnError, match="'layer'.*joins its groups"):
        restored_kernel(spec, chain, [(drawn(*part.weight_shape), None) for part in chain])


@pytest.mark.parametrize("name, ranks", [("vh", {"conv1": 5, "conv3": 9}), ("channel", {"conv2": 4, "conv3": 7}),
                                         ("fc-svd", {"fc1": 6}), ("fc-tucker", {"fc1": (4, 6)}),
                                         ("fc-btd", {"fc1": (4, 6, 2)})])
def test_the_restored_network_is_the_one_of_chains(name, ranks):
    model = chain_model()
    bench, op = Accelerator(model), methods.get(name).op
    made = bench.replacements(Plan(tuple(Row(layer, op, name, rank) for layer, rank in ranks.items())))
    data = random_input(3, 3, 12, 12)
    restored = with_restored(model, made)
    chained, = outputs(replace_layers(model, made), data=data)
    assert relative_error(outputs(restored, data=data)[0], chained) <= 1e-5
    changed = {key for key, array in restored.arg_params.items()
               if not np.array_equal(array.asnumpy(), model.arg_params[key].asnumpy())}
    assert changed == {layer + "_weight" for layer in ranks} and restored.graph is model.graph


def test_restored_transposed_and_old_convolutions_and_weights_behind_casts():
    net = mx.sym.Deconvolution(mx.sym.Variable("data"), kernel=(4, 4), stride=(2, 2), num_filter=6, num_group=2,
                               no_bias=False, name="up")
    net = mx.sym.Convolution_v1(net, kernel=(3, 3), num_filter=7, name="old")
    stored = mx.sym.Reshape(mx.sym.Variable("cast_weight", shape=(5, 63)), shape=(5, 7, 3, 3))
    net = mx.sym.Convolution(net, mx.sym.amp_cast(stored, dtype="float32"), kernel=(3, 3), num_filter=5, no_bias=True,
                             name="cast")
    model, data = random_model(net, data=(4, 6, 5)), random_input(3, 4, 6, 5)
    made = Accelerator(model, {"data": (4, 6, 5)}).replacements(Plan(tuple(
        Row(layer, "Convolution", "vh", 4) for layer in ("up", "old", "cast"))))
    restored = with_restored(model, made)
    assert all(array.shape == model.arg_params[name].shape for name, array in restored.arg_params.items())
    chained, = outputs(replace_layers(model, made), data=data)
    assert relative_error(outputs(restored, data=data)[0], chained) <= 1e-5


def test_a_restored_network_answers_what_rebuilt_chains_answer():
    """Images give chains another bias too."""
    model, data = chain_model(), random_input(3, 3, 12, 12)
    bench = Accelerator(model)
    bench.responses = Calibrated(bench, ArrayImages({"data": random_input(40, 3, 12, 12)}, 8), ReconstructionConfig())
    made = bench.replacements(Plan(tuple(Row(layer, "Convolution", "cp", 6) for layer in ("conv1", "conv2"))))
    chained, = outputs(replace_layers(model, made), data=data)
    restored = with_restored(model, made)
    assert relative_error(outputs(restored, data=data)[0], chained) <= 1e-5
    assert not np.array_equal(restored.arg_params["conv1_bias"].asnumpy(), model.arg_params["conv1_bias"].asnumpy())


@pytest.mark.parametrize("name", ["vh", "channel"])
def test_fitness_is_that_of_the_kernels(name):
    """Whether the decomposition tells it, or the kernel of the chain is made for it."""
    bench = Accelerator(chain_model())
    candidate = bench.candidate("conv2", methods.get(name))
    weight = candidate.weight()
    kernel = restored_kernel(candidate.spec, candidate.chain(5), candidate.arrays(5, None))
    wanted = 1 - np.linalg.norm(weight - kernel) / np.linalg.norm(weight)
    assert fitness(candidate, 5) == pytest.approx(wanted, abs=1e-6)
    candidate.decomposition.fitness = lambda rank: None
    assert fitness(candidate, 5) == pytest.approx(wanted, abs=1e-6)

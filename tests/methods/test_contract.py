"""Every registered method keeps the contract of DESIGN.md; a new one is tested by being registered."""
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from tucker_for_tests import TuckerForTests

from accnn import costs, methods
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv, SubDeconv, SubFC
from reference import relative_error, run_chain

CONVOLUTIONS = {
    "plain": SubConv("", 6, 8, (3, 3)),
    "stride and pad": SubConv("", 6, 8, (3, 3), (2, 1), (1, 2)),
    "dilate": SubConv("", 5, 7, (3, 3), (1, 2), (2, 3), (2, 3)),
    "rectangular": SubConv("", 4, 6, (5, 2), (2, 3), (2, 1)),
    "one by seven": SubConv("", 6, 4, (1, 7), pad=(0, 3)),
    "one by one": SubConv("", 9, 7, (1, 1), pad=(1, 1)),
    "no bias": SubConv("", 6, 8, (3, 3), pad=(1, 1), bias=False),
    "groups": SubConv("", 6, 9, (3, 3), (2, 2), (1, 1), groups=3),
    "depthwise": SubConv("", 6, 6, (3, 3), pad=(1, 1), groups=6, bias=False),
    "depth multiplier": SubConv("", 4, 8, (3, 3), pad=(1, 1), groups=4),
    "transposed": SubDeconv("", 6, 8, (4, 3), (2, 2), (1, 0)),
    "transposed, adj, dilate": SubDeconv("", 5, 7, (3, 3), (2, 3), (2, 1), (2, 1), adj=(1, 2), bias=False),
    "transposed, groups": SubDeconv("", 6, 9, (4, 4), (2, 2), (1, 1), groups=3),
    "transposed, depthwise": SubDeconv("", 6, 6, (4, 4), (2, 2), (1, 1), groups=6, bias=False),
}
FULLY_CONNECTED = {
    "wide": SubFC("", 30, 12),
    "tall": SubFC("", 10, 25),
    "no bias": SubFC("", 20, 20, bias=False),
    "not flattened": SubFC("", 7, 9, flatten=False),
    "maps": SubFC("", 60, 12),
    "few maps": SubFC("", 24, 14, bias=False),
}
MAPS = {60: (5, 4, 3), 24: (2, 3, 4)}  # by units read


def _spec(part):
    shape = (part.in_channels, 11, 13) if part.kind == "Convolution" else (
        (part.in_units,) if part.flatten else (3, part.in_units))
    maps = MAPS.get(part.in_units) if part.op == "FullyConnected" else None
    return LayerSpec("layer", part, shape, "layer_weight", "layer_bias" if part.bias else None, part.op, maps=maps)


def _cases():
    for method in [methods.get(name) for name in methods.names()] + [TuckerForTests()]:
        parts = CONVOLUTIONS if method.op == "Convolution" else FULLY_CONNECTED
        for title, part in parts.items():
            if method.refuse(_spec(part)) is None:
                yield pytest.param(method, _spec(part), id="%s-%s" % (method.name, title.replace(" ", "_")))


def _kernel(spec, seed=0):
    rng = np.random.RandomState(seed)
    weight = rng.standard_normal(spec.part.weight_shape).astype(np.float32)
    bias = rng.standard_normal(spec.part.weight_shape[0]).astype(np.float32) if spec.part.bias else None
    return weight, bias, rng.standard_normal((2,) + spec.in_shape)


def _response(spec, weight, bias, data):
    return run_chain(data, (spec.part,), [(weight, bias)])


def _sample(method, spec):
    """All ranks; of methods that iterate at every one a dozen, the first and the last among them."""
    ranks = list(method.ranks(spec))
    if not method.iterative:
        return ranks
    return [ranks[k] for k in sorted(set(np.linspace(0, len(ranks) - 1, 12).astype(int)))]


contract = pytest.mark.parametrize("method, spec", list(_cases()))


@contract
def test_full_rank_is_exact(method, spec):
    weight, bias, data = _kernel(spec)
    rank = method.full_rank(spec)
    assert rank in method.ranks(spec)
    made = run_chain(data, method.chain(spec, rank), method.factor(weight, bias, spec, rank))
    assert relative_error(made, _response(spec, weight, bias, data)) <= 1e-5


@contract
def test_shapes_of_factors_are_those_of_the_chain(method, spec):
    weight, bias, _ = _kernel(spec)
    for rank in (method.ranks(spec)[0], method.ranks(spec)[len(method.ranks(spec)) // 2]):
        chain, arrays = method.chain(spec, rank), method.factor(weight, bias, spec, rank)
        assert [np.shape(w) for w, _ in arrays] == [part.weight_shape for part in chain]
        assert [b is not None for _, b in arrays] == [part.bias for part in chain]
        shape = spec.in_shape
        for part in chain:
            shape = part.out_shape(shape)
        assert shape == spec.out_shape


@contract
def test_error_does_not_grow_with_rank(method, spec):
    weight, _, _ = _kernel(spec)
    errors = {rank: _kernel_error(method, spec, weight, rank) for rank in _sample(method, spec)}
    room = (0.005 if method.iterative else 1e-6) * np.linalg.norm(weight)
    for small, larger in itertools.permutations(errors, 2):
        if method.contains(spec, larger, small):
            assert errors[larger] <= errors[small] + room
    assert errors[method.ranks(spec)[0]] > errors[method.full_rank(spec)]


@contract
def test_energy_tells_the_error_of_the_kernel(method, spec):
    """What a rank does not keep is the squared error of the kernel: with singular values that is Eckart-Young."""
    weight, _, _ = _kernel(spec)
    decomposition = method.decompose(weight, spec)
    assert (decomposition.singular_values is not None) == method.has_singular_values
    for rank in _sample(method, spec):
        energy = decomposition.energy(rank)
        if energy is None:
            assert not method.has_singular_values
        else:
            lost = (_kernel_error(method, spec, weight, rank) / np.linalg.norm(weight.astype(np.float64))) ** 2
            assert lost == pytest.approx(1 - energy, abs=1e-6)


@contract
def test_a_kernel_of_zeros_stays_one(method, spec):
    weight, bias, data = _kernel(spec)
    arrays = method.factor(np.zeros_like(weight), bias, spec, method.ranks(spec)[0])
    made = run_chain(data, method.chain(spec, method.ranks(spec)[0]), arrays)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made, _response(spec, np.zeros_like(weight), bias, data), atol=1e-12)


@contract
def test_wrong_ranks_are_refused_with_the_layer_and_the_range(method, spec):
    weight, bias, _ = _kernel(spec)
    largest = method.full_rank(spec)
    above = tuple(k + 1 for k in largest) if isinstance(largest, tuple) else largest + 1
    for rank in (0, -1, above, 1.5, True, None, "3", (2, 3, 4, 5, 6)):
        with pytest.raises(AccnnError, match="'layer'.* to " + re.escape(str(largest))):
            method.factor(weight, bias, spec, rank)


@contract
@pytest.mark.parametrize("align", [1, 2, 3])
def test_aligned_ranks_make_parts_of_multiples(method, spec, align):
    for rank in method.aligned(spec, align):
        method.check_rank(spec, rank)
        assert all(part.outputs % align == 0 for part in method.chain(spec, rank)[:-1])


@contract
def test_a_response_rank_bounds_the_dimension_of_responses(method, spec):
    if method.response_rank is None:
        return
    weight, _, data = _kernel(spec)
    for rank in method.ranks(spec):
        made = run_chain(data, method.chain(spec, rank), method.factor(weight, np.zeros(len(weight)), spec, rank))
        responses = made.transpose(1, 0, 2, 3).reshape(len(weight), -1)
        dimension = np.linalg.matrix_rank(responses, tol=1e-6 * np.linalg.norm(responses))
        assert dimension == method.response_rank(spec, rank)


@contract
def test_input_is_not_changed(method, spec):
    weight, bias, _ = _kernel(spec)
    before = weight.copy()
    method.factor(weight, bias, spec, method.ranks(spec)[0])
    np.testing.assert_array_equal(weight, before)


@contract
def test_macs_are_those_of_plain_counting(method, spec):
    for rank in (method.ranks(spec)[0], method.full_rank(spec)):
        shape, total = spec.in_shape, 0
        for part in method.chain(spec, rank):
            read, shape = shape, part.out_shape(shape)
            places = {"Convolution": shape[1:], "Deconvolution": read[1:], "FullyConnected": shape[:-1]}[part.op]
            total += int(np.prod(places)) * int(np.prod(part.weight_shape))
        assert costs.get("macs").chain(spec, method.chain(spec, rank)) == total


def _kernel_error(method, spec, weight, rank):
    """Distance of the chain's kernel from the layer's, read off by sending unit impulses through the chain."""
    zeros = np.zeros(weight.shape[0]) if spec.part.bias else None
    arrays = method.factor(weight, zeros, spec, rank)
    if spec.part.op == "FullyConnected":
        return np.linalg.norm(run_chain(np.eye(spec.part.in_units), method.chain(spec, rank), arrays) - weight.T)
    nothing = dict(stride=(1, 1), pad=(0, 0), dilate=(1, 1))
    transposed = isinstance(spec.part, SubDeconv)  # of which one input makes all of the kernel
    plain = replace(spec, part=replace(spec.part, **dict(nothing, adj=(0, 0)) if transposed else nothing))
    window = (spec.part.in_channels,) + ((1, 1) if transposed else tuple(spec.part.kernel))
    impulses = np.eye(int(np.prod(window))).reshape((-1,) + window)
    bare = [(w, None if b is None else np.zeros_like(b)) for w, b in arrays]
    made = run_chain(impulses, method.chain(plain, rank), bare)
    return np.linalg.norm(made - run_chain(impulses, (plain.part,), [(weight, zeros)]))


@pytest.mark.parametrize("effort, option", [({"seed": -1}, "`seed=-1`"), ({"seed": 2 ** 32}, "`seed="),
                                            ({"restarts": 0}, "`restarts=0`"), ({"iterations": 0}, "`iterations=0`")])
def test_an_effort_that_makes_no_sense(effort, option):
    with pytest.raises(AccnnError, match=option):
        methods.Effort(**effort)

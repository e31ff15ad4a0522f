"""Every registered method keeps the contract of DESIGN.md; a new one is tested by being registered."""
import numpy as np
import pytest

from accnn import costs, methods
from accnn.errors import AccnnError
from accnn.layers import LayerSpec, SubConv, SubFC
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
}
FULLY_CONNECTED = {
    "wide": SubFC("", 30, 12),
    "tall": SubFC("", 10, 25),
    "no bias": SubFC("", 20, 20, bias=False),
    "not flattened": SubFC("", 7, 9, flatten=False),
}


def _spec(part):
    shape = (part.in_channels, 11, 13) if part.op == "Convolution" else (
        (part.in_units,) if part.flatten else (3, part.in_units))
    return LayerSpec("layer", part, shape, "layer_weight", "layer_bias" if part.bias else None, part.op)


def _cases():
    for name in methods.names():
        parts = CONVOLUTIONS if methods.get(name).op == "Convolution" else FULLY_CONNECTED
        for title, part in parts.items():
            if methods.get(name).refuse(_spec(part)) is None:
                yield pytest.param(methods.get(name), _spec(part), id="%s-%s" % (name, title.replace(" ", "_")))


def _kernel(spec, seed=0):
    rng = np.random.RandomState(seed)
    weight = rng.standard_normal(spec.part.weight_shape).astype(np.float32)
    bias = rng.standard_normal(spec.part.weight_shape[0]).astype(np.float32) if spec.part.bias else None
    return weight, bias, rng.standard_normal((2,) + spec.in_shape)


def _response(spec, weight, bias, data):
    return run_chain(data, (spec.part,), [(weight, bias)])


contract = pytest.mark.parametrize("method, spec", list(_cases()))


@contract
def test_full_rank_is_exact(method, spec):
    weight, bias, data = _kernel(spec)
    rank = method.ranks(spec)[-1]
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
    weight, _, data = _kernel(spec)
    kernel_norm = np.linalg.norm(weight)
    errors = [_kernel_error(method, spec, weight, rank) for rank in method.ranks(spec)]
    assert all(after <= before + 1e-6 * kernel_norm for before, after in zip(errors, errors[1:]))
    assert errors[0] > errors[-1]


@contract
def test_energy_tells_the_error_of_the_kernel(method, spec):
    """Eckart-Young: what a rank does not keep of the squared singular values is the squared error of the kernel."""
    weight, _, _ = _kernel(spec)
    decomposition = method.decompose(weight, spec)
    if decomposition.singular_values is None:
        pytest.skip("%s has no singular values" % method.name)
    for rank in method.ranks(spec):
        lost = (_kernel_error(method, spec, weight, rank) / np.linalg.norm(weight.astype(np.float64))) ** 2
        assert lost == pytest.approx(1 - decomposition.energy(rank), abs=1e-6)


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
    for rank in (0, -1, method.ranks(spec)[-1] + 1, 1.5, True, None, "3", (2, 3, 4, 5, 6)):
        with pytest.raises(AccnnError, match="'layer'.*1 to %s" % method.ranks(spec)[-1]):
            method.factor(weight, bias, spec, rank)


@contract
def test_input_is_not_changed(method, spec):
    weight, bias, _ = _kernel(spec)
    before = weight.copy()
    method.factor(weight, bias, spec, method.ranks(spec)[0])
    np.testing.assert_array_equal(weight, before)


@contract
def test_macs_are_those_of_plain_counting(method, spec):
    for rank in (method.ranks(spec)[0], method.ranks(spec)[-1]):
        shape, total = spec.in_shape, 0
        for part in method.chain(spec, rank):
            shape = part.out_shape(shape)
            places = int(np.prod(shape[1:])) if part.op == "Convolution" else int(np.prod(shape[:-1]))
            total += places * int(np.prod(part.weight_shape))
        assert costs.get("macs").chain(spec, method.chain(spec, rank)) == total


def _kernel_error(method, spec, weight, rank):
    """Distance of the chain's kernel from the layer's, read off by feeding unit impulses through both."""
    arrays = [(w, None if b is None else np.zeros_like(b)) for w, b in method.factor(weight, None if not spec.part.bias
              else np.zeros(weight.shape[0]), spec, rank)]
    chain, part = method.chain(spec, rank), spec.part
    if part.op == "FullyConnected":
        eye = np.eye(part.in_units)
        return np.linalg.norm(run_chain(eye, chain, arrays) - weight.T)
    vertical, horizontal = (w for w, _ in arrays)
    middle, filters = len(vertical) // part.groups, part.out_channels // part.groups
    squared = 0
    for g in range(part.groups):
        product = np.einsum("kcy,nkx->ncyx", vertical[g * middle:(g + 1) * middle, :, :, 0],
                            horizontal[g * filters:(g + 1) * filters, :, 0, :])
        squared += np.sum((product - weight[g * filters:(g + 1) * filters]) ** 2)
    return np.sqrt(squared)

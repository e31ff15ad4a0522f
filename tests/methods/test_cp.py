"""CP decomposition: parts, exactness, errors against plain CP-ALS, terms that must not cancel, honesty."""
import os
from dataclasses import replace

import numpy as np
import pytest

from accnn import methods
from accnn.core.errors import AccnnError
from accnn.core.layers import LayerSpec, SubConv
from accnn.methods import als
from accnn.methods.als import PRICE, Fit, Slices, Tensor, Terms, fit
from reference import relative_error, run_chain

NAMES = "cp", "cp3"
both = pytest.mark.parametrize("name", NAMES)


def _spec(part, side=12):
    return LayerSpec("conv", part, (part.in_channels, side, side), "w", "b", "Convolution")


def _weight(shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def _sum_of_terms(filters, channels, height, width):
    return np.einsum("nr,cr,yr,xr->ncyx", filters, channels, height, width)


def _kernel(name, arrays):
    """The kernel that a chain stands for, straight from the equations."""
    reading, *space, writing = [np.asarray(weight, np.float64) for weight, _ in arrays]
    places = space[0][:, 0] if len(space) == 1 else space[0][:, 0] * space[1][:, 0]
    return np.einsum("nr,rc,ryx->ncyx", writing[:, :, 0, 0], reading[:, :, 0, 0], places)


def _made(name, weight, rank, effort=None):
    spec = _spec(SubConv("", weight.shape[1], weight.shape[0], weight.shape[2:]))
    return _kernel(name, methods.get(name).factor(weight, None, spec, rank, effort or methods.Effort()))


def _squared_norms(arrays):
    """Sum of the squared norms of the terms."""
    return np.prod([np.square(w.astype(np.float64)).sum(axis=(1, 2, 3)) for w, _ in arrays[:-1]]
                   + [np.square(arrays[-1][0].astype(np.float64)).sum(axis=(0, 2, 3))], axis=0).sum()


def _plain_als(tensor, rank, sweeps, seed=0):
    """Textbook CP-ALS (Kolda and Bader 2009, figure 3.3) by explicit Khatri-Rao products, in float64."""
    rng = np.random.RandomState(seed)
    tensor = tensor.astype(np.float64)
    factors = [rng.standard_normal((size, rank)) for size in tensor.shape]
    for _ in range(sweeps):
        for mode in range(tensor.ndim):
            rest = factors[:mode] + factors[mode + 1:]
            product = rest[0]
            for factor in rest[1:]:
                product = (product[:, None] * factor[None]).reshape(-1, rank)
            unfolded = np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)
            gram = np.prod([factor.T @ factor for factor in rest], axis=0)
            factors[mode] = unfolded @ product @ np.linalg.pinv(gram)
            if mode + 1 < tensor.ndim:
                factors[mode] /= np.linalg.norm(factors[mode], axis=0)
    return relative_error(_sum_of_terms(*factors) if tensor.ndim == 4 else np.einsum("nr,cr,pr->ncp", *factors), tensor)


def test_names_and_parts():
    part = SubConv("", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2))
    r = SubConv("_r", 4, 7, (1, 1), bias=False)
    p = SubConv("_p", 7, 6, (1, 1), bias=True)
    assert methods.get("cp").chain(_spec(part), 7) == (
        r, SubConv("_v", 7, 7, (3, 1), (2, 1), (1, 0), (1, 1), 7, bias=False),
        SubConv("_h", 7, 7, (1, 5), (1, 3), (0, 2), (1, 2), 7, bias=False), p)
    assert methods.get("cp3").chain(_spec(part), 7) == (
        r, SubConv("_s", 7, 7, (3, 5), (2, 3), (1, 2), (1, 2), 7, bias=False), p)


@pytest.mark.parametrize("kernel, suffix", [((1, 5), "_h"), ((5, 1), "_v")])
def test_one_row_or_column_is_one_depthwise_part_that_carries_every_stride_and_pad(kernel, suffix):
    part = SubConv("", 4, 6, kernel, (2, 3), (1, 2))
    spec, weight, bias = _spec(part), _weight(part.weight_shape), np.arange(6.0)
    method, data = methods.get("cp"), _weight((2, 4, 12, 12), 1)
    chain = method.chain(spec, 20)
    assert chain[1] == SubConv(suffix, 20, 20, kernel, (2, 3), (1, 2), groups=20, bias=False) and len(chain) == 3
    assert relative_error(run_chain(data, chain, method.factor(weight, bias, spec, 20)),
                          run_chain(data, (part,), [(weight, bias)])) <= 1e-5


@both
def test_the_start_is_exact_at_full_rank_and_loses_what_it_says_below(name):
    weight = _weight((7, 5, 3, 2))
    tensor = Tensor(weight, (3, 2) if name == "cp" else (6,))
    starts, last = Slices(tensor), 1.0
    for rank in range(1, 31):
        start = starts.start(tensor, rank)
        # All terms are orthogonal to each other: what they have and what is left add up.
        assert start.error + start.terms.squared_norms() == pytest.approx(1, abs=1e-5)
        assert start.error <= last
        last = start.error
    assert last <= 1e-10


@both
@pytest.mark.parametrize("shape, rank", [((12, 10, 3, 3), 6), ((12, 10, 3, 3), 20), ((16, 4, 5, 3), 12)])
def test_no_worse_than_plain_als(name, shape, rank):
    weight = _weight(shape, 2)
    tensor = weight if name == "cp" else weight.reshape(shape[:2] + (-1,))
    plain = min(_plain_als(tensor, rank, 200, seed) for seed in range(2))
    ours = relative_error(_made(name, weight, rank, methods.Effort(restarts=4)), weight)
    assert ours <= plain * 1.005


@both
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_kernel_of_known_rank_is_found(name, rank):
    rng = np.random.RandomState(rank)
    weight = _sum_of_terms(*(rng.standard_normal((size, rank)) for size in (14, 11, 3, 3))).astype(np.float32)
    effort = methods.Effort(iterations=2000, tolerance=0, restarts=3)
    assert relative_error(_made(name, weight, rank, effort), weight) <= 2e-3


@both
def test_lengths_are_shared_equally_and_are_float32(name):
    weight = 1e-3 * _weight((9, 6, 3, 3))
    arrays = methods.get(name).factor(weight, None, _spec(SubConv("", 6, 9, (3, 3))), 5)
    lengths = [np.linalg.norm(w.reshape(5, -1), axis=1) for w, _ in arrays[:-1]]
    last = np.linalg.norm(arrays[-1][0][:, :, 0, 0], axis=0)
    assert all(w.dtype == np.float32 for w, _ in arrays)
    for length in lengths:
        np.testing.assert_allclose(length, last, rtol=1e-5)


def _border_rank_two(size=6):
    """a a b + a b a + b a a, of rank 3, that terms of rank 2 come as close to as one likes, by growing for ever."""
    a, b = np.eye(size)[:2]
    cube = sum(np.einsum("i,j,k->ijk", *order) for order in ((a, a, b), (a, b, a), (b, a, a)))
    return cube[:, :, :, None].astype(np.float32)


@pytest.mark.parametrize("price, most", [(PRICE, 2 / PRICE), (0.1, 20), (0.3, 8)])
def test_terms_that_cancel_must_pay(monkeypatch, price, most):
    """Two terms that could grow without end stop where more would not save its price: a dearer one, earlier."""
    monkeypatch.setattr(als, "PRICE", price)
    weight = _border_rank_two()
    # The first start is a saddle of so symmetric a kernel: a second one is needed.
    spec, effort = _spec(SubConv("", 6, 6, (6, 1))), methods.Effort(restarts=2, iterations=5000)
    found = methods.get("cp").decompose(weight, spec, effort)
    arrays = [(w, None) for w in found.factors(weight, 2)]
    size = _squared_norms(arrays) / np.square(weight).sum()
    start = Slices(Tensor(weight, (6,))).start(Tensor(weight, (6,)), 2)
    error = relative_error(_kernel("cp", arrays), weight) ** 2
    assert size <= most
    assert size <= start.terms.squared_norms() + np.log(start.error / error) / price
    assert error < 1e-3 * start.error
    assert ("cancel" in (found.remark(2) or "")) == (size > 30)


@both
def test_a_fit_is_never_worse_than_its_start(name):
    """Whatever the start, even one whose terms cancel, and after any number of sweeps."""
    weight, rng = _weight((8, 6, 3, 3), 4), np.random.RandomState(5)
    tensor = Tensor(weight, (3, 3) if name == "cp" else (9,))
    drawn = Terms(*(rng.standard_normal((6, 10)), tuple(rng.standard_normal((s, 10)) for s in tensor.modes),
                    rng.standard_normal((8, 10))))
    for start in (Slices(tensor).start(tensor, 10), Fit(drawn.normalised(), tensor.error(drawn))):
        last = start.objective
        for sweeps in (1, 2, 5, 30, 100):
            done = fit(tensor, start, methods.Effort(iterations=sweeps, tolerance=0))
            assert done.objective <= last + 1e-9
            assert done.error == pytest.approx(tensor.error(done.terms), abs=1e-5)
            last = done.objective


@both
def test_answers_do_not_depend_on_what_was_asked_before(name):
    weight, spec = _weight((10, 8, 3, 3)), _spec(SubConv("", 8, 10, (3, 3)))
    effort = methods.Effort(restarts=2, iterations=20)
    one, other = (methods.get(name).decompose(weight, spec, effort) for _ in range(2))
    other.energy(9), other.factors(weight, 3), other.factors(weight, 12)
    for a, b in zip(one.factors(weight, 12), other.factors(weight, 12)):
        np.testing.assert_array_equal(a, b)
    assert one.energy(3) == other.energy(3)


@both
def test_restarts_never_hurt_and_are_drawn_by_the_seed(name):
    weight, spec = _weight((10, 8, 3, 3)), _spec(SubConv("", 8, 10, (3, 3)))
    once, often, drawn = (methods.get(name).decompose(weight, spec, methods.Effort(seed, restarts)).factors(weight, 8)
                          for seed, restarts in ((0, 1), (0, 4), (1, 1)))
    for a, b in zip(once, drawn):
        np.testing.assert_array_equal(a, b)

    def objective(factors):
        arrays = [(w, None) for w in factors]
        return (2 * np.log(relative_error(_kernel(name, arrays), weight))
                + PRICE * _squared_norms(arrays) / np.square(weight).sum())
    assert objective(often) <= objective(once) + 1e-6


@both
def test_a_scaled_kernel_gives_scaled_terms(name):
    """Also where squares would overflow or vanish."""
    weight = _weight((9, 6, 3, 3))
    made = _made(name, weight, 7)
    for scale in (2.0 ** -100, 2.0 ** 100):
        assert relative_error(_made(name, weight * np.float32(scale), 7) / scale, made) <= 1e-4


def test_remarks_tell_of_iterations_that_ran_out():
    weight, spec = _weight((10, 8, 3, 3)), _spec(SubConv("", 8, 10, (3, 3)))
    found = methods.get("cp").decompose(weight, spec, methods.Effort(iterations=7))
    assert found.remark(9) is None
    found.factors(weight, 9)
    assert found.remark(9).startswith("stopped after 7 iterations at fitness %.3f, still gaining" % found.fitness(9))
    assert found.remark(9).endswith("an iteration: raise `iterations`")
    patient = methods.get("cp").decompose(weight, spec, methods.Effort(iterations=5000))
    patient.factors(weight, 9)
    assert patient.remark(9) is None


@both
@pytest.mark.parametrize("part, why", [
    (SubConv("", 8, 8, (1, 1)), "channel splits these"), (SubConv("", 8, 8, (3, 3), groups=2), "channel and vh do"),
    (SubConv("", 8, 1, (3, 3)), "one channel or one filter"), (SubConv("", 1, 8, (3, 3)), "one channel or one filter")])
def test_layers_that_are_refused(name, part, why):
    reason = methods.get(name).refuse(_spec(part))
    assert why in reason and reason.startswith(name + " ")


@both
def test_kernels_with_nan_are_refused_with_the_layer(name):
    weight, spec = _weight((10, 8, 3, 3)), _spec(SubConv("", 8, 10, (3, 3)))
    weight[1, 2, 0, 1] = np.nan
    with pytest.raises(AccnnError, match="'conv' holds NaN"):
        methods.get(name).factor(weight, None, spec, 4)


@both
def test_stride_pad_and_dilation_reach_the_layer_s_places(name):
    """At a low rank, against one convolution with the kernel that the terms add up to."""
    part = SubConv("", 5, 7, (3, 5), (2, 1), (2, 3), (2, 1))
    spec, method = _spec(part), methods.get(name)
    arrays = method.factor(_weight(part.weight_shape), np.arange(7.0), spec, 4)
    data = _weight((2, 5, 12, 12), 3)
    whole = run_chain(data, (replace(part, suffix=""),), [(_kernel(name, arrays), np.arange(7.0))])
    assert relative_error(run_chain(data, method.chain(spec, 4), arrays), whole) <= 1e-6


@pytest.mark.parametrize("layer, rank", [("conv1_2", 16), ("conv2_2", 27)])
def test_real_kernels(shared, monkeypatch, layer, rank):
    """Below plain ALS, at no expense with terms that hardly cancel; whole space loses no more than split."""
    from accnn.graph.checkpoint import load_model

    weight = load_model(os.path.join(shared, "models", "vgg16_cifar10")).weight(layer + "_weight")
    spec, errors, sizes = _spec(SubConv("", weight.shape[1], weight.shape[0], (3, 3))), {}, {}
    for name, price in (("cp", PRICE), ("cp3", PRICE), ("cp", 0)):
        monkeypatch.setattr(als, "PRICE", price)
        arrays = methods.get(name).factor(weight, None, spec, rank)
        errors[name, price] = relative_error(_kernel(name, arrays), weight)
        sizes[name, price] = _squared_norms(arrays) / np.square(weight).sum()
    assert errors["cp3", PRICE] <= errors["cp", PRICE] * 1.001
    assert errors["cp", PRICE] <= _plain_als(weight, rank, 40)
    assert errors["cp", PRICE] <= errors["cp", 0] * 1.005
    assert max(sizes["cp", PRICE], sizes["cp3", PRICE]) <= 6 and sizes["cp", 0] >= 5 * sizes["cp", PRICE]

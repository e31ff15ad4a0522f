"""Tucker-2 against a plain NumPy HOOI, and the pairs that rules choose from."""
import numpy as np
import pytest

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv
from reference import relative_error

TUCKER = methods.get("tucker")


def _spec(part, side=20):
    return LayerSpec("conv", part, (part.in_channels, side, side), "w", "b", "Convolution")


def _weight(part, seed=0):
    return np.random.RandomState(seed).standard_normal(part.weight_shape).astype(np.float32)


def _product(arrays):
    (reduced, _), (core, _), (restored, _) = arrays
    return np.einsum("sc,tsyx,nt->ncyx", reduced[:, :, 0, 0], core, restored[:, :, 0, 0])


def plain_hooi(weight, s, t, iterations):
    """HOSVD, then HOOI, in float64 with NumPy's SVD; returns the approximation."""
    weight = weight.astype(np.float64)

    def bases(tensor, mode, count):
        return np.linalg.svd(np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1))[0][:, :count]

    outputs = bases(weight, 0, t)
    for _ in range(iterations):
        inputs = bases(np.einsum("ncyx,nt->tcyx", weight, outputs), 1, s)
        outputs = bases(np.einsum("ncyx,cs->nsyx", weight, inputs), 0, t)
    core = np.einsum("ncyx,nt,cs->tsyx", weight, outputs, inputs)
    return np.einsum("tsyx,nt,cs->ncyx", core, outputs, inputs)


def test_names_and_parts():
    parts = TUCKER.chain(_spec(SubConv("", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2))), (3, 5))
    assert parts == (SubConv("_r", 4, 3, (1, 1), bias=False),
                     SubConv("_c", 3, 5, (3, 5), (2, 3), (1, 2), (1, 2), bias=False),
                     SubConv("_p", 5, 6, (1, 1), bias=True))


@pytest.mark.parametrize("shape, rank", [((12, 10), (4, 5)), ((7, 16), (6, 2)), ((16, 5), (5, 9)), ((9, 40), (9, 3))])
def test_it_is_the_plain_hooi(shape, rank):
    part = SubConv("", shape[1], shape[0], (3, 3))
    weight = _weight(part)
    made = _product(TUCKER.factor(weight, np.zeros(shape[0]), _spec(part), rank, methods.Effort(tolerance=1e-9)))
    plain = plain_hooi(weight, *rank, 400)
    assert relative_error(made, weight) == pytest.approx(relative_error(plain, weight), abs=1e-5)
    assert relative_error(made, plain) <= 2e-2


def test_it_is_no_worse_than_the_truncated_hosvd_it_starts_with():
    part = SubConv("", 24, 32, (3, 3))
    weight, spec = _weight(part), _spec(part)
    inputs = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(24, -1))[0][:, :8]
    outputs = np.linalg.svd(weight.reshape(32, -1))[0][:, :10]
    hosvd = np.einsum("ncyx,nm,cd->mdyx", weight, outputs @ outputs.T, inputs @ inputs.T)
    made = _product(TUCKER.factor(weight, np.zeros(32), spec, (8, 10)))
    assert relative_error(made, weight) < relative_error(hosvd, weight)


def test_a_kernel_of_that_multilinear_rank_is_recovered():
    part, rng = SubConv("", 20, 30, (3, 3)), np.random.RandomState(1)
    weight = np.einsum("tsyx,nt,cs->ncyx", rng.standard_normal((6, 4, 3, 3)), rng.standard_normal((30, 6)),
                       rng.standard_normal((20, 4))).astype(np.float32)
    assert relative_error(_product(TUCKER.factor(weight, np.zeros(30), _spec(part), (4, 6))), weight) <= 1e-6


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_scale_does_not_matter(scale):
    part = SubConv("", 6, 8, (3, 3))
    weight = _weight(part)
    small, plain = (_product(TUCKER.factor(weight.astype(np.float64) * k, np.zeros(8), _spec(part), (3, 4)))
                    for k in (scale, 1))
    assert relative_error(small / scale, plain) <= 1e-5


def test_the_same_kernel_gives_the_same_bytes():
    part = SubConv("", 24, 32, (3, 3))
    first, second = (TUCKER.factor(_weight(part), np.zeros(32), _spec(part), (8, 10)) for _ in range(2))
    for (a, _), (b, _) in zip(first, second):
        assert a.tobytes() == b.tobytes()


def test_iterations_that_run_out_are_told():
    part = SubConv("", 24, 32, (3, 3))
    for iterations, told in ((1, True), (200, False)):
        made = TUCKER.decompose(_weight(part), _spec(part), methods.Effort(iterations=iterations))
        assert made.remark((8, 10)) is None
        made.factors(_weight(part), (8, 10))
        assert bool(made.remark((8, 10))) == told


def test_pairs_keep_the_same_share_of_both_sides():
    spec = _spec(SubConv("", 64, 128, (3, 3), pad=(1, 1)))
    pairs = TUCKER.ranks(spec)
    assert [t for _, t in pairs] == list(range(1, 129)) and pairs[-1] == (64, 128)
    assert all(abs(s - t / 2) <= 0.5 or s == 1 for s, t in pairs)
    aligned = TUCKER.aligned(spec, 16)
    assert [t for _, t in aligned] == list(range(16, 129, 16)) and aligned[-1] == (64, 128)
    assert all(s % 16 == 0 and abs(s - t / 2) <= 8 for s, t in aligned)


def test_pictures_are_not_reduced():
    spec = _spec(SubConv("", 3, 96, (7, 7), (2, 2)))
    assert TUCKER.ranks(spec) == [(3, t) for t in range(1, 97)] and TUCKER.aligned(spec, 16) == []


def test_no_pair_has_more_outputs_than_its_inputs_can_make():
    for part in (SubConv("", 2, 40, (3, 3)), SubConv("", 5, 64, (1, 7)), SubConv("", 64, 6, (3, 3))):
        pairs, places = TUCKER.ranks(_spec(part)), part.kernel[0] * part.kernel[1]
        assert pairs[-1] == TUCKER.full_rank(_spec(part))
        assert all(t <= s * places and s <= t * places for s, t in pairs)
    assert TUCKER.full_rank(_spec(SubConv("", 2, 40, (3, 3)))) == (2, 18)


@pytest.mark.parametrize("part, why", [
    (SubConv("", 8, 8, (1, 1)), "1x1"), (SubConv("", 8, 8, (3, 3), groups=2), "grouped"),
    (SubConv("", 1, 1, (3, 3)), "no channels to reduce")])
def test_layers_in_which_there_is_nothing_to_split(part, why):
    assert why in TUCKER.refuse(_spec(part))

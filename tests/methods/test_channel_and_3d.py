"""The paper's two chains: their parts, their factors against NumPy's own SVD, and the family of pairs."""
import numpy as np
import pytest

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv, macs
from reference import relative_error, run_chain


def _spec(part, side=20):
    return LayerSpec("conv", part, (part.in_channels, side, side), "w", "b", "Convolution")


def _weight(part, seed=0):
    return np.random.RandomState(seed).standard_normal(part.weight_shape).astype(np.float32)


def test_names_and_parts_of_channel():
    part = SubConv("", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2), groups=2)
    filters, mixing = methods.get("channel").chain(_spec(part), 2)
    assert filters == SubConv("_w", 4, 4, (3, 5), (2, 3), (1, 2), (1, 2), groups=2, bias=False)
    assert mixing == SubConv("_p", 4, 6, (1, 1), groups=2, bias=True)


def test_names_and_parts_of_3d():
    parts = methods.get("3d").chain(_spec(SubConv("", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2))), (7, 5))
    assert parts == (SubConv("_v", 4, 7, (3, 1), (2, 1), (1, 0), (1, 1), bias=False),
                     SubConv("_h", 7, 5, (1, 5), (1, 3), (0, 2), (1, 2), bias=False),
                     SubConv("_p", 5, 6, (1, 1), bias=True))


def test_channel_is_the_truncated_svd():
    part = SubConv("", 5, 7, (3, 3))
    weight = _weight(part)
    (filters, none), (mixing, bias) = methods.get("channel").factor(weight, np.arange(7), _spec(part), 4)
    u, s, vt = np.linalg.svd(weight.reshape(7, -1).astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(mixing[:, :, 0, 0] @ filters.reshape(4, -1), (u[:, :4] * s[:4]) @ vt[:4], atol=1e-5)
    assert none is None and np.array_equal(bias, np.arange(7))
    # Square roots on both parts.
    np.testing.assert_allclose(np.linalg.norm(mixing[:, :, 0, 0], axis=0), np.sqrt(s[:4]), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(filters.reshape(4, -1), axis=1), np.sqrt(s[:4]), rtol=1e-5)


@pytest.mark.parametrize("rank", [(6, 4), (15, 7), (3, 7), (1, 2)])
@pytest.mark.parametrize("shape", [(5, 7), (9, 4)])
def test_3d_is_a_truncated_svd_of_a_truncated_svd(rank, shape):
    """Filter reconstruction of the spatial pair, then the best channels for what that pair makes of the kernel."""
    part = SubConv("", shape[0], shape[1], (3, 3))
    spec, weight = _spec(part), _weight(part)
    full = methods.get("3d").full_rank(spec)
    vertical, horizontal = min(rank[0], full[0]), min(rank[1], full[1])
    u, s, vt = np.linalg.svd(weight.astype(np.float64).transpose(1, 2, 0, 3).reshape(3 * shape[0], 3 * shape[1]))
    spatial = ((u[:, :vertical] * s[:vertical]) @ vt[:vertical]).reshape(shape[0], 3, shape[1], 3)
    a, t, bt = np.linalg.svd(spatial.transpose(2, 0, 1, 3).reshape(shape[1], -1), full_matrices=False)
    expected = ((a[:, :horizontal] * t[:horizontal]) @ bt[:horizontal]).reshape(weight.shape)
    made = methods.get("3d").factor(weight, np.zeros(shape[1]), spec, (vertical, horizontal))
    v, h, p = (array for array, _ in made)
    product = np.einsum("kcy,jkx,nj->ncyx", v[..., 0], h[:, :, 0], p[:, :, 0, 0])
    np.testing.assert_allclose(product, expected, atol=1e-5)


def test_3d_at_pairs_whose_filters_depend_on_each_other():
    """A person may ask for more horizontal filters than the vertical half feeds: the chain is right all the same."""
    part = SubConv("", 5, 7, (3, 3), bias=False)
    spec, weight = _spec(part), _weight(part)
    method, data = methods.get("3d"), np.random.RandomState(1).standard_normal((1, 5, 20, 20))
    three, seven = (run_chain(data, method.chain(spec, (1, k)), method.factor(weight, None, spec, (1, k)))
                    for k in (3, 7))
    assert relative_error(seven, three) <= 1e-6


@pytest.mark.parametrize("name", ["channel", "3d"])
def test_a_kernel_of_low_rank_keeps_its_scale(name):
    """Nothing is divided by a singular value of zero."""
    part = SubConv("", 6, 8, (3, 3))
    spec, method, rng = _spec(part), methods.get(name), np.random.RandomState(3)
    weight = np.einsum("n,c,y,x->ncyx", *map(rng.standard_normal, (8, 6, 3, 3))).astype(np.float32)
    for array, _ in method.factor(weight, np.zeros(8), spec, method.full_rank(spec)):
        assert np.isfinite(array).all() and np.abs(array).max() <= 10 * np.abs(weight).max()
    assert method.decompose(np.zeros_like(weight), spec).energy(method.full_rank(spec)) == 1.0


@pytest.mark.parametrize("part", [SubConv("", 64, 64, (3, 3), pad=(1, 1)), SubConv("", 32, 64, (3, 3), (2, 2), (1, 1)),
                                  SubConv("", 96, 48, (5, 5), pad=(2, 2)), SubConv("", 24, 40, (1, 7), pad=(0, 3))])
def test_both_reductions_of_a_pair_contribute_the_same(part):
    """Section 3.5: of a speed-up of r each makes the square root; compared with all d'' there are."""
    spec, method = _spec(part), methods.get("3d")
    full, layer = method.full_rank(spec), macs((part,), (part.in_channels, 20, 20))
    pairs = method.ranks(spec)
    assert [pair[1] for pair in pairs] == list(range(1, full[1] + 1)) and pairs[-1] == full
    assert all(a[0] <= b[0] for a, b in zip(pairs, pairs[1:]))
    for pair in pairs[:-1]:
        root = layer / macs(methods.get("channel").chain(spec, pair[1]), spec.in_shape)
        least = -(-pair[1] // part.kernel[1])
        off = {d: abs(macs(method.chain(spec, (d, pair[1])), spec.in_shape) - layer / root ** 2)
               for d in range(least, full[0] + 1)}
        assert off[pair[0]] == min(off.values())


def test_aligned_pairs_of_3d():
    spec = _spec(SubConv("", 64, 128, (3, 3), pad=(1, 1)))
    pairs, free = methods.get("3d").aligned(spec, 16), dict(map(reversed, methods.get("3d").ranks(spec)))
    assert [horizontal for _, horizontal in pairs] == list(range(16, 129, 16))
    assert all(vertical % 16 == 0 and abs(vertical - free[horizontal]) <= 16 for vertical, horizontal in pairs[:-1])
    # Nothing 16 wide fits in front of three channels.
    assert methods.get("3d").aligned(_spec(SubConv("", 3, 64, (3, 3))), 16) == []


@pytest.mark.parametrize("name, part, why", [
    ("3d", SubConv("", 8, 8, (1, 1)), "1x1"), ("3d", SubConv("", 8, 8, (3, 3), groups=2), "grouped"),
    ("3d", SubConv("", 8, 1, (3, 3)), "no filters to reduce"), ("channel", SubConv("", 8, 1, (3, 3)), "one filter"),
    ("channel", SubConv("", 8, 8, (3, 3), groups=8), "one filter")])
def test_layers_in_which_there_is_nothing_to_split(name, part, why):
    assert why in methods.get(name).refuse(_spec(part))

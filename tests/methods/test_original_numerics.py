"""The two methods of the original give the original's numbers, computed here by NumPy's own SVD."""
import numpy as np

from accnn import methods
from accnn.core.layers import LayerSpec, SubConv, SubFC
from reference import original_spectrum


def test_vh_is_the_truncated_svd_with_square_roots_on_both_halves():
    part = SubConv("", 5, 7, (3, 3), pad=(1, 1))
    spec = LayerSpec("conv", part, (5, 9, 9), "w", "b", "Convolution")
    weight = np.random.RandomState(0).standard_normal(part.weight_shape).astype(np.float32)
    bias = np.arange(7, dtype=np.float32)
    (vertical, zeros), (horizontal, kept_bias) = methods.get("vh").factor(weight, bias, spec, 4)
    u, s, vt = np.linalg.svd(weight.astype(np.float64).transpose(1, 2, 0, 3).reshape(15, 21), full_matrices=False)
    expected = (u[:, :4] * s[:4]) @ vt[:4]
    product = vertical.reshape(4, 15).T @ horizontal.transpose(1, 0, 2, 3).reshape(4, 21)
    np.testing.assert_allclose(product, expected, atol=1e-5)
    # Square roots on both halves: row k of each has the length sqrt(s_k).
    np.testing.assert_allclose(np.linalg.norm(vertical.reshape(4, 15), axis=1), np.sqrt(s[:4]), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(horizontal.transpose(1, 0, 2, 3).reshape(4, 21), axis=1),
                               np.sqrt(s[:4]), rtol=1e-5)
    np.testing.assert_array_equal(kept_bias, bias)
    assert not np.any(zeros)


def test_fc_svd_is_the_truncated_svd():
    part = SubFC("", 30, 12)
    spec = LayerSpec("fc", part, (30,), "w", "b", "FullyConnected")
    weight = np.random.RandomState(1).standard_normal(part.weight_shape).astype(np.float32)
    (reduce, none), (recover, _) = methods.get("fc-svd").factor(weight, np.zeros(12), spec, 5)
    u, s, vt = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(recover @ reduce, (u[:, :5] * s[:5]) @ vt[:5], atol=1e-5)
    assert none is None and reduce.shape == (5, 30) and recover.shape == (12, 5)


def test_names_and_halves_of_stride_pad_and_dilation():
    part = SubConv("", 4, 6, (3, 5), (2, 3), (1, 2), (1, 2))
    spec = LayerSpec("conv", part, (4, 20, 20), "w", "b", "Convolution")
    vertical, horizontal = methods.get("vh").chain(spec, 7)
    assert (vertical.suffix, horizontal.suffix) == ("_v", "_h")
    assert (vertical.kernel, vertical.stride, vertical.pad, vertical.dilate) == ((3, 1), (2, 1), (1, 0), (1, 1))
    assert (horizontal.kernel, horizontal.stride, horizontal.pad, horizontal.dilate) == ((1, 5), (1, 3), (0, 2), (1, 2))
    fc = LayerSpec("fc", SubFC("", 8, 9), (8,), "w", "b", "FullyConnected")
    reduce, recover = methods.get("fc-svd").chain(fc, 3)
    assert (reduce.suffix, recover.suffix, reduce.bias, recover.bias) == ("_red", "_rec", False, True)


def test_singular_values_of_ill_conditioned_kernels():
    """The Gram matrix squares the condition number; what matters, the product, must not suffer from it."""
    rng = np.random.RandomState(2)
    u, v = np.linalg.qr(rng.standard_normal((24, 24)))[0], np.linalg.qr(rng.standard_normal((36, 24)))[0]
    matrix = (u * 10.0 ** -np.arange(24)) @ v.T
    weight = matrix.reshape(8, 3, 12, 3).transpose(2, 0, 1, 3).astype(np.float32)
    part = SubConv("", 8, 12, (3, 3))
    spec = LayerSpec("conv", part, (8, 9, 9), "w", None, "Convolution")
    decomposition = methods.get("vh").decompose(weight, spec)
    np.testing.assert_allclose(decomposition.singular_values[:6], original_spectrum(weight)[:6], rtol=1e-3)
    vertical, horizontal = decomposition.factors(weight, 24)
    product = np.einsum("kcy,nkx->ncyx", vertical[..., 0], horizontal[:, :, 0])
    assert np.linalg.norm(product - weight) <= 1e-6 * np.linalg.norm(weight)

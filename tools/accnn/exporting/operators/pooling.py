"""Pooling: windows, sums over them, and what they are divided by."""
import numpy as np

from accnn.exporting.operators.convolution import check_layout
from accnn.exporting.registry import converts

_LOWEST = np.finfo(np.float32).min
_GLOBAL = {"max": "GlobalMaxPool", "avg": "GlobalAveragePool"}


@converts("Pooling")
def pooling(layer):
    """`max`, `avg`, `sum` and `lp`, with windows as `pooling_convention` counts them."""
    check_layout(layer, layer.x.ndim - 2)
    kind = layer.text("pool_type", "max")
    if kind == "lp":
        return _lp(layer)
    return _whole(layer, kind, layer.x) if layer.boolean("global_pool") else _windows(layer, kind, layer.x)


def _whole(layer, kind, x):
    """One window over the whole map."""
    if kind in _GLOBAL:
        return layer.add(_GLOBAL[kind], x)
    return layer.reduce("Sum", x, range(2, layer.x.ndim), True)


def _lp(layer):
    """(sum of x^p)^(1/p), in which MXNet takes no absolute value."""
    power = layer.integer("p_value", 2)
    powers = layer.x if power == 1 else layer.add("Mul", layer.x, layer.x)
    if power == 3:
        powers = layer.add("Mul", powers, layer.x)
    total = (_whole if layer.boolean("global_pool") else _windows)(layer, "sum", powers)
    if power == 1:
        return total
    if power == 2:
        return layer.add("Sqrt", total)
    root = layer.add("Pow", layer.add("Abs", total), layer.scalar(1 / 3))
    return layer.add("Mul", layer.add("Sign", total), root)


def _windows(layer, kind, x):
    """Windows of one size, padded at the ends as far as the last of them reaches."""
    kernel, stride, pads = _window(layer)
    pad = pads[:len(kernel)]
    window = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    too_wide = any(p >= k for p, k in zip(pads, tuple(kernel) * 2))  # for ONNX's pooling
    if kind == "max":
        return _padded_max(layer, x, window) if too_wide else layer.add("MaxPool", x, **window)
    if kind == "avg" and not layer.boolean("count_include_pad", True) and not too_wide:
        return layer.add("AveragePool", x, count_include_pad=0, **window)
    means = _convolved(layer, x, window) if too_wide else layer.add("AveragePool", x, count_include_pad=1, **window)
    return _divided(layer, means, _divisors(layer, kind, kernel, stride, pad), int(np.prod(kernel)))


def _padded_max(layer, x, window):
    half = len(window["pads"]) // 2
    around = [0, 0] + window["pads"][:half] + [0, 0] + window["pads"][half:]
    padded = layer.add("Pad", x, np.array(around, np.int64), layer.scalar(_LOWEST), mode="constant")
    return layer.add("MaxPool", padded, **dict(window, pads=[0] * len(around[4:])))


def _convolved(layer, x, window):
    """Means as a convolution, padded by any width: onnxruntime 1.19 merges a Pad with the pooling that reads it."""
    channels, kernel = layer.x.shape[1], tuple(window["kernel_shape"])
    weight = np.full((channels, 1) + kernel, 1 / np.prod(kernel), layer.x.dtype)
    return layer.add("Conv", x, weight, group=channels, **window)


def _window(layer):
    """Kernel, stride, and what is added before and behind, so that the last window has a place."""
    kernel = layer.sizes("kernel")
    stride, pad = (layer.sizes(key, (default,) * len(kernel)) for key, default in (("stride", 1), ("pad", 0)))
    ends = [max(p, (count - 1) * s + k - size - p) for count, s, k, size, p in zip(
        layer.shape[2:], stride, kernel, layer.x.shape[2:], pad)]
    return kernel, stride, list(pad) + ends


def _divisors(layer, kind, kernel, stride, pad):
    """ndarray of the shape of a map: by how many numbers the sum of a window is divided.

    With `count_include_pad` a window counts its part of the map with its padding, but nothing of what lies behind that,
    into which the last window reaches in the convention `full`.
    """
    if kind == "sum":
        return np.ones((1,) * len(kernel))
    behind = 0 if kind == "avg" and not layer.boolean("count_include_pad", True) else 1
    counts = []
    for count, k, s, p, size in zip(layer.shape[2:], kernel, stride, pad, layer.x.shape[2:]):
        begins = np.arange(count) * s - p
        ends = np.minimum(begins + k, size + p * behind)
        counts.append(ends - (begins if behind else np.maximum(begins, 0)))
    found = counts[0]
    for one in counts[1:]:
        found = np.multiply.outer(found, one)
    return found


def _divided(layer, means, divisors, size):
    """Means over `size` numbers made into sums over `divisors`."""
    factors = size / np.maximum(divisors, 1)
    if np.all(factors == 1):
        return means
    return layer.add("Mul", means, factors.astype(layer.x.dtype))


@converts("Pooling_v1")
def old_pooling(layer):
    """Pooling of old: zeros of the padding may be the largest number, and means are always over the whole kernel."""
    kind = layer.text("pool_type", "max")
    if layer.boolean("global_pool"):
        return _whole(layer, kind, layer.x)
    kernel, stride, pads = _window(layer)
    window = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    if kind == "max":
        return layer.add("Max", layer.add("MaxPool", layer.x, **window), _least(layer, kernel, stride, pads))
    means = layer.add("AveragePool", layer.x, count_include_pad=1, **window)
    return means if kind == "avg" else layer.add("Mul", means, layer.scalar(np.prod(kernel)))


def _least(layer, kernel, stride, pads):
    """ndarray of the shape of a map: 0 for windows that reach into the padding, else the lowest number."""
    found = np.zeros(())
    for place, (count, k, s, size) in enumerate(zip(layer.shape[2:], kernel, stride, layer.x.shape[2:])):
        begins = np.arange(count) * s - pads[place]
        reaching = (begins < 0) | (pads[place] > 0) & (begins + k > size)
        found = np.logical_or.outer(found, reaching)
    return np.where(found, 0, _LOWEST).astype(layer.x.dtype)


@converts("_contrib_AdaptiveAvgPooling2D")
def adaptive_average(layer):
    """Windows that differ by a pixel where the sizes do not divide: two multiplications with their weights."""
    before, after = layer.x.shape[2:], layer.shape[2:]
    if all(size == 1 for size in after):
        return layer.add("GlobalAveragePool", layer.x)
    if all(wide % narrow == 0 for wide, narrow in zip(before, after)):
        window = [wide // narrow for wide, narrow in zip(before, after)]
        return layer.add("AveragePool", layer.x, kernel_shape=window, strides=window)
    down, across = (_averaging(wide, narrow).astype(layer.x.dtype) for wide, narrow in zip(before, after))
    return layer.add("MatMul", layer.add("MatMul", down, layer.x), across.T)


def _averaging(before, after):
    """ndarray of shape (after, before): the weights of windows from floor(i b / a) to ceil((i + 1) b / a)."""
    weights = np.zeros((after, before))
    for row in range(after):
        begin, end = row * before // after, -(-(row + 1) * before // after)
        weights[row, begin:end] = 1 / (end - begin)
    return weights

"""Normalisation over batches, examples, groups and channels, as it is at inference."""
import numpy as np

from accnn.exporting.registry import converts


@converts("BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm")
def batch_norm(layer):
    """``BatchNormalization`` with the moving statistics; `fix_gamma` takes a stored gamma for 1."""
    if layer.boolean("output_mean_var"):
        raise layer.refused("output_mean_var=True")
    x, gamma, beta, mean, variance = layer.inputs
    if layer.boolean("fix_gamma", True):
        gamma = np.ones(gamma.shape, gamma.dtype)
    order = _channels_second(x.ndim, layer.axis(default=1))
    if x.ndim == 1:
        raise layer.refused("an input of one axis")
    found = layer.add("BatchNormalization", layer.transpose(x, order), gamma, beta, mean, variance,
                      epsilon=layer.number("eps", 1e-3))
    return [layer.transpose(found, np.argsort(order)), None, None]


def _channels_second(ndim, axis):
    """list of int: the order of axes in which `axis` comes behind the first of the others."""
    others = [one for one in range(ndim) if one != axis]
    return others[:1] + [axis] + others[1:]


@converts("InstanceNorm")
def instance_norm(layer):
    """``InstanceNormalization``."""
    return layer.add("InstanceNormalization", *layer.inputs, epsilon=layer.number("eps", 1e-3))


@converts("LayerNorm")
def layer_norm(layer):
    """``LayerNormalization`` over one axis, or what it is made of where that is not the last."""
    x, gamma, beta = layer.inputs
    axis, eps = layer.axis(default=-1), layer.number("eps", 1e-5)
    if layer.boolean("output_mean_var"):
        raise layer.refused("output_mean_var=True")
    if layer.builder.opset >= 17 and axis == x.ndim - 1:
        return [layer.add("LayerNormalization", x, gamma, beta, axis=axis, epsilon=eps), None, None]
    wide = (1,) * axis + tuple(gamma.shape) + (1,) * (x.ndim - axis - 1)
    scaled = layer.add("Mul", standardised(layer, x, [axis], eps), _reshaped(layer, gamma, wide))
    return [layer.add("Add", scaled, _reshaped(layer, beta, wide)), None, None]


def standardised(layer, x, axes, eps):
    """`x` with mean 0 and variance 1 over axes."""
    centred = layer.add("Sub", x, layer.reduce("Mean", x, axes, True))
    variance = layer.reduce("Mean", layer.add("Mul", centred, centred), axes, True)
    return layer.add("Div", centred, layer.add("Sqrt", layer.add("Add", variance, layer.scalar(eps))))


def _reshaped(layer, vector, sizes):
    return layer.add("Reshape", vector, np.array(sizes, np.int64))


@converts("GroupNorm")
def group_norm(layer):
    """Every group of channels standardised, then scaled, each group or each channel by one number."""
    x, gamma, beta = layer.inputs
    if layer.boolean("output_mean_var"):
        raise layer.refused("output_mean_var=True")
    groups = layer.integer("num_groups", 1)
    grouped = x.shape.replaced(1, groups).take([0, 1]).joined(x.shape.take(range(1, x.ndim)))
    grouped = grouped.replaced(2, x.shape[1] // groups)
    axes = list(range(2, len(grouped)))
    found = standardised(layer, layer.reshape(x, grouped), axes, layer.number("eps", 1e-5))
    by_group = gamma.shape[0] == groups
    if not by_group:
        found = layer.reshape(found, x.shape)
    wide = (1, gamma.shape[0]) + (1,) * (len(axes) if by_group else x.ndim - 2)
    found = layer.add("Add", layer.add("Mul", found, _reshaped(layer, gamma, wide)), _reshaped(layer, beta, wide))
    return [layer.reshape(found, x.shape) if by_group else found, None, None]


@converts("LRN")
def local_response_norm(layer):
    """``LRN``: the same formula, x / (bias + alpha / size * sum of x^2)^beta, in which MXNet calls the bias `knorm`.

    OpenVINO takes only the whole part of a bias: of one that is not whole, its power is taken out of the quotient.
    """
    alpha, beta, bias = (layer.number(key, usual) for key, usual in (("alpha", 1e-4), ("beta", 0.75), ("knorm", 2.0)))
    outside = bias if bias > 0 and bias % 1 else 1.0
    found = layer.add("LRN", layer.x, alpha=alpha / outside, beta=beta, bias=bias / outside,
                      size=layer.integer("nsize"))
    return [found if outside == 1 else layer.add("Mul", found, layer.scalar(outside ** -beta)), None]


@converts("L2Normalization")
def l2_normalization(layer):
    """Divided by the root of the sum of squares over an example, the channels, or the positions, plus `eps`."""
    axes = {"instance": range(1, layer.x.ndim), "channel": [1], "spatial": range(2, layer.x.ndim)}
    squares = layer.reduce("Sum", layer.add("Mul", layer.x, layer.x), axes[layer.text("mode", "instance")], True)
    length = layer.add("Sqrt", layer.add("Add", squares, layer.scalar(layer.number("eps", 1e-10))))
    return [layer.add("Div", layer.x, length), None]

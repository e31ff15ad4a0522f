"""Convolutions and their transposes."""
from math import ceil

import numpy as np

from accnn.exporting.registry import converts


def check_layout(layer, spatial):
    """Refuse a layout with the channels elsewhere than behind the batch."""
    layout = layer.text("layout", "NCDHW"[:2] + "DHW"[3 - spatial:])
    if layout not in ("NCW", "NCHW", "NCDHW"):
        raise layer.refused("layout=%s" % layout)


@converts("Convolution", "Convolution_v1")
def convolution(layer):
    """``Conv``, whose weight has the same shape."""
    kernel = layer.sizes("kernel")
    check_layout(layer, len(kernel))
    ones = (1,) * len(kernel)
    return layer.add("Conv", *_read(layer, False), kernel_shape=kernel, strides=layer.sizes("stride", ones),
                     dilations=layer.sizes("dilate", ones), pads=layer.sizes("pad", (0,) * len(kernel)) * 2,
                     group=layer.integer("num_group", 1))


def _read(layer, bare):
    """Data, weight and, where it counts, the bias."""
    return layer.inputs[:2 if layer.boolean("no_bias", bare) else 3]


@converts("Deconvolution")
def deconvolution(layer):
    """``ConvTranspose``; the padding follows from `target_shape` where that is given."""
    kernel = layer.sizes("kernel")
    check_layout(layer, len(kernel))
    ones = (1,) * len(kernel)
    stride, dilate = layer.sizes("stride", ones), layer.sizes("dilate", ones)
    pad, adj = _padding(layer, kernel, stride, dilate)
    return layer.add("ConvTranspose", *_read(layer, True), kernel_shape=kernel, strides=stride, dilations=dilate,
                     pads=pad * 2, output_padding=adj if any(adj) else None, group=layer.integer("num_group", 1))


def _padding(layer, kernel, stride, dilate):
    """What is cut off at both ends, and how much less at the end.

    With `target_shape`, MXNet ignores `pad` and `adj`: both ends lose half of what is too much, rounded up, and `adj`
    gives back the odd one.
    """
    target = layer.sizes("target_shape")
    if not any(target):
        zeros = (0,) * len(kernel)
        return layer.sizes("pad", zeros), layer.sizes("adj", zeros)
    whole = [s * (size - 1) + d * (k - 1) + 1 for s, size, d, k in zip(stride, layer.x.shape[2:], dilate, kernel)]
    excess = [total - wanted for total, wanted in zip(whole, target)]
    return tuple((more + 1) // 2 for more in excess), tuple(more % 2 for more in excess)


@converts("UpSampling")
def upsampling(layer):
    """``Resize`` of each input to the size of the result, or the transposed convolution that `bilinear` is."""
    if layer.text("sample_type") == "bilinear":
        return _bilinear(layer)
    parts = [enlarged(layer, x) for x in layer.inputs]
    if len(parts) == 1:
        return parts[0]
    if layer.text("multi_input_mode", "concat") == "sum":
        return layer.add("Sum", *parts)
    return layer.add("Concat", *parts, axis=1)


def enlarged(layer, x):
    """Repeat pixels up to the height and width of the layer's output."""
    scales = [1.0, 1.0] + [wide // narrow for wide, narrow in zip(layer.shape[2:], x.shape[2:])]
    return layer.add("Resize", x, None, np.array(scales, np.float32), mode="nearest",
                     coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _bilinear(layer):
    scale, channels = layer.integer("scale"), layer.x.shape[1]
    kernel, pad = 2 * scale - scale % 2, ceil((scale - 1) / 2)
    return layer.add("ConvTranspose", *layer.inputs[:2], kernel_shape=(kernel,) * 2, strides=(scale,) * 2,
                     pads=(pad,) * 4, group=channels)

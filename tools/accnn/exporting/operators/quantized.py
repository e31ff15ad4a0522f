"""What converts between float32 and INT8, and INT8 operators without weights."""
import numpy as np

from accnn.exporting.operators.pooling import pooling
from accnn.exporting.operators.shape import concat, reshape
from accnn.exporting.quantized import as_float, known_range, output_range, quantized, rounded, step_of
from accnn.exporting.registry import converts


@converts("_contrib_quantize_v2")
def quantize(layer):
    """``QuantizeLinear`` with the range that was calibrated, and ``DequantizeLinear``."""
    return quantized(layer, layer.x.name, *output_range(layer))


@converts("_contrib_requantize", inputs=1)
def requantize(layer):
    """The same: what it reads has 32 bits and is float32 here."""
    return quantized(layer, layer.x.name, *output_range(layer), is_requantized=True)


@converts("_contrib_dequantize", inputs=1)
def dequantize(layer):
    """What it reads, which is dequantized already."""
    return as_float(layer.x)


def _same_range(layer, convert):
    """An operator whose output has the range, and the type, of its input."""
    found = convert(layer.part(layer.node, [as_float(layer.x)]))
    return quantized(layer, found, *known_range(layer, 1))


@converts("_contrib_quantized_pooling")
def quantized_pooling(layer):
    """Means are rounded."""
    return _same_range(layer, pooling)


@converts("_contrib_quantized_flatten")
def quantized_flatten(layer):
    """Readers of the same pattern want the pair behind it, too."""
    return _same_range(layer, reshape)


@converts("_contrib_quantized_act")
def quantized_activation(layer):
    """``Relu``, the only one that there is."""
    return _same_range(layer, lambda part: part.add("Relu", part.x))


@converts("_contrib_quantized_concat")
def quantized_concat(layer):
    """The parts in steps of the coarsest of them."""
    count = len(layer.inputs) // 3
    ranges = [known_range(layer, count + 2 * number) for number in range(count)]
    found = concat(layer.part(layer.node, [as_float(one) for one in layer.inputs[:count]]))
    return quantized(layer, found, min(low for low, _ in ranges), max(high for _, high in ranges))


@converts("_contrib_quantized_elemwise_add", inputs=2)
def quantized_sum(layer):
    """``Add``, and what follows from the range of the sum."""
    return quantized(layer, layer.add("Add", *layer.inputs), *output_range(layer))


@converts("_contrib_quantized_batch_norm")
def quantized_batch_norm(layer):
    """``BatchNormalization`` of signed numbers, with `gamma` whatever `fix_gamma` says.

    MXNet gives oneDNN a variance of 1, to which that adds `eps` a second time.
    """
    gamma, beta, mean, variance = (one.known().astype(np.float64) for one in layer.inputs[1:5])
    eps = layer.number("eps", 1e-3)
    shift = beta - mean * gamma / np.sqrt(variance + eps)
    scale = gamma / np.sqrt((variance + eps) * (1 + eps))
    zeros, ones = np.zeros(len(scale), np.float32), np.ones(len(scale), np.float32)
    found = layer.add("BatchNormalization", _signed(layer), scale.astype(np.float32), shift.astype(np.float32), zeros,
                      ones, epsilon=0.0)
    return quantized(layer, found, *output_range(layer))


def _signed(layer):
    """str: the first input; where it is unsigned, MXNet halves the whole numbers, and drops the remainder."""
    if layer.x.dtype == np.int8:
        return layer.x.name
    low, high = known_range(layer, 5)
    step = step_of(low, high, False)
    lower = layer.add("Sub", layer.x.name, np.asarray(step / 2, np.float32))  # rounded, this loses what is odd
    return rounded(layer, lower, 2 * step, step_of(low, high, True), np.array(0, np.int8))

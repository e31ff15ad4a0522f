"""Tensors that MXNet stores in INT8, in ONNX: each a pair of QuantizeLinear and DequantizeLinear of the same step.

Nodes in INT8 have three outputs, the tensor and the least and largest number that it stands for. Here the first is the
dequantized tensor, the others are constants, or unknown where 32 bits are handed on.
"""
import numpy as np

from accnn.exporting.layer import Value
from accnn.exporting.sizes import Shape
from accnn.quantization.grid import steps

_SCALAR = Shape((1,))
_ALL = 255  # steps from the least to the largest number


def quantized(layer, tensor, low, high, is_requantized=False):
    """What a tensor becomes that is stored in INT8, with the range of it.

    Parameters
    ----------
    layer : Layer
    tensor : str
        In float32.
    low, high : float
        Its range in MXNet.
    is_requantized : bool
        By MXNet's operator for that, which takes the threshold to 127 or 255 steps; whatever reads it takes it for
        127.5 or 255.5.

    Returns
    -------
    list of (str or Value)
        The outputs of the node.
    """
    signed = layer.dtype == np.int8
    step = step_of(low, high, signed)
    written = step * np.float32(steps(signed) / int(steps(signed))) if is_requantized else step
    found = rounded(layer, tensor, written, step, np.array(0, layer.dtype))
    return [found] + [Value("", _SCALAR, np.dtype(np.float32), np.array([limit], np.float32)) for limit in (low, high)]


def rounded(layer, tensor, written, read, zero):
    """str: a tensor in steps of the size `written`, each of which counts as one of the size `read`.

    `zero` is the whole number that stands for 0, an ndarray of the type of all.
    """
    whole = layer.add("QuantizeLinear", tensor, np.asarray(written, np.float32), zero)
    return layer.add("DequantizeLinear", whole, np.asarray(read, np.float32), zero)


def rounded_before_sum(layer, tensor, high):
    """str: what a convolution gives, in as many steps as tell apart what the sum does not clip.

    The range of the other operand is that of the last two inputs; the sum is clipped to `high`, which is the largest
    number that its type tells, and to 0 or the negative of that.
    """
    other = max(map(abs, known_range(layer, len(layer.inputs) - 2)))
    if layer.dtype == np.int8:
        step = step_of(0, other + high, True)
        return rounded(layer, tensor, step, step, np.array(0, np.int8))
    step = np.float32((other + high) / _ALL)
    return rounded(layer, tensor, step, step, np.array(np.rint(other / step), np.uint8))


def in_32_bits(tensor):
    """Outputs of a node that does not requantize: `tensor` in float32, and no range."""
    return [tensor] + [Value("", _SCALAR, np.dtype(np.float32))] * 2


def step_of(low, high, signed):
    """np.float32: between two neighbours among the numbers that an INT8 tensor has."""
    return np.float32(max(abs(low), abs(high))) / np.float32(steps(signed))


def known_range(layer, first):
    """(float, float): the range of an INT8 input, of which input `first` is the least number.

    Raises
    ------
    AccnnError
        It is found while the network runs.
    """
    low, high = (one.known() for one in layer.inputs[first:first + 2])
    if low is None or high is None:
        raise layer.lacking_range()
    return float(low.min()), float(high.max())


def input_step(layer, first):
    """np.float32: the step of the first input, whose least number is input `first`."""
    return step_of(*known_range(layer, first), layer.x.dtype != np.uint8)


def calibrated(layer):
    """(float, float) or None: the range that the node says of its output."""
    if layer.text("min_calib_range") is None:
        return None
    return layer.number("min_calib_range"), layer.number("max_calib_range")


def output_range(layer):
    """(float, float): the same, of a node that must have one."""
    found = calibrated(layer)
    if found is None:
        raise layer.lacking_range()
    return found


def as_float(value):
    """Value: an INT8 input as it is read here."""
    return Value(value.name, value.shape, np.dtype(np.float32))

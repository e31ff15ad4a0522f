"""oneDNN's operators: a layer in INT8 or float32, with what is fused behind it."""
from dataclasses import replace

import numpy as np

from accnn.exporting.layer import Value
from accnn.exporting.quantized import (
    as_float,
    calibrated,
    in_32_bits,
    input_step,
    known_range,
    quantized,
    rounded_before_sum,
    step_of,
)
from accnn.exporting.registry import CONVERTERS, converts
from accnn.exporting.sizes import Shape
from accnn.graph import attrs
from accnn.graph.ir import Graph
from accnn.graph.quantized import in_int8
from accnn.quantization.grid import steps as steps_to_threshold
from accnn.quantization.stored import folded, quantized_weights
from accnn.quantization.supported import SUMS, is_unsigned

_FLOAT = np.dtype(np.float32)
_LARGEST_BIAS = np.float32(1 << 30)  # in steps


@converts("_sg_mkldnn_conv")
def convolution(layer):
    """``Conv``; in INT8 with a step for every output channel, where the node requantizes by itself."""
    parts, read = _parts(layer)
    arrays = [value.known() for values in read for value in values[:None if values is read[0] else 4]]
    weight, bias = folded(parts, arrays[1:])
    if in_int8(layer.node):
        step, requantizes = input_step(layer, sum(map(len, read))), calibrated(layer) is not None
        whole, steps = _steps(weight, not requantizes)
        factor = 1 if requantizes else _of_32_bits(layer)
        weight, bias = _whole(layer, whole, steps * factor, bias * factor, step)
    return _finished(layer, parts, read, weight, bias)


@converts("_sg_mkldnn_fully_connected")
def fully_connected(layer):
    """``Gemm``; in INT8 with one step for all weights, or one for every output, where these are stored in float32."""
    parts, read = _parts(layer)
    weight, bias = ([value.known() for value in read[0][1:]] + [None])[:2]
    if in_int8(layer.node):
        first = sum(map(len, read))  # of the ranges: of the input, the weight, the bias
        if weight.dtype == np.int8:
            steps = np.full(len(weight), step_of(*known_range(layer, first + 2), True))
        else:
            weight, steps = _steps(weight, False)
        if bias is not None and bias.dtype == np.int8:
            bias = bias * step_of(*known_range(layer, first + 4), True)
        weight, bias = _whole(layer, weight, steps, bias, input_step(layer, first))
    return _finished(layer, parts, read, weight, bias)


def _parts(layer):
    """The operators inside a node, and of each the values that it reads from outside."""
    given, values, parts, read = iter(layer.inputs), {}, [], []
    for position, node in enumerate(Graph.from_document(layer.node.extra["subgraphs"][0]).nodes):
        if node.is_variable:
            values[position] = next(given)
        else:
            parts.append(node)
            read.append([values[entry[0]] for entry in node.inputs if entry[0] in values])
    return parts, read


def _steps(weight, per_tensor):
    """Whole numbers of weights, and the step of every output: MXNet takes the largest weight to 127.5 of them."""
    whole, scales = quantized_weights(weight, per_tensor)
    rows = np.abs(whole.reshape(1 if per_tensor else len(whole), -1).astype(np.int32))
    largest = rows.max(axis=1) * scales[:len(rows)]
    return whole, np.broadcast_to(np.where(largest > 0, largest, 1) / np.float32(127.5), len(whole))


def _of_32_bits(layer):
    """np.float32: how much too large the range is that MXNet gives 32 bits: with thresholds of 127 or 255 steps."""
    counts = [steps_to_threshold(signed) for signed in (True, layer.x.dtype != np.uint8)]
    return np.float32(np.prod([count / int(count) for count in counts]))


def _whole(layer, weight, steps, bias, step):
    """Weight and bias as Values: dequantized from 8 and from 32 bits, the steps of these the product of both others."""
    steps = steps.astype(np.float32)
    if bias is not None:
        wider = np.maximum(steps, (np.abs(bias) / (_LARGEST_BIAS * step)).astype(np.float32))
        for output in np.nonzero(wider > steps)[0]:  # its bias has no 32 bits in the step of the sums
            weight[output] = np.rint(weight[output] * (steps[output] / wider[output]))
        steps = wider
    one = len(np.unique(steps)) == 1
    scale, zero = (steps[0], np.int8(0)) if one else (steps, np.zeros(len(steps), np.int8))
    found = [_dequantized(layer, weight, "_weight", scale, zero)]
    if bias is None:
        return found[0], None
    whole = np.rint(bias / (steps * step)).astype(np.int32)
    return found[0], _dequantized(layer, whole, "_bias", scale * step)


def _dequantized(layer, array, end, scale, *zero):
    name = layer.builder.constant(array, layer.node.name + end)
    scale, zero = np.asarray(scale, np.float32), [np.asarray(one) for one in zero]
    found = layer.add("DequantizeLinear", name, scale, *zero, axis=0 if scale.ndim else None)
    return Value(found, Shape(array.shape), _FLOAT)


def _finished(layer, parts, read, weight, bias):
    """The layer, what follows it, and the rounding of the result."""
    node = replace(parts[0], attrs=dict(parts[0].attrs, no_bias=str(bias is None)))
    arrays = [one if isinstance(one, Value) else Value(
        layer.builder.constant(one.astype(np.float32), layer.node.name + end), Shape(one.shape), _FLOAT)
        for one, end in ((weight, "_weight"), (bias, "_bias")) if one is not None]
    tensor = CONVERTERS[node.op](layer.part(node, [as_float(layer.x)] + arrays))
    found = calibrated(layer) if in_int8(layer.node) else None
    for part, values in zip(parts[1:], read[1:]):
        if part.op in SUMS and found and layer.builder.rounds_sums:
            tensor = rounded_before_sum(layer, tensor, max(map(abs, found)))
        if part.op != "BatchNorm" and not (part is parts[-1] and found and _is_clipping(layer, part, found)):
            inputs = [Value(tensor, layer.shape, _FLOAT)] + list(map(as_float, values))
            tensor = CONVERTERS[part.op](layer.part(part, inputs))
    if found:
        return quantized(layer, tensor, *found)
    in_float = not in_int8(layer.node) or layer.boolean("enable_float_output")
    return tensor if in_float else in_32_bits(tensor)


def _is_clipping(layer, part, found):
    """bool: an activation that does no more than rounding to an unsigned number."""
    return layer.dtype == np.uint8 and is_unsigned(part) and (
        part.op == "Activation" or found[1] <= attrs.number(part, "a_max", np.inf))

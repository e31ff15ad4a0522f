"""OpenVINO networks in INT8 with made-up ranges: what runs is what NNCF would make of plain layers, in no time.

NNCF takes 0.2 seconds for the smallest network, and a plan is made of hundreds of chains.
"""
import numpy as np

from accnn.core.libraries import loaded

_RANGE = 4.0  # of tensors between layers
# By layer: axes of a weight that its output channels lie on; of a product it depends on how the weight is stored.
_CHANNELS = {"Convolution": (0,), "GroupConvolution": (0, 1), "ConvolutionBackpropData": (1,),
             "GroupConvolutionBackpropData": (0, 2), "MatMul": None}


def with_made_up_ranges(network, positive):
    """Let convolutions and products compute in INT8, weights a channel at a time, as NNCF's default does.

    Parameters
    ----------
    network : openvino.Model
        Changed.
    positive : bool
        Inputs of the network are never negative; what a ReLU leaves is not in any case.

    Returns
    -------
    openvino.Model
    """
    quantized = {}  # by what is read
    for node in network.get_ordered_ops():
        if node.get_type_name() in _CHANNELS:
            source = node.input_value(0)
            key = source.get_node().get_friendly_name(), source.get_index()
            if key not in quantized:
                quantized[key] = _tensor(source, positive)
            node.input(0).replace_source_output(quantized[key])
            node.input(1).replace_source_output(_weight(node))
    network.validate_nodes_and_infer_types()
    return network


def _tensor(source, positive):
    """openvino.Output: a tensor in 256 steps."""
    kind = source.get_node().get_type_name()
    unsigned = kind == "Relu" or kind == "Parameter" and positive
    return _stepped(source, 0.0 if unsigned else -_RANGE * 128 / 127, np.float32(_RANGE), 256)


def _weight(node):
    """openvino.Output: the weight of a layer in 255 steps, of another size for every channel."""
    source = node.input_value(1)
    shape, axes = list(source.get_shape()), _CHANNELS[node.get_type_name()]
    if axes is None:
        axes = (len(shape) - (2 if node.get_attributes()["transpose_b"] else 1),)
    sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    spread = np.linspace(1, 1.1, int(np.prod(sizes)), dtype=np.float32).reshape(sizes)
    most = spread * _RANGE / np.sqrt(np.prod(shape[1:]))
    return _stepped(source, -most, most, 255)


def _stepped(source, low, high, levels):
    opset = loaded("openvino.opset13")
    ends = [np.asarray(end, np.float32) for end in (low, high, low, high)]
    return opset.fake_quantize(source, *map(opset.constant, ends), levels).output(0)

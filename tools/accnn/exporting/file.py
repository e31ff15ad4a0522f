"""The file: ONNX's messages without the constants, between which these are written one after the other.

onnx would hold a network three times to write it: as arrays, in messages, and as the bytes of the file.
"""
import os

import numpy as np

from accnn.core.compat import mx
from accnn.core.versions import VERSION
from accnn.exporting.layer import ONNX_TYPES
from accnn.exporting.libraries import onnx
from accnn.exporting.sizes import as_numpy

PRODUCER = "accnn"
LARGEST = (1 << 31) - (1 << 20)  # bytes: a message of 2 GB cannot be read
_SMALL = 1024                    # bytes: shapes and such stay in the file itself, where readers want them
_PAGE = 4096                     # bytes: where one begins, so that the second file can be mapped
_CHUNK = 1 << 24                 # elements of a parameter that are copied at a time
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # numbers of the fields in ModelProto, GraphProto, TensorProto
_LENGTH_DELIMITED = 2


def write(converted, opset, path, metadata, name, second=None, extra=()):
    """Write a network.

    Parameters
    ----------
    converted : Converted
    opset : int
    path : str
        Of the file.
    metadata : dict of str to str
    name : str
        Of the graph.
    second : str, optional
        Path of a second file for the constants; None keeps them in the first.
    extra : iterable of str
        Inner tensors that are to be outputs too.

    Raises
    ------
    OSError
    """
    graph = _graph(converted, name, extra).SerializeToString()
    with open(path, "wb") as handle:
        handle.write(_model(opset, metadata).SerializeToString())
        if second is None:
            _write_inside(handle, graph, converted.builder.constants)
        else:
            _write_beside(handle, graph, converted.builder.constants, second)


def rename_second(path, name):
    """Let a file call its second one `name`."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    with open(path, "wb") as handle:
        handle.write(model.SerializeToString())


def is_ours(path):
    """bool: whether a file was written here."""
    with open(path, "rb") as handle:
        return handle.read(2 + 2 + len(PRODUCER))[2:] == b"\x12" + bytes([len(PRODUCER)]) + PRODUCER.encode()


def needs_second_file(converted):
    """bool: whether the constants are too large to stand in the file itself."""
    return converted.builder.bytes_of_constants() > LARGEST


# ---- messages

def _model(opset, metadata):
    versions = [onnx.helper.make_opsetid("", opset)]
    model = onnx.ModelProto(ir_version=onnx.helper.find_min_ir_version_for(versions), producer_name=PRODUCER,
                            producer_version=VERSION, opset_import=versions)
    onnx.helper.set_model_props(model, metadata)
    return model


def _graph(converted, name, extra):
    helper, builder = onnx.helper, converted.builder
    nodes = [helper.make_node(record.op, record.inputs, record.outputs, record.name, **record.attributes)
             for record in builder.nodes]
    outputs = [_described(tensor) for tensor in converted.outputs] + [onnx.ValueInfoProto(name=one) for one in extra]
    return helper.make_graph(nodes, name, [_described(tensor) for tensor in converted.inputs], outputs)


def _described(tensor):
    sizes = ["batch" if factor == 1 else None if factor else size
             for size, factor in zip(tensor.shape, tensor.shape.factors)]
    return onnx.helper.make_tensor_value_info(tensor.name, ONNX_TYPES[np.dtype(tensor.dtype).name], sizes)


def _head(name, array):
    return onnx.TensorProto(name=name, dims=array.shape, data_type=ONNX_TYPES[np.dtype(array.dtype).name])


# ---- bytes

def _write_inside(handle, graph, constants):
    heads = [(_head(name, array).SerializeToString(), array) for name, array in constants.items()]
    sizes = [len(head) + len(_field(_RAW_DATA, _bytes(array))) + _bytes(array) for head, array in heads]
    total = len(graph) + sum(len(_field(_INITIALIZER, size)) + size for size in sizes)
    handle.write(_field(_GRAPH, total) + graph)
    for (head, array), size in zip(heads, sizes):
        handle.write(_field(_INITIALIZER, size) + head + _field(_RAW_DATA, _bytes(array)))
        _write_array(handle, array)


def _write_beside(handle, graph, constants, path):
    fields = []
    with open(path, "wb") as beside:
        for name, array in constants.items():
            tensor = _head(name, array)
            if _bytes(array) < _SMALL:
                tensor.raw_data = as_numpy(array).tobytes()
            else:
                beside.write(b"\0" * (-beside.tell() % _PAGE))
                _refer(tensor, os.path.basename(path), beside.tell(), _bytes(array))
                _write_array(beside, array)
            fields.append(tensor.SerializeToString())
    joined = b"".join(_field(_INITIALIZER, len(field)) + field for field in fields)
    handle.write(_field(_GRAPH, len(graph) + len(joined)) + graph + joined)


def _refer(tensor, location, offset, length):
    """Let a tensor's numbers be those of a part of another file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _field(number, length):
    """bytes: what stands before a field of a message: its number, and how many bytes follow."""
    found, rest = bytearray([number << 3 | _LENGTH_DELIMITED]), length
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    return bytes(found) + bytes([rest])


def _bytes(array):
    return int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize


def _write_array(handle, array):
    """Write the numbers, of a large parameter some rows at a time."""
    if not isinstance(array, mx.nd.NDArray):
        handle.write(np.ascontiguousarray(array).tobytes())
        return
    rows = max(1, _CHUNK * len(array) // max(array.size, 1)) if array.shape else 1
    for first in range(0, len(array), rows):
        part = array if rows >= len(array) else array[first:first + rows]
        handle.write(np.ascontiguousarray(part.asnumpy()).data)

"""What oneDNN's operators in MXNet 1.9.1 compute in INT8, and compute rightly: with the reason where they do not."""
from collections import Counter

from accnn.graph import attrs

CONVOLUTION, DENSE = "_sg_mkldnn_conv", "_sg_mkldnn_fully_connected"
LAYERS = {"Convolution": CONVOLUTION, "FullyConnected": DENSE}
SUMS = {"elemwise_add", "_npi_add"}
SIGNED, UNSIGNED, FLOAT, UNKNOWN = "int8", "uint8", "float32", "unknown"

_LAYOUTS = {"", "NCW", "NCHW", "NCDHW"}
_KEEPING_TYPE = {"Pooling", "Flatten"}
_KEEPING_SIGN = {"slice", "slice_axis", "slice_like", "SliceChannel", "Crop", "UpSampling", "zeros_like", "Pad",
                 "Reshape", "transpose", "relu"}
_ASKED = {"Concat", "Activation", "BatchNorm", "elemwise_mul", "Embedding"} | SUMS  # may become INT8 themselves


def refusals(model, graph):
    """Yield every layer of a graph with weights, and the reason why it cannot be INT8, or None.

    Parameters
    ----------
    model : Model
        Holds the parameters.
    graph : Graph

    Yields
    ------
    Node, str or None
    """
    names = Counter(node.name for node in graph.nodes if not node.is_variable)
    for node in graph.nodes:
        if node.op in LAYERS:
            twin = "another operator has the same name" if names[node.name] > 1 else None
            yield node, twin or _FORMS[node.op](node) or _parameter_refusal(model, graph, node)
        elif node.op == "Deconvolution":
            yield node, "MXNet has no INT8 transposed convolution"


def is_wrong(node):
    """bool: an operator without weights that MXNet's pass would quantize, and that would then answer something else."""
    if node.op == "Pooling":
        return _pools_wrongly(node)
    if node.op == "Activation":
        return node.attrs.get("act_type") != "relu"
    return node.op == "elemwise_mul"  # fails where a factor is not negative, which oneDNN stores in uint8


def _pools_wrongly(node):
    kind = node.attrs.get("pool_type", "max")
    if kind not in ("max", "avg"):  # the pass gives what reads a sum or a norm a range that no operator computes
        return True
    # In INT8 windows that overlap the border are divided by what is inside.
    return kind == "avg" and node.attrs.get("pooling_convention") == "full" \
        and attrs.boolean(node, "count_include_pad", True) and not attrs.boolean(node, "global_pool")


def activates(node, layer, summed):
    """bool: an activation that is computed rightly in INT8 when it is fused with a layer.

    Parameters
    ----------
    node : Node
    layer : Node
        The convolution or fully connected layer.
    summed : bool
        There is a sum between them.
    """
    if node.op == "Activation":
        return node.attrs.get("act_type") == "relu"
    if node.op == "clip":
        return attrs.number(node, "a_min", 0.0) == 0 and not summed
    return node.op == "LeakyReLU" and node.attrs.get("act_type", "leaky") == "leaky" and layer.op == "Convolution"


def is_per_tensor(node):
    """bool: a layer all of whose weights have one step, instead of one for every output.

    Fully connected ones, unless :func:`accnn.quantization.int8_graph.quantize` is told otherwise, and grouped
    convolutions that are not depthwise.
    """
    return is_grouped(node) or node.op == "FullyConnected"


def is_grouped(node):
    """bool: a convolution that is grouped, but not depthwise."""
    return node.op == "Convolution" and attrs.integer(node, "num_group", 1) not in (
        1, attrs.integer(node, "num_filter"))


def is_unsigned(node):
    """bool: an activation whose output is never negative, which oneDNN stores as uint8."""
    return node.op == "Activation" and node.attrs.get("act_type") == "relu" or \
        node.op == "clip" and attrs.number(node, "a_min", 0.0) >= 0


def stored_type(node, read):
    """The type in which a quantized graph stores the output of an operator that is not fused, for what is INT8.

    Parameters
    ----------
    node : Node
    read : list of str
        The types of what it reads.

    Returns
    -------
    str
        `SIGNED`, `UNSIGNED`; `FLOAT` where a quantize operator will make one of the two of it, by its range; `UNKNOWN`.
    """
    if node.op in _KEEPING_TYPE:
        return read[0]
    if node.op == "Concat" and not {UNSIGNED}.issuperset(read):
        return SIGNED if SIGNED in read and UNKNOWN not in read else UNKNOWN
    if node.op in _KEEPING_SIGN or node.op == "Concat":
        return UNSIGNED if {UNSIGNED}.issuperset(read) else FLOAT
    return UNKNOWN if node.op in _ASKED else UNSIGNED if is_unsigned(node) else FLOAT


def convolution_refusal(node):
    """str or None: why oneDNN computes a convolution in float32 only."""
    if attrs.layout(node) not in _LAYOUTS:
        return "its layout is %s" % attrs.layout(node)
    sides = len(attrs.shape(node, "kernel", ()))
    return None if sides == 2 else "it is a %d-D convolution" % sides


def _dense_refusal(node):
    return None if attrs.boolean(node, "flatten", True) else "flatten=False: the INT8 layer takes vectors only"


_FORMS = {"Convolution": convolution_refusal, "FullyConnected": _dense_refusal}


def _parameter_refusal(model, graph, node):
    arrays = [model.arg_params.get(graph.nodes[entry[0]].name) for entry in node.inputs[1:]]
    if not arrays or any(array is None for array in arrays):
        return "its weights are computed, not stored"
    kinds = {array.dtype.__name__ for array in arrays} - {"float32"}
    return "its weights are %s" % kinds.pop() if kinds else None

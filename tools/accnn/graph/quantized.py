"""INT8 networks: oneDNN's fused and quantized operators seen as the float layers that they stand for."""
from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.ir import Graph, Node, moved

_FUSED = ("_sg_mkldnn", "_sg_onednn")
_KEPT = "_float_graph"
_PREFIX = "quantized_"  # of the names that MXNet gives
# What changes the type of numbers, not what they mean.
_CONVERSIONS = {"_contrib_quantize", "_contrib_quantize_v2", "_contrib_requantize", "_contrib_dequantize"}
_FLOATS = {
    "act": "Activation", "batch_norm": "BatchNorm", "concat": "Concat", "conv": "Convolution",
    "elemwise_add": "elemwise_add", "elemwise_mul": "elemwise_mul", "embedding": "Embedding", "flatten": "Flatten",
    "fully_connected": "FullyConnected", "pooling": "Pooling"}
_ARRAYS = {"batch_norm": 5, "embedding": 2}  # inputs before the ranges; of others a third are no ranges
_OF_INT8 = {"min_calib_range", "max_calib_range", "enable_float_output", "quantized"}


def is_fused(node):
    """bool: one of oneDNN's operators that several others were made into, in float32 or in INT8."""
    return node.op.startswith(_FUSED) and bool(node.extra.get("subgraphs"))


def in_int8(node):
    """bool: an operator that computes with whole numbers of 8 bits, or converts to or from them."""
    return "quantize" in node.op or is_fused(node) and attrs.boolean(node, "quantized")


def names_inside(node):
    """list of str: the layers and other operators, and variables, that a fused operator was made of."""
    return [inner["name"] for document in node.extra.get("subgraphs", ()) for inner in document["nodes"]] \
        if is_fused(node) else []


def is_quantized(graph):
    """bool: a graph with INT8 or fused operators, whose layers no method can replace."""
    return any(node.op.startswith(_FUSED) or "quantize" in node.op for node in graph.nodes)


def refuse_quantized(model):
    """Refuse a network that can be run, but neither accelerated nor trained nor quantized.

    Raises
    ------
    AccnnError
    """
    found = [node for node in model.graph.nodes if in_int8(node)]
    fused = [node for node in model.graph.nodes if node.op.startswith(_FUSED)]
    if found or fused:
        node = (found or fused)[0]
        raise AccnnError("%s is %s (%r is a %s): accelerate or fine-tune the float32 checkpoint that it was made "
                         "from%s" % (model.prefix, "an INT8 network" if found else "fused for oneDNN", node.name,
                                     node.op, ", then quantize the result" if found else ""))


def float_graph(graph):
    """The network of float operators that a quantized or fused one stands for.

    Fused operators become the operators inside them, INT8 operators their float counterparts, conversions disappear.
    Parameters keep their names, whatever their type is, so that it says shapes, layers and outputs, but does not run
    where weights are stored in INT8.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        `graph` itself where it is a float one.

    Raises
    ------
    AccnnError
        An operator has fewer inputs than there are inside it, or one that is not known reads a range.
    """
    if not is_quantized(graph):
        return graph
    if _KEPT not in vars(graph):  # made once, as by functools.cached_property: MXNet takes long to read a graph
        # In the order of MXNet's inference:
        vars(graph)[_KEPT] = Graph.from_symbol(_Floats(graph).graph.to_symbol())
    return vars(graph)[_KEPT]


def ranges(node):
    """list of int: the inputs of an operator that say which numbers its INT8 inputs stand for."""
    if not in_int8(node) or node.op in ("_contrib_quantize", "_contrib_quantize_v2"):
        return []
    return list(range(_arrays(node), len(node.inputs)))


def _arrays(node):
    """int: how many inputs of an INT8 or fused operator are no ranges."""
    if is_fused(node):
        return sum(inner["op"] == "null" for inner in node.extra["subgraphs"][0]["nodes"])
    if node.op in _CONVERSIONS:
        return 1
    return _ARRAYS.get(_kind(node), len(node.inputs) // 3)


def _kind(node):
    """str: what an INT8 operator does, or '' for any other operator."""
    _, there, kind = node.op.partition("_contrib_quantized_")
    return kind if there and kind in _FLOATS else ""


class _Floats:
    """The float network, node by node."""

    def __init__(self, graph):
        self._nodes, self._now = [], {}
        for position, node in enumerate(graph.nodes):
            self._add(position, node)
        self.graph = Graph(tuple(self._nodes), tuple(map(self._where, graph.heads)))

    def _where(self, entry):
        position, output = entry[:2]
        if (position, output) in self._now:
            return self._now[position, output][:2] + entry[2:]
        if position not in self._now:
            raise AccnnError("an operator reads output %d of an INT8 one, which only INT8 operators read: export the "
                             "network again" % output)
        return (self._now[position],) + tuple(entry[1:])

    def _add(self, position, node):
        if is_fused(node):
            self._now[position, 0] = self._expanded(node)
        elif node.op in _CONVERSIONS:
            self._now[position, 0] = self._where(node.inputs[0])
        elif _kind(node):
            self._now[position, 0] = self._appended(Node(
                _FLOATS[_kind(node)], own_name(node.name), _float_attrs(node),
                tuple(map(self._where, node.inputs[:_arrays(node)]))))
        else:
            self._now[position] = self._appended(moved(node, self._where))[0]

    def _appended(self, node):
        self._nodes.append(node)
        return len(self._nodes) - 1, 0, 0

    def _expanded(self, node):
        """Entry of what a fused operator computes, after the operators inside it were added."""
        inside = Graph.from_document(node.extra["subgraphs"][0])
        if len(node.inputs) < _arrays(node):
            raise AccnnError("the layer %r has %d inputs, and %d inside: export the network again"
                             % (node.name, len(node.inputs), _arrays(node)))
        given, now = iter(node.inputs), []

        def where(entry):
            return now[entry[0]][:2] + tuple(entry[2:]) if entry[1] == 0 else (now[entry[0]][0],) + tuple(entry[1:])

        for part in inside.nodes:
            now.append(self._where(next(given)) if part.is_variable else self._appended(moved(part, where)))
        return where(inside.heads[0])


def own_name(name):
    """str: the name of an operator without what MXNet's pass puts in front of those that it makes INT8."""
    return name[len(_PREFIX):] if name.startswith(_PREFIX) else name


def _float_attrs(node):
    return {key: value for key, value in node.attrs.items() if key not in _OF_INT8}

"""Operators that keep values: what a layer reads behind them is what went in."""

_COPIES = {"_copy", "BlockGrad", "amp_cast"}
_RESHAPES = {"Reshape", "_np_reshape", "_npx_reshape"}
CASTS = {"Cast", "amp_cast"}
HALF = {"bfloat16", "float16"}
_FLOATS = HALF | {"float32", "float64"}
NETWORK = None  # in the place of a reader: the entry is an output of the network


def passes_on(node):
    """True for an operator whose first output is its input at inference."""
    return node.op in _COPIES or (node.op == "Dropout" and node.attrs.get("mode", "training") == "training")


def origin(graph, entry):
    """Follow an entry back through operators that keep its values, up to rounding, and their order.

    Returns
    -------
    (int, int, int)
        The entry of the variable, or of the operator that computes something.
    list of Node
        What lies between, from there on.
    """
    between = []
    while True:
        node = graph.nodes[entry[0]]
        if entry[1] or not node.inputs or not (passes_on(node) or _keeps_numbers(node)):
            return entry, between[::-1]
        between.append(node)
        entry = node.inputs[0]


def repeated(nodes):
    """list of Node: those of :func:`origin` that other parameters in the place of one need too: all but reshapes."""
    return [node for node in nodes if node.op not in _RESHAPES]


def precision(nodes):
    """str or None: the last of the types that operators cast to; None where none does."""
    found = [node.attrs.get("dtype") for node in nodes if node.op in CASTS]
    return found[-1] if found else None


def _keeps_numbers(node):
    if node.op in _RESHAPES:
        return node.attrs.get("reverse", "False") in ("False", "0", "false")
    return node.op == "Cast" and node.attrs.get("dtype") in _FLOATS


def all_readers(graph):
    """dict: (position of the node, output) -> list of (position of a reader or `NETWORK`, which of its inputs)."""
    readers = {}
    for position, node in enumerate(graph.nodes):
        for slot, entry in enumerate(node.inputs):
            readers.setdefault(entry[:2], []).append((position, slot))
    for head in graph.heads:
        readers.setdefault(head[:2], []).append((NETWORK, 0))
    return readers


def readers_through(graph, readers, entry):
    """list of (position, slot): who reads `entry`, seen through operators that only pass it on; see `all_readers`."""
    found, waiting = [], [entry]
    while waiting:
        for reader in readers.get(waiting.pop(), ()):
            if reader[0] is not NETWORK and passes_on(graph.nodes[reader[0]]):
                waiting.append((reader[0], 0))
            else:
                found.append(reader)
    return sorted(found, key=lambda reader: -1 if reader[0] is NETWORK else reader[0])


_KEEPING_SIGN = {"Pooling", "Flatten", "Reshape", "reshape", "transpose", "Dropout", "Concat", "_copy", "identity"}
_NONNEGATIVE = {"relu", "sigmoid", "softrelu"}


def nonnegative(graph):
    """list of bool: for every node whether its first output is never below 0, as far as its operators tell."""
    found = []
    for node in graph.nodes:
        read = [found[position] for position, _, _ in node.inputs]
        found.append(_rectifies(node) or (
            node.op in _KEEPING_SIGN and bool(read) and (all(read) if node.op == "Concat" else read[0])))
    return found


def _rectifies(node):
    """bool: whether it is, or ends in, an activation that is never below 0."""
    inside = [inner for graph in node.extra.get("subgraphs", ()) for inner in graph["nodes"][-1:]]
    return any(attrs.get("act_type") in _NONNEGATIVE
               for attrs in [node.attrs] + [inner.get("attrs", {}) for inner in inside])

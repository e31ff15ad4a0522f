"""oneDNN's fusion of operators, which MXNet applies when it binds a network: where it is right, and doing without."""
import contextlib
import os

from accnn.graph import attrs
from accnn.graph.ir import Graph

_BACKEND = "MXNET_SUBGRAPH_BACKEND"
_ACTIVATIONS, _SUMS = {"Activation", "LeakyReLU", "clip"}, {"elemwise_add", "_npi_add"}
_UNARY = {"square", "sqrt", "exp", "abs", "_npi_square", "_npi_sqrt", "_npi_exp", "_npi_absolute"}
_FUSED_WITH = {  # operator -> what may be fused with it, or with a chain that ends in it, where that reads it
    "Convolution": {"BatchNorm"} | _SUMS | _ACTIVATIONS, "BatchNorm": _SUMS | _ACTIVATIONS,
    **dict.fromkeys(_SUMS, _ACTIVATIONS), "FullyConnected": _UNARY | _ACTIVATIONS}
_EVER_FUSED = set().union(*_FUSED_WITH.values())
_PASSING_ON = {"_copy", "Dropout"}  # taken out before anything is fused
_OUTPUT = None  # in the place of a reader: the output is one of the network's


def right_fusion(symbol):
    """Return a context in which to bind `symbol`: with fusion, which is faster, where the results stay right.

    Only binding matters: an executor that is reshaped keeps what it is. One that is bound for training fuses nothing.
    """
    return contextlib.nullcontext() if fuses_rightly(Graph.from_symbol(symbol)) else unfused()


@contextlib.contextmanager
def unfused():
    """Bind without fusion: whatever else is an output, results are the same to the last bit."""
    before = os.environ.get(_BACKEND)
    os.environ[_BACKEND] = "default"  # fuses nothing, and unlike 'NONE' says nothing on stderr
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BACKEND]
        else:
            os.environ[_BACKEND] = before


def fuses_rightly(graph):
    """True where a network is known to be computed rightly with fusion; runs in time linear in the number of nodes.

    MXNet 1.9.1 fuses an operator with one that reads it, and leaves to all others that read it the fused result, or
    what is not yet fused to both. It means to fuse only what nothing else reads. But it does not see outputs of the
    network, nor readers that are already fused with another operator, nor a sum that it has given up because that
    would have closed a cycle; and after fully connected layers, and BatchNorm without a convolution, it does not look.
    So a network may be wrong although nothing inside it is an output. In what order it meets the readers depends on
    where they lie in memory: this takes the worst.

    Besides, it forgets mean and variance as outputs of BatchNorm, and which axis that normalises, and cannot bind three
    operators in a row that only pass on.
    """
    nodes = graph.nodes
    if any(node.op in _PASSING_ON and nodes[node.inputs[0][0]].op in _PASSING_ON for node in nodes):
        return False
    return not any(_may_be_wrong(node, readings) for node, readings in zip(nodes, _readings(graph)))


def _readings(graph):
    """list of list of (str or None, int): for every node the operators that read it, and which of its outputs."""
    nodes, found = graph.nodes, [[] for _ in graph.nodes]
    pairs = [(node.op, entry) for node in nodes if node.op not in _PASSING_ON for entry in node.inputs]
    for reader, entry in pairs + [(_OUTPUT, head) for head in graph.heads]:
        position, output, _ = nodes[entry[0]].inputs[0] if nodes[entry[0]].op in _PASSING_ON else entry
        found[position].append((reader, output))
    return found


def _may_be_wrong(node, readings):
    if node.op not in _FUSED_WITH:
        return False
    if node.op == "BatchNorm" and (attrs.integer(node, "axis", 1) != 1 or any(output for _, output in readings)):
        return True
    readers = [reader for reader, _ in readings]
    fused = [reader for reader in readers if reader in _FUSED_WITH[node.op]]
    # An operator that is never fused with what it reads is always seen: beside such ones a sum, as at the end of an
    # inverted residual block, is not fused.
    seen = [reader for reader in readers if reader is not _OUTPUT and reader not in _EVER_FUSED]
    return bool(fused) and len(readers) > 1 and (len(seen) < len(readers) - 1 or not _SUMS.issuperset(fused))

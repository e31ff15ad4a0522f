"""The graph of a symbol: nodes in topological order, read from MXNet's JSON and written back as it was."""
import json
from collections import namedtuple
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Dict, Tuple

from accnn.core.compat import mx
from accnn.core.errors import AccnnError

Entry = Tuple[int, int, int]  # (position of the node, which of its outputs, version)

_NODE_KEYS = {"op", "name", "attrs", "inputs"}

Internals = namedtuple("Internals", "symbol entries arguments states reshapes")
Internals.__doc__ = """All entries of a graph as one symbol, in which order, and the names of its variables.

`entries` holds (position of the node, output) for every output of `symbol`, `reshapes` the positions of its Reshapes.
"""


@dataclass(frozen=True)
class Node:
    """One node of a graph.

    Attributes
    ----------
    op : str
        ``'null'`` for a variable.
    name : str
    attrs : dict of str
        Shared between graphs: never mutated.
    inputs : tuple of (int, int, int)
        Positions of the producers, which of their outputs, and the version MXNet counts for aux states.
    extra : dict
        Everything else the JSON said (``control_deps``, ``subgraphs``), passed through.
    """

    op: str
    name: str
    attrs: Dict[str, str]
    inputs: Tuple[Entry, ...] = ()
    extra: Dict[str, object] = field(default_factory=dict)

    @property
    def is_variable(self):
        """bool: an input or a parameter, not an operator."""
        return self.op == "null"


@dataclass(frozen=True)
class Graph:
    """A network: nodes in topological order, and the entries that are its outputs.

    Attributes
    ----------
    nodes : tuple of Node
    heads : tuple of (int, int, int)
    """

    nodes: Tuple[Node, ...]
    heads: Tuple[Entry, ...]

    @classmethod
    def from_symbol(cls, symbol, source="the network"):
        """Read an ``mx.sym.Symbol`` (its JSON is already in today's form and in topological order).

        Raises
        ------
        AccnnError
            The symbol reads what does not exist; names `source`.
        """
        try:
            document = json.loads(symbol.tojson(remove_amp_cast=False), strict=False)  # MXNet leaves tabs as they are
        except mx.base.MXNetError as error:
            raise AccnnError("%s is damaged, its nodes may form a cycle (%s): export it again"
                             % (source, reason(error))) from error
        graph = cls.from_document(document)
        _check_entries(graph.nodes, graph.heads, document["node_row_ptr"], source)
        return graph

    @classmethod
    def from_document(cls, document):
        """Read what MXNet's JSON says of a graph, or of one inside an operator."""
        return cls(tuple(_node(entry) for entry in document["nodes"]), tuple(map(_entry, document["heads"])))

    def to_symbol(self):
        """Return the graph as an ``mx.sym.Symbol``.

        Raises
        ------
        AccnnError
            When MXNet does not accept the graph; the sentence is MXNet's own.
        """
        return symbol_from_json(json.dumps(self._document(), ensure_ascii=False), "the rewritten graph")

    @cached_property
    def internals(self):
        """Internals: made once, because MXNet takes 50 times as long to read a graph as to infer its shapes."""
        symbol = self.to_symbol().get_internals()
        heads = json.loads(symbol.tojson(remove_amp_cast=False), strict=False)["heads"]
        there = sorted({entry[0] for entry in heads})  # not what no head needs
        return Internals(symbol, tuple(tuple(entry[:2]) for entry in heads), tuple(symbol.list_arguments()),
                         tuple(symbol.list_auxiliary_states()),
                         tuple(i for i in there if self.nodes[i].op == "Reshape"))

    def consumers(self):
        """list of list of int: for every node the positions of the nodes that read it, in order, repeated if twice."""
        readers = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for producer, _, _ in node.inputs:
                readers[producer].append(position)
        return readers

    def position(self, name, source="the network"):
        """int: of the operator called `name`.

        Raises
        ------
        AccnnError
            There is none in `source`, or there are several.
        """
        found = [i for i, node in enumerate(self.nodes) if node.name == name and not node.is_variable]
        if len(found) == 1:
            return found[0]
        raise AccnnError("%s has %s called %r" % (source, "several operators" if found else "no layer", name))

    def variables(self):
        """list of str: names of inputs and parameters, aux states included."""
        return [node.name for node in self.nodes if node.is_variable]

    def _document(self):
        nodes = [dict(node.extra, op=node.op, name=node.name, inputs=[list(entry) for entry in node.inputs],
                      **({"attrs": node.attrs} if node.attrs else {})) for node in self.nodes]
        return {"nodes": nodes, "arg_nodes": [i for i, node in enumerate(self.nodes) if node.is_variable],
                "heads": [list(head) for head in self.heads],
                "attrs": {"mxnet_version": ["int", _version_number()]}}


def symbol_from_json(text, source):
    """Let MXNet read symbol JSON of any of its versions.

    Parameters
    ----------
    text : str
    source : str
        What the error names: the file.

    Raises
    ------
    AccnnError
    """
    try:
        return mx.sym.load_json(text)
    except mx.base.MXNetError as error:
        raise AccnnError("%s is not a symbol MXNet %s can read: %s"
                         % (source, mx.__version__, reason(error))) from error


def reason(error):
    """The one line of an MXNetError that says what happened, without its C++ stack."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Stack trace", "[bt]", "File ", "Traceback"))]
    if not said:
        return "no reason given"
    # A wrong attribute is told first, then all attributes there are, then ", in operator ...".
    line = said[0] if said[-1].startswith(",") else said[-1]
    return line.split("Check failed: ")[-1].split(", Possible Arguments")[0].rstrip(".:")


def refusal(error):
    """What MXNet says no to, in one line, or None where an exception says nothing of the kind.

    It says so in an MXNetError, in the RuntimeError that ``simple_bind`` makes of one, and where it counts to 2^31 only
    in a bare Exception, or ctypes does in an OverflowError. Module asserts that all it reads has as many examples.
    """
    if isinstance(error, AssertionError) and "batch size" in str(error):
        return str(error)
    if isinstance(error, RuntimeError):
        said = error if isinstance(error, mx.base.MXNetError) else error.__context__
        return reason(said) if isinstance(said, mx.base.MXNetError) else None
    return "an array of more than 2^31 elements" if type(error) in (Exception, OverflowError) else None


def prune(graph):
    """Return `graph` without the nodes that no head needs.

    Runs in time linear in the number of nodes.
    """
    needed = [False] * len(graph.nodes)
    for position, _, _ in graph.heads:
        needed[position] = True
    for position in range(len(graph.nodes) - 1, -1, -1):
        if needed[position]:
            node = graph.nodes[position]
            for producer in [entry[0] for entry in node.inputs] + list(node.extra.get("control_deps", ())):
                needed[producer] = True
    return _keep(graph, needed)


def reached(starts, before):
    """set of int: positions of nodes that `starts` are computed from, these included.

    Parameters
    ----------
    starts : iterable of int
    before : callable
        ``before(position)``: positions of the nodes that count as read there.
    """
    found, waiting = set(), list(starts)
    while waiting:
        position = waiting.pop()
        if position not in found:
            found.add(position)
            waiting += before(position)
    return found


def moved(node, where):
    """Return `node` reading from new places: ``where(entry) -> entry``."""
    extra = node.extra
    if "control_deps" in extra:
        extra = dict(extra, control_deps=[where((position, 0, 0))[0] for position in extra["control_deps"]])
    return replace(node, inputs=tuple(where(entry) for entry in node.inputs), extra=extra)


class GraphWriter:
    """Writes the nodes of a graph anew in their order, some changed or left out, others between.

    Attributes
    ----------
    nodes : list of Node
        Those written so far.
    """

    def __init__(self):
        self.nodes, self._place = [], {}

    def where(self, entry):
        """(int, int, int): where what an entry of the old graph holds is now."""
        return (self._place[entry[0]],) + tuple(entry[1:])

    def add(self, node):
        """Write a node that the old graph does not have; return the entry of its first output."""
        self.nodes.append(node)
        return len(self.nodes) - 1, 0, 0

    def put(self, position, node):
        """Write a node, which reads entries of the new graph, for that at a position of the old one."""
        self._place[position] = self.add(node)[0]

    def graph(self, heads):
        """Graph: with the `heads` of the old one."""
        return Graph(tuple(self.nodes), tuple(map(self.where, heads)))


def _keep(graph, needed):
    written = GraphWriter()
    for position, node in enumerate(graph.nodes):
        if needed[position]:
            written.put(position, moved(node, written.where))
    return written.graph(graph.heads)


def _check_entries(nodes, heads, pointers, source):
    """Refuse what MXNet lets through: a node that reads itself, or an output that its producer does not have."""
    entries = [(position, entry) for position, node in enumerate(nodes) for entry in node.inputs]
    for position, (producer, output, _) in entries + [(len(nodes), head) for head in heads]:
        if producer >= position or output >= pointers[producer + 1] - pointers[producer]:
            reader = repr(nodes[position].name) if position < len(nodes) else "the network"
            raise AccnnError("%s is damaged: %s reads output %d of %r, which does not exist before it: export it again"
                             % (source, reader, output, nodes[producer].name))


def _node(entry):
    extra = {key: value for key, value in entry.items() if key not in _NODE_KEYS}
    return Node(entry["op"], entry["name"], entry.get("attrs", {}), tuple(_entry(e) for e in entry["inputs"]), extra)


def _entry(values):
    return tuple(values) + (0,) * (3 - len(values))


def _version_number():
    major, minor, patch = (int(part) for part in mx.__version__.split(".")[:3])
    return major * 10000 + minor * 100 + patch

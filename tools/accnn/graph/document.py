"""The form of symbol JSON, checked before anything looks into it and before MXNet reads it.

MXNet's reader checks little: what its upgrade of older forms meets without expecting it, or an operator that lacks an
input, ends the process. Every form since 0.8 is known here: operator attributes under ``param`` (0.8), ``attr`` (0.9 to
0.12) or ``attrs``, entries of two numbers (0.8) or three.
"""
import json
import math

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.attribute_rules import broken_rule
from accnn.graph.findings import ERROR, Finding
from accnn.graph.ir import Node
from accnn.graph.operators import HIDDEN, PARAMETERS, takes

# Operators whose attributes are addresses in the memory of the process that made them.
_BOUND_TO_A_PROCESS = {"_Native", "_NDArray", "_CachedOp", "_CustomFunction"}
_LARGEST = (1 << 31) - 1
_MOST_OUTPUTS = 1 << 16  # of one operator
_DEEPEST = 16  # subgraphs inside subgraphs
_ADDED = {"label", "moving_avg"}  # beside parameters
_WITHOUT_AUX, _OLDEST = 900, 800  # the version that began to write auxiliary states, and what no version means


class _Damaged(Exception):
    def __init__(self, what, where="the symbol"):
        super().__init__(what)
        self.where = where


def read_document(path):
    """Return the JSON of a symbol file as it stands there.

    Parameters
    ----------
    path : str

    Raises
    ------
    AccnnError
        The file cannot be read or is no JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as handle:
            return json.loads(handle.read(), strict=False)  # MXNet leaves tabs in names as they are
    except (ValueError, RecursionError) as error:
        raise AccnnError("%s is not JSON (%s): it must be a symbol saved by MXNet" % (path, error)) from error
    except OSError as error:
        raise AccnnError("%s cannot be read: %s" % (path, error.strerror)) from error


def document_findings(document, path):
    """Check the form of a document.

    Parameters
    ----------
    document : object
        What JSON made of the file.
    path : str
        The file.

    Returns
    -------
    list of Finding
        All of them errors: with one, the document must not be shown to MXNet.
    """
    try:
        _check_form(document, 0)
    except _Damaged as fault:
        return [Finding(ERROR, path, fault.where, str(fault))]
    version = _version(document)
    return [Finding(ERROR, path, node["name"], fault) for graph in _graphs(document) for node in graph["nodes"]
            for fault in _operator_faults(node, version)]


def as_text(document):
    """Return the JSON text for MXNet, which knows no escapes but its own."""
    return json.dumps(document, ensure_ascii=False)


def _check_form(document, depth):
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in ("nodes", "heads")):
        raise _Damaged("is JSON, but no MXNet symbol: it has no list of nodes and heads")
    if depth > _DEEPEST:
        raise _Damaged("has subgraphs more than %d deep: export the network again" % _DEEPEST)
    _check_fields(document, _DOCUMENT, ("nodes", "arg_nodes", "heads"), "the document", depth)
    for position, node in enumerate(document["nodes"]):
        _check_node(node, position, depth)
    count = len(document["nodes"])
    _check_positions([entry[0] for entry in document["heads"]] + document["arg_nodes"], count, "the list of heads")
    if not document["heads"]:
        raise _Damaged("has no output: export the network again")
    _refuse_cycles([_producers(node) for node in document["nodes"]], document["nodes"])


def _check_node(node, position, depth):
    where = "node %d" % position
    if not isinstance(node, dict):
        raise _Damaged("is damaged: %s is no object: export the network again" % where)
    if isinstance(node.get("name"), str):
        where += " (%.60r)" % node["name"]
    _check_fields(node, _NODE, ("op", "name", "inputs"), where, depth)
    if node["op"] == "null" and node["inputs"]:
        raise _Damaged("is damaged: %s is a variable that reads others: export the network again" % where)
    if node["op"] in _BOUND_TO_A_PROCESS or node["op"].startswith("_backward"):
        raise _Damaged("has the operator %s (%r), which lives only in the process that made it: export the network "
                       "without it" % (node["op"], node["name"]), node["name"])


def _check_fields(value, fields, needed, where, depth):
    for key in needed:
        if key not in value:
            raise _Damaged("is damaged: %s has no %r: export the network again" % (where, key))
    for key, content in value.items():
        if key not in fields:
            raise _Damaged("is damaged: %s has the field %.60r, which MXNet does not know: remove it" % (where, key))
        said = fields[key](content, depth)
        if said:
            raise _Damaged("is damaged: %r of %s must be %s: export the network again" % (key, where, said))


def _check_positions(positions, count, where):
    if any(position >= count for position in positions):
        raise _Damaged("is damaged: %s names a node that does not exist: export the network again" % where)


def _refuse_cycles(producers, nodes):
    """Refuse nodes that wait for each other, in time linear in the number of entries."""
    for position, sources in enumerate(producers):
        _check_positions(sources, len(nodes), "the node %r" % nodes[position]["name"])
    readers, missing = [[] for _ in nodes], [len(sources) for sources in producers]
    for position, sources in enumerate(producers):
        for source in sources:
            readers[source].append(position)
    ready = [position for position, count in enumerate(missing) if not count]
    for position in ready:  # grows while it is walked
        for reader in readers[position]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(ready) < len(nodes):
        stuck = next(position for position, count in enumerate(missing) if count)
        raise _Damaged("is damaged: its nodes form a cycle through %r: export the network again"
                       % nodes[stuck]["name"], nodes[stuck]["name"])


def _producers(node):
    return [entry[0] for entry in node["inputs"]] + node.get("control_deps", [])


def _graphs(document):
    """Yield the document and all its subgraphs."""
    yield document
    for node in document["nodes"]:
        for subgraph in node.get("subgraphs", ()):
            yield from _graphs(subgraph)


def _version(document):
    return document.get("attrs", {}).get("mxnet_version", ["int", _OLDEST])[1]


def _operator_faults(node, version):
    """Yield what MXNet would trip over when it upgrades, or later reads, one node."""
    attrs = {key: value for kind in ("param", "attr", "attrs") for key, value in node.get(kind, {}).items()}
    for key, value in attrs.items():
        if not _readable(key, value):
            yield "%r says %.60s=%.60s: remove that" % (node["name"], key, value)
    if node["op"] == "null":
        return
    said = _miscounted(node, attrs) or _said_against(node, attrs)
    names = None if said else takes(node["op"], attrs)
    if said:
        yield said
    elif node["op"].startswith("_sg_") and not node.get("subgraphs"):
        yield "the layer %r is a fused one without what is fused in it: export the network again" % node["name"]
    elif names is not None and not _enough(len(node["inputs"]), names, version, attrs):
        missing = names[len(node["inputs"]):]
        yield ("the layer %r has no %s among its inputs: export the network again" % (node["name"], missing[0])
               if missing else "the layer %r has %d inputs, but a %s takes %d: export the network again"
               % (node["name"], len(node["inputs"]), node["op"], len(names)))


def _said_against(node, attrs):
    """The sentence about attributes that break a rule of their operator, or None."""
    try:
        broken = broken_rule(Node(node["op"], node["name"], attrs, tuple(map(tuple, node["inputs"]))),
                             node.get("subgraphs", []))
    except AccnnError as error:
        return str(error)
    return broken and "the layer %r says %s: mend it" % (node["name"], broken)


def _enough(count, names, version, attrs):
    """Whether a node has the inputs that its operator takes; the upgrade from 0.8 adds those that lack at the end."""
    if version >= _WITHOUT_AUX:
        return count == len(names)
    # But first it writes attributes such as weight_lr_mult to the inputs that they are about.
    spoken_of = [slot + 1 for slot, name in enumerate(names) if any("%s_%s" % (name, key) in attrs for key in HIDDEN)]
    added = all(name in PARAMETERS or name in _ADDED for name in names[count:])
    return added and max(spoken_of, default=0) <= count <= len(names)


def _readable(key, value):
    """Whether Module can read what an attribute says of a variable: its type by number, factors for the training."""
    try:
        if key == "__dtype__":
            return int(value) in mx.nd.ndarray._DTYPE_MX_TO_NP
        return not key.rstrip("_").endswith(("lr_mult", "wd_mult")) or math.isfinite(float(value))
    except ValueError:
        return False


def _miscounted(node, attrs):
    """What an attribute counts and cannot be there, or None: MXNet sets memory aside for as many."""
    inputs = len(node["inputs"])
    # Loops count their subgraphs among the arguments, UpSampling has a weight that it does not count.
    for key, most in (("num_args", inputs + max(1, len(node.get("subgraphs", ())))), ("num_outputs", _MOST_OUTPUTS)):
        value = attrs.get(key, "").strip()
        if value.isdecimal() and (len(value) > 9 or int(value) > most):
            return "the layer %r says %s=%.60s, but has %d inputs: mend it" % (node["name"], key, value, inputs)
    return None


def _is_number(value):
    return type(value) is int and 0 <= value <= _LARGEST


def _text(value, _depth=0):
    if not isinstance(value, str):
        return "text"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "text in UTF-8"
    return "text without the character 0" if "\0" in value else None


def _texts(value, _depth):
    plain = isinstance(value, dict) and not any(_text(part) for item in value.items() for part in item)
    return None if plain else "an object of texts"


def _number(value, _depth):
    return None if type(value) is int and -1 <= value <= _LARGEST else "a whole number"


def _numbers(value, _depth):
    return None if isinstance(value, list) and all(map(_is_number, value)) else "a list of whole numbers"


def _entries(value, _depth):
    plain = isinstance(value, list) and all(
        isinstance(entry, list) and len(entry) in (2, 3) and all(map(_is_number, entry)) for entry in value)
    return None if plain else "a list of entries of 2 or 3 whole numbers"


def _list(value, _depth):
    return None if isinstance(value, list) else "a list"


def _graph_attrs(value, _depth):
    """In MXNet's form for values of any type: the type's name and the value."""
    if not isinstance(value, dict) or not all(isinstance(v, list) and len(v) == 2 and isinstance(v[0], str)
                                              for v in value.values()):
        return "an object of pairs of a type and a value"
    version = value.get("mxnet_version", ["int", 0])
    return None if version[0] == "int" and _is_number(version[1]) else 'a mxnet_version of ["int", number]'


def _subgraphs(value, depth):
    if not isinstance(value, list):
        return "a list of graphs"
    for graph in value:
        _check_form(graph, depth + 1)
    return None


_DOCUMENT = {"nodes": _list, "arg_nodes": _numbers, "node_row_ptr": _numbers, "heads": _entries, "attrs": _graph_attrs}
_NODE = {"op": _text, "name": _text, "attrs": _texts, "attr": _texts, "param": _texts, "inputs": _entries,
         "control_deps": _numbers, "subgraphs": _subgraphs, "backward_source_id": _number}

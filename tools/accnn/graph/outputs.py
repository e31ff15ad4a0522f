"""Names of outputs: MXNet lets several operators, and so several outputs, have one name."""
import difflib
import re
from collections import Counter
from dataclasses import replace

from accnn.core.errors import AccnnError
from accnn.graph.ir import Graph


def distinct(names):
    """list of str: every name that occurs several times becomes ``NAME:0``, ``NAME:1`` and so on, in order."""
    times, seen, found = Counter(names), Counter(), []
    for name in names:
        found.append("%s:%d" % (name, seen[name]) if times[name] > 1 else name)
        seen[name] += 1
    return found


def with_float_names(model):
    """Return `model` with outputs called as those of the float network that it stands for; positions stay.

    MXNet's own quantization calls an output of INT8 numbers by what it put behind.
    """
    wanted, found = (one.symbol.list_outputs() for one in (model.float_view, model))
    nodes, names = list(model.graph.nodes), {node.name for node in model.graph.nodes}
    for old, new, (position, output, _) in zip(wanted, found, model.graph.heads):
        name = old[:-len("_output")]
        if old != new and old.endswith("_output") and not output and name not in names:
            nodes[position] = replace(nodes[position], name=name)
            names.add(name)
    return model if wanted == found else replace(model, graph=Graph(tuple(nodes), model.graph.heads))


def named_entries(model):
    """list of (str, entry): everything that the operators of a model compute, in topological order."""
    inside = model.symbol.get_internals()
    graph = Graph.from_symbol(inside)
    return [(name, entry) for name, entry in zip(inside.list_outputs(), graph.heads)
            if not graph.nodes[entry[0]].is_variable]


def find_outputs(model, asked):
    """The outputs that a name may mean: the network's own, or where none is called so, those of its operators.

    Parameters
    ----------
    model : Model
    asked : str
        An output or an operator, such as ``softmax_output`` or ``softmax``; ``NAME:0`` is the first of several.

    Returns
    -------
    list of (str, entry)
        One, or several of one name, as :func:`distinct` calls them.

    Raises
    ------
    AccnnError
        There is no such output; names those that are called similarly.
    """
    own, inside = list(zip(model.symbol.list_outputs(), model.graph.heads)), named_entries(model)
    number = re.fullmatch(r"(.+):(\d+)", asked)
    for pool in (own, inside):
        found = _called(pool, asked)
        if not found and number:
            found = _called(pool, number.group(1))[int(number.group(2)):][:1]
        if found:
            return found
    near = difflib.get_close_matches(asked, [name for name, _ in inside], n=3, cutoff=0.5) or [name for name, _ in own]
    raise AccnnError("%s has no output %r: did you mean %s?" % (model.prefix, asked, " or ".join(near)))


def _called(pool, asked):
    for wanted in (asked, asked + "_output", asked + "_output0"):
        found = [entry for name, entry in pool if name == wanted]
        if found:
            return list(zip(distinct([wanted] * len(found)), found))
    return []

"""Where the layers of a network stand, as far as that changes the time their chains take."""
from math import ceil

from accnn.spelling import Place, can_spell, key

_BLOCKED = {"Convolution", "Deconvolution"}  # what leaves feature maps in memory as oneDNN's kernels like them
_PLAIN = {"FullyConnected", "Flatten", "Reshape", "reshape", "transpose"}  # what leaves them in rows


def places_of(graph, specs):
    """dict of str to Place: by layer, for those of known shape that a key can say, and in no loop or branch.

    Parameters
    ----------
    graph : Graph
    specs : sequence of LayerSpec
    """
    blocked = _blocked(graph)
    inputs = {node.name: node.inputs[0][0] for node in graph.nodes if node.inputs}
    return {spec.name: Place(tuple(spec.in_shape), ceil(spec.repeats),
                             len(spec.in_shape) == 3 and not blocked[inputs[spec.name]])
            for spec in specs if spec.part is not None and spec.name in inputs and can_spell(spec.part)}


def _blocked(graph):
    """list of bool: for every node whether its data came through a convolution."""
    found = []
    for node in graph.nodes:
        found.append(node.op in _BLOCKED or (
            node.op not in _PLAIN and any(found[position] for position, _, _ in node.inputs)))
    return found


def layer_key(place, spec):
    """str: what the layer itself is called in a table."""
    return key(place, (spec.part,))


def chain_key(place, candidate, rank):
    """str: what the chain of a candidate at a rank is called in a table."""
    return key(place, candidate.chain(rank))

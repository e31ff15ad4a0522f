"""Which operators are fused with which layer, so that oneDNN computes them rightly in INT8."""
from accnn.graph import attrs
from accnn.quantization import supported
from accnn.quantization.supported import FLOAT, SIGNED, SUMS, UNKNOWN, UNSIGNED


class Grouping:
    """The nodes of a graph that become one, found in one pass over it.

    Parameters
    ----------
    graph : Graph
    kept : container of str
        Layers that stay as they are.
    exclude : set of str
        Operators that stay in float32: what follows an excluded layer is fused with it, and float32 too.

    Attributes
    ----------
    groups : list of list of int
        For every layer that oneDNN computes the positions of it and of what is fused with it.
    lifted : dict of int to int
        Ends of groups whose output has to be made unsigned, see :func:`accnn.quantization.stored.store` -> the end of
        the group that adds it.
    floats : list of int
        Positions of operators without weights that are to stay in float32: sums that no convolution takes, and
        activations behind those. What reads them can then be unsigned.
    """

    def __init__(self, graph, kept, exclude):
        self._graph, self._exclude, self._readers = graph, exclude, _readers(graph)
        self._types, self._ends, self._taken, self.floats, self.lifted = {}, {}, set(), [], {}
        for position, node in enumerate(graph.nodes):
            if position in self._taken:
                continue
            if node.op in supported.LAYERS and node.name not in kept:
                self._begin(position)
            elif node.op not in SUMS or not self._joined(position):
                self._types[position] = self._type_of_rest(position, node)
        self.groups = list(self._ends.values())

    def _begin(self, position):
        group = [position]
        for step in (self._is_normalization, self._is_activation):
            following = self._follower(group)
            if following is not None and step(following, group):
                group.append(following)
        self._take(group)

    def _take(self, group):
        self._taken.update(group)
        self._ends[group[-1]] = group
        self._types[group[-1]] = self._type(group)

    def _follower(self, group):
        """The only reader of a group, where that may be fused with it; or None."""
        found = self._readers[group[-1]]
        if len(found) != 1 or found[0][0] is None or found[0][1]:
            return None
        excluded = self._graph.nodes[found[0][0]].name in self._exclude
        return None if excluded and not self._is_float(group) else found[0][0]

    def _is_float(self, group):
        return self._graph.nodes[group[0]].name in self._exclude

    def _is_normalization(self, following, group):
        node, layer = self._graph.nodes[following], self._graph.nodes[group[0]]
        return (layer.op, node.op) == ("Convolution", "BatchNorm") and attrs.integer(node, "axis", 1) == 1 \
            and node.inputs[0][0] == group[-1]

    def _is_activation(self, following, group):
        summed = any(self._graph.nodes[part].op in SUMS for part in group)
        return supported.activates(self._graph.nodes[following], self._graph.nodes[group[0]], summed)

    def _joined(self, position):
        """Fuse a sum with one of the convolutions that it reads, if that is right; the last one comes first."""
        operands = self._graph.nodes[position].inputs
        for operand, other in sorted(zip(operands, operands[::-1]), reverse=True):
            group = self._ends.get(operand[0])
            if group and self._takes_sums(group, position):
                longer = group + [position]
                behind = self._follower(longer)
                if behind is not None and self._is_activation(behind, longer):
                    longer.append(behind)
                if self._is_float(group) or self._accepts(longer, other[0]):
                    del self._ends[group[-1]]
                    self._take(longer)
                    return True
        return False

    def _accepts(self, group, other):
        """Whether the other operand has the type of the sum, or can get it: oneDNN adds to it in its place."""
        kind = self._types.get(other, UNKNOWN)
        if self._type(group) == SIGNED:
            return kind in (SIGNED, FLOAT)
        if kind == SIGNED and self._can_be_lifted(other, group[-2]):
            self.lifted[other] = group[-1]
            return True
        return kind == UNSIGNED

    def _can_be_lifted(self, end, total):
        group = self._ends.get(end)
        return group is not None and self._takes_sums(group, total) \
            and attrs.integer(self._graph.nodes[group[0]], "num_group", 1) == 1

    def _takes_sums(self, group, position):
        nodes = self._graph.nodes
        return nodes[group[0]].op == "Convolution" and nodes[group[-1]].op in ("Convolution", "BatchNorm") \
            and self._follower(group) == position

    def _type(self, group):
        if supported.is_unsigned(self._graph.nodes[group[-1]]):
            return UNSIGNED
        return FLOAT if self._is_float(group) else SIGNED

    def _type_of_rest(self, position, node):
        if node.is_variable:
            return FLOAT
        if node.op in SUMS or supported.is_unsigned(node) and node.inputs[0][0] in self.floats:
            self.floats.append(position)
            return UNSIGNED if supported.is_unsigned(node) else FLOAT
        return supported.stored_type(node, [self._types.get(entry[0], UNKNOWN) for entry in node.inputs])


def _readers(graph):
    """list of list: for every node the positions of its readers and which output they read; None stands for a head."""
    found = [[] for _ in graph.nodes]
    for position, node in enumerate(graph.nodes):
        for producer, output, _ in node.inputs:
            found[producer].append((position, output))
    for producer, output, _ in graph.heads:
        found[producer].append((None, output))
    return found

"""Which layers can be rebuilt in the same pass over the images."""


def levels(graph, names):
    """Sort layers so that each comes after all those it depends on.

    Parameters
    ----------
    graph : Graph
    names : collection of str

    Returns
    -------
    list of list of str
        The layers of one list do not depend on each other, as those of parallel branches.
    """
    depth, sorted_names = [], []
    for node in graph.nodes:
        before = max((depth[position] for position, _, _ in node.inputs), default=0)
        chosen = not node.is_variable and node.name in names
        if chosen:
            while len(sorted_names) <= before:
                sorted_names.append([])
            sorted_names[before].append(node.name)
        depth.append(before + chosen)
    return sorted_names

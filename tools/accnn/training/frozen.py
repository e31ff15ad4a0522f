"""Layers that fine-tuning leaves as they are."""
import difflib
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from accnn.core.errors import AccnnError
from accnn.graph import attrs
from accnn.graph.ir import Graph

_NORMALISING = ("BatchNorm", "BatchNorm_v1", "_contrib_BatchNormWithReLU", "_contrib_SyncBatchNorm")


def frozen_parameters(model, patterns, used):
    """Parameters of the layers that patterns name, and those that hold whole numbers, which no gradient changes.

    Parameters
    ----------
    model : Model
    patterns : list of str
        Shell patterns of layers, such as ``conv1_*``, or of parameters, such as ``*_bias``.
    used : container of str
        Parameters that could be trained.

    Returns
    -------
    list of str
        In the order of the graph.

    Raises
    ------
    AccnnError
        A pattern matches nothing, or nothing is left to train.
    """
    owned = {name: {name} for name in model.arg_params}
    for node in model.graph.nodes:
        if not node.is_variable:
            names = {model.graph.nodes[entry[0]].name for entry in node.inputs}
            owned.setdefault(node.name, set()).update(names & set(model.arg_params))
    frozen = {name for name, array in model.arg_params.items() if np.dtype(array.dtype).kind != "f"}
    for pattern in patterns:
        matching = [name for name in owned if fnmatchcase(name, pattern) and owned[name]]
        if not matching:
            near = difflib.get_close_matches(pattern, [name for name in owned if owned[name]], n=3, cutoff=0.4)
            raise AccnnError("`patterns=%s` matches no layer of %s%s" % (
                pattern, model.prefix, ": did you mean %s?" % ", ".join(near) if near else ""))
        frozen.update(*(owned[name] for name in matching))
    if not set(used) & set(model.arg_params) - frozen:
        raise AccnnError("%s leaves nothing of %s to train"
                         % ("`patterns`" if patterns else "the output", model.prefix))
    return [name for name in model.arg_params if name in frozen]


def hold_statistics(model, frozen):
    """Return the model with BatchNorm layers whose gamma and beta are frozen held at their moving statistics."""
    frozen = set(frozen)
    nodes = tuple(_held(model.graph, node, frozen) for node in model.graph.nodes)
    return replace(model, graph=Graph(nodes, model.graph.heads))


def held_statistics(model):
    """set of str: the moving statistics that stay as they are in this network."""
    held = (node for node in normalising_nodes(model.graph) if attrs.boolean(node, "use_global_stats", False))
    return {model.graph.nodes[entry[0]].name for node in held for entry in node.inputs[3:]}


def normalising_nodes(graph):
    """list of Node: the BatchNorm layers of a graph, whichever operator does it."""
    return [node for node in graph.nodes if node.op in _NORMALISING]


def _held(graph, node, frozen):
    if node.op not in _NORMALISING:
        return node
    gamma, beta = (graph.nodes[entry[0]].name for entry in node.inputs[1:3])
    # A gamma that is fixed at 1 is nothing to train.
    if beta in frozen and (gamma in frozen or attrs.boolean(node, "fix_gamma", True)):
        return replace(node, attrs=dict(node.attrs, use_global_stats="True"))
    return node

"""The one look at a network and its parameters, for what would otherwise be found late and by each script differently.

What the form of the symbol's file itself allows to be wrong is in :mod:`accnn.graph.document`.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.text import some
from accnn.graph import attrs
from accnn.graph.findings import ERROR, NOTE, WARNING, Finding
from accnn.graph.ir import Graph
from accnn.graph.operators import roles

_CHUNK = 1 << 20  # elements looked at together: reading a weight must not double the memory it takes


@dataclass(frozen=True)
class _Subject:
    """What is looked at."""

    graph: Graph
    params: Dict[str, object]
    auxiliary: Tuple[str, ...]
    outputs: Tuple[str, ...]
    given: Tuple[str, ...]  # inputs that have the place of a parameter
    symbol_file: str
    params_file: str

    def parameters(self):
        """Yield every operator that reads parameters, and the names of these by their roles."""
        for node in self.graph.nodes:
            read = {role: self.graph.nodes[node.inputs[slot][0]] for role, slot in roles(node)}
            if read:
                yield node, {role: variable.name for role, variable in read.items() if variable.is_variable}


def put_right(symbol, arg_params, aux_params, path):
    """Move parameters that were saved in the wrong dictionary to the one in which MXNet looks for them.

    Parameters
    ----------
    symbol : mx.sym.Symbol
    arg_params, aux_params : dict of str to mx.nd.NDArray
        Not changed.
    path : str
        The parameters' file.

    Returns
    -------
    arg_params, aux_params : dict of str to mx.nd.NDArray
    findings : list of Finding
    """
    arguments, auxiliary = set(symbol.list_arguments()), set(symbol.list_auxiliary_states())
    wrong = {"arg:": [name for name in arg_params if name in auxiliary - arguments],
             "aux:": [name for name in aux_params if name in arguments - auxiliary]}
    moved = [Finding(WARNING, path, names[0], "the network reads %s as %s, which the file holds under '%s': put right, "
                     "save the checkpoint anew" % (some(names), _KINDS[kind], kind))
             for kind, names in wrong.items() if names]
    right_args = {name: array for name, array in arg_params.items() if name not in wrong["arg:"]}
    right_aux = {name: array for name, array in aux_params.items() if name not in wrong["aux:"]}
    # Where both dictionaries have the name, the right one's array counts: Module reads no other.
    for name in wrong["arg:"]:
        right_aux.setdefault(name, arg_params[name])
    for name in wrong["aux:"]:
        right_args.setdefault(name, aux_params[name])
    return right_args, right_aux, moved


def check_model(model, given=(), files=None, symbol=None):
    """Look at a network and its parameters.

    Parameters
    ----------
    model : Model
        Its document was checked when it was read.
    given : iterable of str
        Variables that are inputs although they have the place of a parameter.
    files : (str, str), optional
        What findings name as the symbol's and the parameters' file. Default: the model's prefix.
    symbol : mx.sym.Symbol, optional
        The model's, where it is at hand.

    Returns
    -------
    list of Finding
        Errors, warnings and notes, in that order.
    """
    symbol = model.symbol if symbol is None else symbol
    subject = _Subject(model.graph, dict(model.arg_params, **model.aux_params), tuple(symbol.list_auxiliary_states()),
                       tuple(symbol.list_outputs()), tuple(given), *(files or (model.prefix, model.prefix)))
    found = [finding for check in _CHECKS for finding in check(subject)]
    return sorted(found, key=lambda finding: (ERROR, WARNING, NOTE).index(finding.severity))


def missing_parameters(graph, params, given=(), auxiliary=()):
    """Name what the checkpoint lacks.

    Parameters
    ----------
    graph : Graph
    params : container of str
        The names of all parameters that are there.
    given : container of str
        Variables that are inputs although they have the place of a parameter.
    auxiliary : iterable of str
        Names of auxiliary states.

    Returns
    -------
    dict of str to str
        The name of a missing parameter, and the first layer that reads it.
    """
    found = {}
    for node in graph.nodes:
        for position, wanted in [(node.inputs[slot][0], True) for _, slot in roles(node)] + [
                (entry[0], False) for entry in node.inputs]:
            variable = graph.nodes[position]
            if variable.is_variable and (wanted or variable.name in auxiliary) and variable.name not in params:
                found.setdefault(variable.name, node.name)
    return {name: layer for name, layer in found.items() if name not in given}


def missing_sentence(missing):
    """Say in one sentence what :func:`missing_parameters` found."""
    layers = list(dict.fromkeys(missing.values()))
    return "the checkpoint has no parameter %s, which the layer%s %s need%s: it belongs to another symbol or epoch" % (
        some(map(repr, missing)), "s" * (len(layers) > 1), some(map(repr, layers)), "s" * (len(layers) == 1))


def _missing(subject):
    missing = missing_parameters(subject.graph, subject.params, subject.given, set(subject.auxiliary))
    if missing:
        yield Finding(ERROR, subject.params_file, next(iter(missing)), missing_sentence(missing))


def _variables(subject):
    """Two variables of one name: MXNet binds neither."""
    for name, count in Counter(subject.graph.variables()).items():
        if count > 1:
            yield Finding(ERROR, subject.symbol_file, name, "%d inputs or parameters are called %r: rename all but one"
                          % (count, name))


def _groups(subject):
    """Groups that MXNet reads without complaint and divides by later."""
    for node in subject.graph.nodes:
        if "num_group" in node.attrs and "num_filter" in node.attrs:
            try:
                groups, filters = attrs.integer(node, "num_group"), attrs.integer(node, "num_filter")
            except AccnnError as error:
                yield Finding(ERROR, subject.symbol_file, node.name, str(error))
                continue
            if not 1 <= groups <= filters:
                yield Finding(ERROR, subject.symbol_file, node.name, "the layer %r has num_group=%d and num_filter=%d: "
                              "mend one of them" % (node.name, groups, filters))


def _shapes(subject):
    """Parameters against what their operators take, as far as that does not depend on the input."""
    for node, variables in subject.parameters():
        there = {role: tuple(subject.params[name].shape) for role, name in variables.items()
                 if name in subject.params and subject.params[name].stype == "default"}
        try:
            wanted = _wanted(node, there)
        except AccnnError as error:
            yield Finding(ERROR, subject.symbol_file, node.name, str(error))
            continue
        for role, shape in wanted.items():
            if len(there[role]) != len(shape) or any(size not in (None, had) for size, had in zip(shape, there[role])):
                yield Finding(ERROR, subject.params_file, variables[role], "the parameter %r has the shape %s, but the "
                              "layer %r needs (%s): the checkpoint belongs to another symbol" % (
                                  variables[role], there[role], node.name, ", ".join(
                                      "any" if size is None else str(size) for size in shape)))


def _wanted(node, there):
    """dict: the shapes that `node` needs of the parameters that are there, None for a length the input decides."""
    if node.op in _SHAPES:
        needed = _SHAPES[node.op](node)
        return {role: needed[role] for role in there if role in needed}
    vectors = [role for role in there if role not in ("weight", "bias")]
    # Those of one normalization are equally long; which of two lengths is right, the others say.
    lengths = Counter(there[role] for role in vectors if len(there[role]) == 1).most_common(1)
    return dict.fromkeys(vectors, lengths[0][0] if lengths else (None,))


def _arrays(subject):
    for name, array in subject.params.items():
        what = None
        if array.stype != "default":
            what = "is sparse: save it with tostype('default')"
        elif not array.shape:
            what = "holds no array: save the checkpoint anew"
        elif not _is_finite(array):
            what = "holds NaN or infinity: the training diverged, take an earlier epoch"
        if what:
            yield Finding(ERROR, subject.params_file, name, "the parameter %s %s" % (name, what))


def _unread(subject):
    read = set(subject.graph.variables())
    names = [name for name in subject.params if name not in read]
    if names:
        yield Finding(WARNING, subject.params_file, names[0], "holds %d parameter%s that the network does not read: %s"
                      % (len(names), "s" * (len(names) > 1), some(names)))


def _outputs(subject):
    for name, count in Counter(subject.outputs).items():
        if count > 1:
            yield Finding(WARNING, subject.symbol_file, name, "%d outputs are called %r: a name does not tell which is "
                          "meant" % (count, name))


def _types(subject):
    """Whole numbers, which are kept as they are, and floats of several precisions."""
    kinds = {name: np.dtype(array.dtype) for name, array in subject.params.items()}
    whole = [name for name, kind in kinds.items() if kind.kind in "iub"]
    if whole:
        yield Finding(NOTE, subject.params_file, whole[0], "whole numbers, kept as they are: %s" % some(whole))
    counts = Counter("bfloat16" if kind.kind == "V" else kind.name for kind in kinds.values() if kind.kind in "fV")
    if len(counts) > 1:
        yield Finding(NOTE, subject.params_file, "precision", "parameters of several precisions: %s"
                      % ", ".join("%d of %s" % (count, kind) for kind, count in counts.most_common()))


def _is_finite(array):
    if np.dtype(array.dtype).kind != "f":
        return True
    flat = array.reshape((-1,))
    return all(np.isfinite(flat[start:start + _CHUNK].asnumpy()).all() for start in range(0, flat.shape[0], _CHUNK))


def _convolution(node):
    filters, kernel = attrs.integer(node, "num_filter"), attrs.shape(node, "kernel", ())
    last = attrs.layout(node).endswith("C")
    return {"weight": (filters,) + kernel + (None,) if last else (filters, None) + kernel, "bias": (filters,)}


def _deconvolution(node):
    filters, kernel = attrs.integer(node, "num_filter"), attrs.shape(node, "kernel", ())
    each = filters // max(attrs.integer(node, "num_group", 1), 1)
    last = attrs.layout(node).endswith("C")
    return {"weight": (None,) + kernel + (each,) if last else (None, each) + kernel, "bias": (filters,)}


def _fully_connected(node):
    units = attrs.integer(node, "num_hidden")
    return {"weight": (units, None), "bias": (units,)}


def _embedding(node):
    return {"weight": (attrs.integer(node, "input_dim"), attrs.integer(node, "output_dim"))}


_SHAPES = {"Convolution": _convolution, "Convolution_v1": _convolution, "Deconvolution": _deconvolution,
           "_contrib_DeformableConvolution": _convolution, "_contrib_ModulatedDeformableConvolution": _convolution,
           "FullyConnected": _fully_connected, "Embedding": _embedding}
_KINDS = {"arg:": "auxiliary states", "aux:": "arguments"}
_CHECKS = (_variables, _groups, _missing, _arrays, _shapes, _unread, _outputs, _types)

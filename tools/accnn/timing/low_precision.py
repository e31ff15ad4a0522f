"""Chains in a precision below float32, timed as parts of a network of that precision.

Alone a converted chain begins and ends with conversions that it does not have among neighbours of its precision. These
are taken off: it reads what an operator of that precision has left in memory, and gives the like.
"""
from dataclasses import dataclass, replace
from typing import Dict, Tuple

import numpy as np

from accnn.core.compat import mx
from accnn.core.layers import BF16, FP32, INT8
from accnn.graph.checkpoint import Model
from accnn.graph.cut import DATA
from accnn.graph.ir import Graph, Node, moved, prune
from accnn.quantization import conversion
from accnn.quantization.conversion import LayerPrecision, converted
from accnn.timing import passes

_QUANTIZE = {"out_type": "auto", "max_calib_range": "4"}


@dataclass(frozen=True)
class _Form:
    """How operators of a precision are fed.

    Attributes
    ----------
    precision : str
    into, out_of : (str, dict)
        Operators that convert float32 into the precision, and back, and their attributes.
    feeds : tuple of str
        What is read in the place of one tensor of float32.
    """

    precision: str
    into: Tuple[str, Dict[str, str]]
    out_of: Tuple[str, Dict[str, str]]
    feeds: Tuple[str, ...]


def _int8(least):
    return _Form(INT8, ("_contrib_quantize_v2", dict(_QUANTIZE, min_calib_range=least)), ("_contrib_dequantize", {}),
                 (DATA, DATA + "_min", DATA + "_max"))


# By what is read: see accnn.timing.keys.Place.numbers.
FORMS = {"u8": _int8("0"), "s8": _int8("-4"),
         "bf16": _Form(BF16, ("amp_cast", {"dtype": "bfloat16"}), ("amp_cast", {"dtype": "float32"}), (DATA,))}


def layer_precisions(model, names, precision, exclude=()):
    """Say of layers in which precision they are computed once the network is converted.

    Parameters
    ----------
    model : Model
    names : iterable of str
    precision : str
    exclude : iterable of str

    Returns
    -------
    dict of str to LayerPrecision
        Those in float32 where others are not have a reason.
    """
    if precision == FP32:
        return {name: LayerPrecision(name, FP32, "") for name in names}
    found = {one.layer: one for one in conversion.layer_precisions(model, None, precision, exclude)}
    return {name: found.get(name) or LayerPrecision(name, FP32, "no %s operator computes it" % precision)
            for name in names}


def chain_call(part, data, place):
    """Return (before, once): callables that write the input of a chain, and that are a pass of it, in a precision.

    Parameters
    ----------
    part : Cut
        In float32.
    data : mx.nd.NDArray of float32
        The input, from which that of the chain is made; flat where a fully connected layer comes first.
    place : Place
        With `numbers`.
    """
    form = FORMS[place.numbers]
    producer = _converting(form) if place.plain or data.ndim != 4 else opened_end(
        converted(_mixing(data.shape[1], place.numbers != "s8"), form.precision), form)
    front = passes.executor(producer, {DATA: data})
    before = passes.running(front)
    before()
    body = (closed(opened(part.model, form), form) if place.as_float else
            opened(converted(part.model, form.precision), form))
    return before, passes.running(passes.executor(body, dict(zip(form.feeds, front.outputs))))


def _converting(form):
    """Model: what converts its input, and gives what operators of the precision read."""
    nodes = (Node("null", DATA, {}), Node(form.into[0], "given", form.into[1], ((0, 0, 0),)))
    return Model(Graph(nodes, tuple((1, output, 0) for output in range(len(form.feeds)))), {})


def _mixing(channels, positive):
    """Model: a convolution, in front of a ReLU where its output is to be `positive`: what is in front of a chain."""
    nodes = (Node("null", DATA, {}), Node("null", "mix_weight", {}),
             Node("Convolution", "mix", {"kernel": "(1, 1)", "num_filter": str(channels), "no_bias": "True"},
                  ((0, 0, 0), (1, 0, 0))),
             Node("Activation", "positive", {"act_type": "relu"}, ((2, 0, 0),)))
    weight = mx.nd.array(np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1))
    return Model(prune(Graph(nodes, ((3 if positive else 2, 0, 0),))), {"mix_weight": weight})


def opened_end(model, form):
    """Model: whose output is what the last operator of the precision gives, instead of what is converted of it."""
    nodes = model.graph.nodes
    heads = tuple(entry for head in model.graph.heads
                  for entry in (nodes[head[0]].inputs if nodes[head[0]].op == form.out_of[0] else (head,)))
    return replace(model, graph=prune(Graph(nodes, heads)))


def closed(model, form):
    """Model: whose output is converted into the precision, for operators of that to read."""
    nodes = model.graph.nodes + (Node(form.into[0], "given_back", form.into[1], model.graph.heads[:1]),)
    return replace(model, graph=Graph(nodes, tuple((len(nodes) - 1, output, 0) for output in range(len(form.feeds)))))


def opened(model, form):
    """Model: without the conversions at its ends; where it begins in float32, its input is converted to that.

    A Flatten at its beginning is taken off, too: it is for an input that is flat.
    """
    graph, feeds = opened_end(model, form).graph, range(len(form.feeds))
    nodes = [Node("null", name, {}) for name in form.feeds]
    given = {position for position, node in enumerate(graph.nodes) if node.name == DATA}
    given |= {position for position, node in enumerate(graph.nodes)
              if node.op == "Flatten" and node.inputs[0][0] in given}
    nodes.append(Node(form.out_of[0], "float_data", form.out_of[1], tuple((place, 0, 0) for place in feeds)))
    place = {}

    def where(entry):
        return place.get(entry[:2]) or (place[entry[0], None],) + tuple(entry[1:])

    for position, node in enumerate(graph.nodes):
        if position in given:
            place[position, None] = len(feeds)
        elif node.op == form.into[0] and node.inputs[0][0] in given:
            place.update(((position, output), (output, 0, 0)) for output in feeds)
        else:
            place[position, None] = len(nodes)
            nodes.append(moved(node, where))
    return replace(model, graph=prune(Graph(tuple(nodes), tuple(map(where, graph.heads)))))

"""Precisions beside float32: networks converted for the clock, and chains as parts of such a network.

Alone a converted chain begins and ends with conversions that it does not have among neighbours of its precision. These
are taken off: it reads what an operator of that precision has left in memory, and gives the like.
"""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.core.layers import FP32, INT8
from accnn.graph.checkpoint import Model
from accnn.graph.cut import DATA
from accnn.graph.ir import Graph, Node, moved, prune
from accnn.graph.passing import nonnegative
from accnn.quantization import int8_graph
from accnn.quantization.int8_graph import LayerPrecision, partition, quantize, random_thresholds
from accnn.timing import passes

_RANGES = {"u8": (0.0, 4.0), "s8": (-4.0, 4.0)}


class _Int8:
    """Networks of INT8 operators, which pass on a tensor and its range."""

    into, out_of, back = "_contrib_quantize_v2", "_contrib_dequantize", {}
    feeds = DATA, DATA + "_min", DATA + "_max"

    def __init__(self, numbers="s8"):
        self._range = _RANGES[numbers]
        low, high = map(str, self._range)
        self.there = {"out_type": "auto", "min_calib_range": low, "max_calib_range": high}

    def convert(self, model, exclude=()):
        """Model: with ranges that are made up, but not below 0 where tensors are not."""
        thresholds = random_thresholds(partition(model, exclude), _RANGES["s8"])
        found = zip(model.graph.nodes, nonnegative(model.graph))
        thresholds.update({node.name + "_output": _RANGES["u8"] for node, is_above in found if is_above})
        thresholds[DATA] = self._range
        return quantize(model, thresholds, exclude, stored=False)


    @staticmethod
    def layers(model, converted_model, exclude):
        """list of LayerPrecision."""
        return int8_graph.layer_precisions(model, converted_model, exclude)


_FORMS = {INT8: _Int8}
_OF_NUMBERS = {"u8": INT8, "s8": INT8}


def converted(model, precision, exclude=()):
    """Return a network as it is in a precision, for the clock: the ranges of INT8 tensors are made up.

    Parameters
    ----------
    model : Model
    precision : str
    exclude : iterable of str
        Layers that stay in float32.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        The network cannot be converted.
    """
    return model if precision == FP32 else _FORMS[precision]().convert(model, exclude)


def layer_precisions(model, names, precision, exclude=()):
    """Say of layers in which precision they are computed in the network that :func:`converted` gives.

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
    form = _FORMS[precision]()
    found = {one.layer: one for one in form.layers(model, form.convert(model, exclude), exclude)}
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
    form = form_of(place.numbers)
    producer = _converting(form) if place.plain or data.ndim != 4 else opened_end(
        form.convert(_mixing(data.shape[1], place.numbers != "s8")), form)
    front = passes.executor(producer, {DATA: data})
    before = passes.running(front)
    before()
    body = opened(form.convert(part.model), form)
    return before, passes.running(passes.executor(body, dict(zip(form.feeds, front.outputs))))


def form_of(numbers):
    """The form of networks whose operators read such `numbers`: see :attr:`accnn.timing.keys.Place.numbers`."""
    return _FORMS[_OF_NUMBERS[numbers]](numbers)


def _converting(form):
    """Model: what converts its input, and gives what operators of the precision read."""
    nodes = (Node("null", DATA, {}), Node(form.into, "given", form.there, ((0, 0, 0),)))
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
                  for entry in (nodes[head[0]].inputs if nodes[head[0]].op == form.out_of else (head,)))
    return replace(model, graph=prune(Graph(nodes, heads)))


def opened(model, form):
    """Model: without the conversions at its ends; where it begins in float32, its input is converted to that.

    A Flatten at its beginning is taken off, too: it is for an input that is flat.
    """
    graph, feeds = opened_end(model, form).graph, range(len(form.feeds))
    nodes = [Node("null", name, {}) for name in form.feeds]
    given = {position for position, node in enumerate(graph.nodes) if node.name == DATA}
    given |= {position for position, node in enumerate(graph.nodes)
              if node.op == "Flatten" and node.inputs[0][0] in given}
    nodes.append(Node(form.out_of, "float_data", form.back, tuple((place, 0, 0) for place in feeds)))
    place = {}

    def where(entry):
        return place.get(entry[:2]) or (place[entry[0], None],) + tuple(entry[1:])

    for position, node in enumerate(graph.nodes):
        if position in given:
            place[position, None] = len(feeds)
        elif node.op == form.into and node.inputs[0][0] in given:
            place.update(((position, output), (output, 0, 0)) for output in feeds)
        else:
            place[position, None] = len(nodes)
            nodes.append(moved(node, where))
    return replace(model, graph=prune(Graph(tuple(nodes), tuple(map(where, graph.heads)))))

"""Layers solved anew for what they read in an INT8 network, against what the original answers.

The asymmetric reconstruction of :mod:`accnn.reconstruction.calibration` one step further: what lies in front of a layer
is not only split, but rounded as well. Its own weights are rounded while candidates are judged, so that the bias takes
up what rounding shifts, in the tensor in front and in the weights.
"""
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Dict, Optional

import numpy as np

from accnn.core.files import temporary_folder
from accnn.core.layers import FULLY_CONNECTED
from accnn.core.progress import Silence
from accnn.graph import attrs
from accnn.graph.ir import Graph, Node
from accnn.graph.quantized import in_int8, names_inside
from accnn.graph.specs import layer_specs
from accnn.quantization.grid import rounded
from accnn.quantization.int8_graph import quantize
from accnn.quantization.producers import Producer, producers, with_params
from accnn.quantization.rounding import compensated
from accnn.quantization.supported import LAYERS, is_per_tensor
from accnn.reconstruction.layer import RIDGES
from accnn.reconstruction.pipeline import levels
from accnn.reconstruction.quadratic import solve_positive
from accnn.reconstruction.samples import evidence_of
from accnn.reconstruction.sampling import INPUT, RESPONSE, Tap, sample

_WIDEST = 2500  # values of a patch up to which weights are rounded so that errors make up for each other


@dataclass(frozen=True)
class Settings:
    """How layers are solved anew.

    Attributes
    ----------
    positions : int
        Places sampled of every image.
    seed : int
    solve : bool
        Solve for the last part of chains; else only round weights anew and correct the bias.
    scales : dict of str to ndarray
        By layer of the network that is solved for: its outputs are the original's divided by these, see
        :func:`accnn.quantization.equalisation.equalise`.
    dense_channels : bool
        See :func:`accnn.quantization.int8_graph.quantize`.
    """

    positions: int = 10
    seed: int = 0
    solve: bool = True
    scales: Dict[str, np.ndarray] = field(default_factory=dict)
    dense_channels: bool = False


@dataclass(frozen=True)
class _Pair:
    """A layer of the original and the last part of what stands for it now."""

    name: str
    truth: Producer
    now: Producer
    spec: object
    is_split: bool


def resolve(model, original, images, input_shapes, thresholds, exclude=(), settings=None, progress=None):
    """Solve for the last part of every chain, and for the bias of every layer, behind an INT8 prefix.

    Parameters
    ----------
    model : Model
        The float32 network that is to be quantized; `original` itself, or one in which chains stand for layers.
    original : Model
    images : ArrayImages or RecordImages
    input_shapes : dict of str to tuple of int
        Without the batch.
    thresholds : dict of str to (float, float)
    exclude : iterable of str
        See :func:`accnn.quantization.int8_graph.quantize`.
    settings : Settings, optional
    progress : callable, optional

    Returns
    -------
    Model
        Float32, of the same graph.
    dict of str to (float, float)
        Error of the responses of every layer that has become better, before and after, on samples held aside, as a
        share of their variance.
    """
    settings, gains = settings or Settings(), {}
    pairs = {pair.now.layer: pair for pair in _pairs(model, original, input_shapes)}
    if model is original:  # what reads nothing of INT8 answers as ever
        touched = _touched(model.graph, set(exclude))
        pairs = {place: pair for place, pair in pairs.items() if place in touched}
    if not pairs:
        return model, gains
    names = {model.graph.nodes[place].name: place for place in pairs}
    tell = (progress or Silence)("solving layers behind INT8", len(pairs))
    with temporary_folder() as folder:
        read = partial(_sampled, images, input_shapes, settings, folder)
        truths = dict(zip(pairs, read(original, [
            Tap(pair.spec, RESPONSE, pair.truth.entry + (0,)) for pair in pairs.values()])))
        for level in levels(model.graph, names):
            chosen = [pairs[names[name]] for name in level]
            now, entries = _with_float_inputs(quantize(
                model, thresholds, exclude, False, settings.dense_channels), chosen)
            inputs = read(now, [Tap(pair.spec, INPUT, entry) for pair, entry in zip(chosen, entries)])
            for pair, samples in zip(chosen, inputs):
                tell(len(gains), pair.name)
                evidence = evidence_of(samples, truths[pair.now.layer], images.count)
                is_int8 = pair.spec.name not in exclude
                model, gain = _solved(model, pair, evidence, images.count, is_int8, settings)
                gains[pair.name] = gain
                samples.remove()
    tell.close()
    return model, gains


def _touched(graph, exclude):
    """set of int: positions of layers in INT8, and of all operators behind them."""
    found = set()
    for place, node in enumerate(graph.nodes):
        if node.op in LAYERS and node.name not in exclude or any(entry[0] in found for entry in node.inputs):
            found.add(place)
    return found


def _sampled(images, input_shapes, settings, folder, model, taps):
    return sample(model, images, input_shapes, taps, settings.positions, settings.seed, folder)


def _pairs(model, original, input_shapes):
    """Yield the _Pair of every layer whose last part can be given other parameters, in topological order."""
    specs = {spec.name: spec for spec in layer_specs(model, input_shapes)}
    now = {one.layer: one for one in producers(model)}
    ends = {node.name: _end(model.graph, place) for place, node in enumerate(model.graph.nodes) if not node.is_variable}
    for truth in producers(original):
        name = original.graph.nodes[truth.layer].name
        end = now.get(ends.get(name))
        spec = end and specs.get(model.graph.nodes[end.layer].name)
        if spec and not spec.refusal and spec.part and spec.repeats == 1 and _same_norm(original, model, truth, end):
            yield _Pair(name, truth, end, spec, model.graph.nodes[end.layer].name != name)


def _end(graph, place):
    while graph.nodes[place].op == "_copy":
        place = graph.nodes[place].inputs[0][0]
    return place


def _same_norm(original, model, truth, now):
    names = [None if one.norm is None else graph.nodes[one.norm].name
             for graph, one in ((original.graph, truth), (model.graph, now))]
    return names[0] == names[1] and now.has_offset(model)


def _with_float_inputs(quantized, pairs):
    """The INT8 network with what layers read as float32, and where."""
    nodes, entries = list(quantized.graph.nodes), []
    for pair in pairs:
        entry = tuple(nodes[_home(nodes, pair.spec.name)].inputs[0])
        if _gives_int8(nodes[entry[0]]):
            ranges = tuple((entry[0], entry[1] + more, 0) for more in (1, 2))
            nodes.append(Node("_contrib_dequantize", "accnn_read_%d" % len(nodes), {"out_type": "float32"},
                              (entry,) + ranges))
            entry = len(nodes) - 1, 0, 0
        entries.append(entry)
    graph = Graph(tuple(nodes), quantized.graph.heads)
    return replace(quantized, graph=graph), entries


def _home(nodes, name):
    """Position of the operator that computes a layer."""
    for place, node in enumerate(nodes):
        inside = names_inside(node)
        if name in inside or node.name == name and not node.is_variable and not inside:
            return place
    raise KeyError(name)


def _gives_int8(node):
    return in_int8(node) and node.op != "_contrib_dequantize" and not attrs.boolean(node, "enable_float_output")


def _solved(model, pair, evidence, images, is_int8, settings):
    """The model with better parameters of one layer, if any are found, and its error before and after."""
    matrix, offset = pair.now.affine(model)
    groups, solves = len(evidence), pair.is_split and settings.solve
    scales = settings.scales.get(pair.spec.name, np.ones(len(offset)))
    node = model.graph.nodes[pair.now.layer]
    per_tensor = is_per_tensor(node) and not (settings.dense_channels and node.op == FULLY_CONNECTED)
    grid = _Grid(is_int8, per_tensor, float(np.abs(matrix).max()) if groups > 1 else None)
    found = [_best(one, grid, *parts, solves, images) for one, *parts in zip(
        evidence, *(np.split(array, groups) for array in (matrix, offset, scales)))]
    before, after = (float(np.mean([item[place] for item in found])) for place in (2, 3))
    new = pair.now.written(model, np.concatenate([item[0] for item in found]),
                           np.concatenate([item[1] for item in found]))
    return (with_params(model, new) if after < before else model), (before, after)


@dataclass(frozen=True)
class _Grid:
    """The numbers that the weights of a layer become.

    Attributes
    ----------
    is_int8 : bool
        Else they stay what they are.
    per_tensor, largest
        See :func:`accnn.quantization.grid.rounded`.
    """

    is_int8: bool
    per_tensor: bool
    largest: Optional[float] = None

    def held(self, rows):
        return rounded(rows, self.per_tensor, self.largest) if self.is_int8 else rows

    def compensated(self, rows, covariance):
        return compensated(rows, covariance, self.per_tensor, self.largest) if self.is_int8 else rows


def _best(evidence, grid, matrix, offset, scales, solves, images):
    """(matrix, offset, error before, error after) of one group."""
    if not evidence.enough:
        return matrix, offset, 0.0, 0.0
    if evidence.width > _WIDEST:
        return _rebiased(evidence, grid, matrix, offset, scales, images)
    train, held = (_divided(moments, scales) for moments in evidence.moments())

    def error(rows, bias):
        return _error(held, grid.held(rows), bias)

    def with_bias(rows, near=None):
        found = train.bias(grid.held(rows))
        return rows, found if near is None else _cautious(train, grid.held(rows), near, found, images)

    tried = [with_bias(matrix, offset)] + [with_bias(rows) for rows in (_regressed(train, matrix) if solves else ())]
    best = min(tried, key=lambda one: error(*one))[0]
    tried.append(with_bias(grid.compensated(best, train.xx), offset if best is matrix else None))
    before, best = error(matrix, offset), min(tried, key=lambda one: error(*one))
    after = error(*best)
    return (best if after < before else (matrix, offset)) + (before, after)


def _rebiased(evidence, grid, matrix, offset, scales, images):
    """As :func:`_best`, of a layer whose patches are too wide for a Gram matrix: only the bias is another."""
    train, held = (_divided(moments, scales) for moments in evidence.moments(grid.held(matrix)))
    same = np.eye(len(matrix))
    bias = _cautious(train, same, offset, train.bias(same), images)
    before, after = _error(held, same, offset), _error(held, same, bias)
    return matrix, bias if after < before else offset, before, min(before, after)


def _error(held, rows, bias):
    """Mean square error of responses as a share of their variance, or of their mean where they hardly vary."""
    return float(held.errors(rows, bias).sum() / max(held.yy.sum() + 1e-9 * np.square(held.mean_y).sum(), 1e-30))


def _cautious(moments, rows, offset, bias, images):
    """A bias between the old one and that of the samples' mean, nearer to it the surer the mean is.

    An error in a bias is the same at all places and adds up over them, as rounding does not. Places of one image count
    as one.
    """
    shift, doubt = np.square(bias - offset), moments.errors(rows, bias) / max(images, 1)
    return offset + (bias - offset) * shift / np.maximum(shift + doubt, 1e-30)


def _divided(moments, scales):
    return replace(moments, mean_y=moments.mean_y / scales, yx=moments.yx / scales[:, None],
                   yy=moments.yy / scales ** 2)


def _regressed(train, matrix):
    """list of ndarray: least squares drawn towards the matrix by ridges of several sizes."""
    variance = np.trace(train.xx) / len(train.xx)
    if not variance > 0:
        return []
    pulls = [ridge * variance for ridge in RIDGES]
    return [solve_positive(train.xx + pull * np.eye(len(train.xx)), (train.yx + pull * matrix).T).T for pull in pulls]

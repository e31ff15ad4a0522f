"""Cross-layer equalisation: positive scales between layers, so that no channel wastes the steps of INT8.

A ReLU, a leaky one, pooling and flattening give a positive multiple for a positive multiple: dividing a channel by s
before them and multiplying the weights that read it by s behind them changes nothing in float32. INT8 has one step for
all channels of a tensor, and one for all weights of an output.

References
----------
Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section 4.1.
"""
from dataclasses import dataclass, replace
from typing import Tuple

import numpy as np

from accnn.graph.shapes import infer_shapes
from accnn.quantization.grid import channel_errors, fake_quantized
from accnn.quantization.links import links
from accnn.quantization.observing import observe_links
from accnn.quantization.producers import with_params
from accnn.quantization.supported import is_per_tensor
from accnn.quantization.thresholds import Histogram, get

_SAMPLES = 2048
_RESPONSES = 256  # places at which responses are looked at
_POWERS = ((0.5, 0.0), (1.0, 0.0), (0.25, 0.0), (0.75, 0.0), (0.5, 0.5), (0.75, 0.25), (0.25, 0.25))
_WORTH = 0.95  # a scaling that leaves more of the noise than this is not made
_LARGEST = 1e4  # ratio between scales


@dataclass(frozen=True, eq=False)
class Crossing:
    """A tensor and the layers that read it.

    Attributes
    ----------
    values : ndarray of shape (n, R)
        The tensor at n places.
    readers : tuple of ndarray of shape (R, N, K)
        Weights, see :meth:`accnn.quantization.producers.Consumer.channels`.
    groups : tuple of int
        Of the readers.
    per_tensor : tuple of bool
        Of the readers: see :func:`accnn.quantization.grid.rounded`.
    """

    values: np.ndarray
    readers: Tuple[np.ndarray, ...]
    groups: Tuple[int, ...]
    per_tensor: Tuple[bool, ...]

    def scaled(self, scales):
        """The same with channels divided by `scales` and weights multiplied."""
        readers = tuple(reader * scales[:, None, None] for reader in self.readers)
        return replace(self, values=self.values / scales, readers=readers)

    def noise(self):
        """float: what INT8 adds to the readers' outputs by the tensor and by weights, as a share of these outputs.

        Mean squares at one place, the values of a kernel taken for independent; of several readers the sum.
        """
        histogram = Histogram.of(self.values)
        kept = fake_quantized(self.values, get("mse").threshold(histogram), histogram.is_signed)
        lost, power = np.square(kept - self.values).mean(0), np.square(self.values).mean(0)
        added = [lost @ np.square(reader).sum((1, 2)) + power @ channel_errors(reader, groups, one)
                 for reader, groups, one in zip(self.readers, self.groups, self.per_tensor)]
        return float(sum(one / size for one, size in zip(added, self._sizes())))

    def _sizes(self):
        """Mean squares of the readers' outputs; channels are summed up as they come together."""
        values = self.values[:_RESPONSES]
        for reader, groups in zip(self.readers, self.groups):
            width = reader.shape[0] // groups
            square = sum(np.square(np.tensordot(values[:, first:first + width], reader[first:first + width], 1)).sum()
                         for first in range(0, reader.shape[0], width))
            yield max(square / len(values), 1e-30)


@dataclass(frozen=True, eq=False)
class Scaling:
    """What became of a layer.

    Attributes
    ----------
    scales : ndarray of shape (R,)
        Its outputs were divided by these.
    before, after : float
        See :meth:`Crossing.noise`.
    """

    scales: np.ndarray
    before: float
    after: float


def equalise(model, images, input_shapes, seed=0):
    """Scale channels between layers where that makes what INT8 adds to the responses smaller.

    Parameters
    ----------
    model : Model
        Not changed. In float32 the result computes the same, up to rounding.
    images : ArrayImages or RecordImages
    input_shapes : dict of str to tuple of int
        Without the batch.
    seed : int

    Returns
    -------
    Model
    dict of str to Scaling
        By name of the layer in front.
    """
    shapes = infer_shapes(model, input_shapes)
    found = [link for link in links(model, shapes) if not link.is_linear or len(link.consumers) > 1]
    seen = observe_links(model, images, input_shapes, shapes, found, _SAMPLES, seed)
    scalings = {}
    for link, (values, _) in zip(found, seen):
        crossing = _crossing(model, link, values)
        scales = best_scales(crossing)
        scalings[model.graph.nodes[link.producer.layer].name] = Scaling(
            scales, crossing.noise(), crossing.scaled(scales).noise())
        if not (scales == 1).all():
            model = _written(model, link, scales)
    return model, scalings


def best_scales(crossing):
    """ndarray of shape (R,): what to divide channels by; ones where nothing is better by some percent."""
    tried = [np.ones(crossing.values.shape[1])] + [_scales(crossing, *powers) for powers in _POWERS]
    noises = [crossing.scaled(scales).noise() for scales in tried]
    best = int(np.argmin(noises))
    return tried[best] if noises[best] < _WORTH * noises[0] else tried[0]


def _scales(crossing, of_values, of_weights):
    """Scales after which channels, and the weights that read them, differ less; the largest value stays."""
    values = _relative(np.abs(crossing.values).max(0))
    weights = _relative(np.max([np.abs(reader).max((1, 2)) for reader in crossing.readers], axis=0))
    scales = values ** of_values / weights ** of_weights
    return scales * np.max(values / scales)


def _relative(sizes):
    return np.maximum(sizes / max(sizes.max(), 1e-30), 1 / _LARGEST)


def _crossing(model, link, values):
    if values.shape[1] != link.outputs:  # the nonlinearity follows what several layers gave
        first = link.consumers[0].first
        values = values[:, first:first + link.outputs]
    readers = tuple(one.channels(model, link.outputs, width) for one, width in zip(link.consumers, link.widths))
    per_tensor = tuple(is_per_tensor(model.graph.nodes[one.layer]) for one in link.consumers)
    return Crossing(values, readers, tuple(one.groups(model) for one in link.consumers), per_tensor)


def _written(model, link, scales):
    matrix, offset = link.producer.affine(model)
    model = with_params(model, link.producer.written(model, matrix / scales[:, None], offset / scales))
    for consumer, width in zip(link.consumers, link.widths):
        channels = consumer.channels(model, link.outputs, width) * scales[:, None, None]
        model = with_params(model, consumer.written(model, channels, width))
    return model

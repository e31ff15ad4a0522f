"""Histograms of the tensors that INT8 needs thresholds for, on real images."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.quantization.fusing import partition
from accnn.quantization.int8_graph import calibrated_tensors
from accnn.quantization.ranges import tensors
from accnn.quantization.supported import LAYERS
from accnn.quantization.thresholds import Histogram

_MOST = 1e15  # of which sums of squares are float32 numbers
_VALUES = 4096  # of every image and tensor; the least and the largest are of all


def histograms(model, images, input_shapes, exclude=(), every=False):
    """Look at every tensor that becomes INT8.

    Parameters
    ----------
    model : Model
    images : ArrayImages or RecordImages
    input_shapes : dict of str to tuple of int
        Without the batch.
    exclude : iterable of str
        Layers that stay in float32.
    every : bool
        Look at all tensors that become INT8 with any other choice of such layers, too.

    Returns
    -------
    dict of str to Histogram
        By name of the tensor, as in ``relu1_1_output``.

    Raises
    ------
    AccnnError
        A tensor holds NaN or infinite values.
    """
    seen, batches = {}, (batch for _, batch in images.batches())
    partitioned = partition(model, exclude)
    names = calibrated_tensors(partitioned)
    if every:
        # In a graph of which nothing is fused.
        partitioned = partition(model, [node.name for node in model.graph.nodes if node.op in LAYERS])
        names = dict.fromkeys(names + _computed(partitioned.model.graph))
    for name, array in tensors(partitioned, input_shapes, batches, names) if names else ():
        seen.setdefault(name, _Seen(name)).add(model, array)
    return {name: one.histogram() for name, one in seen.items()}


def _computed(graph):
    """list of str: the first outputs of all operators, as MXNet calls them."""
    places = zip(graph.internals.symbol.list_outputs(), graph.internals.entries)
    return [name for name, (place, output) in places if not graph.nodes[place].is_variable and not output]


class _Seen:
    """Values of one tensor."""

    def __init__(self, name):
        self.name, self._values, self._low, self._high = name, [], np.inf, -np.inf

    def add(self, model, array):
        low, high = float(array.min()), float(array.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise AccnnError("the tensor %r of %s holds NaN or infinite values on these images: check the parameters, "
                             "`rgb_mean` and `rgb_std`" % (self.name, model.prefix))
        if max(-low, high) > _MOST:
            raise AccnnError("the tensor %r of %s reaches %.3g on these images, which is too large to compute with: "
                             "check the parameters, `rgb_mean` and `rgb_std`"
                             % (self.name, model.prefix, max(-low, high)))
        self._low, self._high = min(self._low, low), max(self._high, high)
        # An odd stride, so that all places of a row and all channels have their turn.
        stride = max(array.size // (len(array) * _VALUES), 1) | 1
        self._values.append(array.ravel()[::stride].copy())

    def histogram(self):
        return Histogram.of(np.concatenate(self._values), self._low, self._high)

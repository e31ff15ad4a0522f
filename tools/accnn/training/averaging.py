"""A running average of the weights, and BatchNorm statistics that fit it."""
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.graph import attrs
from accnn.graph.ir import Graph
from accnn.training.frozen import held_statistics, normalising_nodes

BATCHES = 50  # of training images, from which statistics are estimated
_LOOKS = 64    # at the weights in a horizon, at least


class WeightAverage:
    """Mean of the weights, older ones fading: m_t = m_(t-k) + (w_t - m_(t-k)) k / min(t, horizon).

    Weights change little from one update to the next: those after every k-th are looked at, which is every one (k = 1)
    up to a horizon of 127, and beyond a power of two, such that there are 64 to 127 looks in a horizon.

    Parameters
    ----------
    horizon : int
        Updates that count. Up to there it is the plain mean of all that were looked at.

    Attributes
    ----------
    arrays : dict of str to mx.nd.NDArray
        By parameter; empty before the first look.

    References
    ----------
    B. Polyak, A. Juditsky. Acceleration of stochastic approximation by averaging. SIAM J. Control 30 (1992).
    """

    def __init__(self, horizon):
        self._horizon, self.arrays = horizon, {}
        self._period = 1 << max(0, horizon.bit_length() - _LOOKS.bit_length())

    def add(self, weights, updates):
        """Take in the weights after so many updates, where that is due; to be called after every one.

        Parameters
        ----------
        weights : dict of str to mx.nd.NDArray
        updates : int
            Counted from 1.
        """
        if updates % self._period:
            return
        share = self._period / min(updates, self._horizon)
        for name, array in weights.items():
            if name not in self.arrays:
                self.arrays[name] = array.copy()
            # One operator for (1 - share) mean + share weight: a step of SGD whose gradient is mean - weight.
            mean = self.arrays[name]
            mx.nd.sgd_update(mean, array, lr=share, wd=1.0, rescale_grad=-1.0, out=mean)


def estimated_statistics(model, input_shapes, batches, job, context):
    """BatchNorm statistics of the model's own weights on images.

    Mean and variance are those over all images, with every layer before normalised by its batch, as in training.

    Parameters
    ----------
    model : Model
        Layers that use their statistics in training (`use_global_stats`) keep them.
    input_shapes : dict of str to tuple of int
    batches : iterable of mx.nd.NDArray
        Of one size.
    job : Job
        All workers must call this together; they get those over the images of all.
    context : mx.Context

    Returns
    -------
    dict of str to mx.nd.NDArray
    """
    held = held_statistics(model)
    nodes = [(node, names) for node, names in (
        (node, [model.graph.nodes[entry[0]].name for entry in node.inputs[3:]])
        for node in normalising_nodes(model.graph)) if not held & set(names)]
    if not nodes:
        return {}
    count, sums = _summed(model, [node for node, _ in nodes], input_shapes, batches, context)
    count, states = job.total(count), {}
    for (_, names), (first, second) in zip(nodes, sums):
        mean, square = job.sum(first) / count, job.sum(second) / count
        states.update(zip(names, map(mx.nd.array, (mean, np.maximum(square - mean ** 2, 0.0)))))
    return states


def _summed(model, nodes, input_shapes, batches, context):
    """(number of batches, [(sum of the means, sum of the mean squares)] of what every node reads)."""
    still = tuple(replace(node, attrs=dict(node.attrs, p="0.0")) if node.op == "Dropout" else node
                  for node in model.graph.nodes)
    module, count, sums = None, 0, [[0.0, 0.0] for _ in nodes]
    for images in batches:
        module = module or _bound(model, Graph(still, tuple(node.inputs[0] for node in nodes)).to_symbol(),
                                  input_shapes, len(images), context)
        module.forward(mx.io.DataBatch([images]), is_train=True)
        for sides, node, maps in zip(sums, nodes, module.get_outputs()):
            for place, values in enumerate(_moments(maps, int(attrs.number(node, "axis", 1)))):
                sides[place] = sides[place] + values
        count += 1
    return count, sums


def _moments(maps, axis):
    """Mean and mean square of every channel, in double precision.

    The mean is taken off first, or single precision would lose a small variance beside a large mean.
    """
    axis %= len(maps.shape)
    others = tuple(place for place in range(len(maps.shape)) if place != axis)
    mean = maps.mean(axis=others, keepdims=True)
    variance = mx.nd.square(mx.nd.broadcast_sub(maps, mean)).mean(axis=others).asnumpy().astype(float)
    mean = mean.asnumpy().ravel().astype(float)
    return mean, variance + mean ** 2


def _bound(model, symbol, input_shapes, batch_size, context):
    module = mx.mod.Module(symbol, list(input_shapes), None, context=context)
    # For training, where nothing is fused and batches are normalised by themselves.
    module.bind([(name, (batch_size,) + tuple(shape)) for name, shape in input_shapes.items()], for_training=True)
    module.set_params(model.arg_params, model.aux_params, allow_extra=True)
    return module

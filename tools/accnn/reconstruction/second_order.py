"""What changed kernels of layers do to a network's outputs, to second order, without running the changed network.

A small error e in a layer's responses moves the outputs by the divergence ``e^T F e``, F being half the Fisher matrix
of the outputs with respect to these responses (half the Gauss-Newton matrix where outputs are no probabilities). Here
no factorisation of F is assumed: with random directions at the outputs, whose gradients g have the second moment F,
the mean of ``(g^T e)^2`` over images is the divergence, all places of a feature map and their correlations included.
As e is linear in the kernel's change, ``g^T e`` is the inner product of that change with the gradient of a single
image with respect to the kernel: one backward pass serves all methods and ranks.
"""
import contextlib
import zlib
from functools import partial
from math import prod

import numpy as np

from accnn.core.layers import CONVOLUTION, SubDeconv
from accnn.core.progress import Silence
from accnn.core.threads import side_by_side
from accnn.reconstruction.divergence import compared_as
from accnn.reconstruction.importance import (
    GradientRunner,
    random_direction,
    refusals_as_sentences,
    split_batch,
    with_errors,
)
from accnn.reconstruction.patches import available, patches

_MOST_BYTES = 1 << 27  # of feature maps in a batch, and of kernels' gradients


class Change:
    """What changes of a layer's kernel and bias, at several ranks of several methods.

    Parameters
    ----------
    spec : LayerSpec
    weight : ndarray
        The layer's own kernel.
    bias : ndarray of shape (N,) or None
    answers : list of list of Answer
        One for every group, for each of the chains; of convolutions dense kernels, without features.
    """

    def __init__(self, spec, weight, bias, answers):
        self.spec = spec
        bias = np.zeros(spec.part.outputs) if bias is None else bias
        self._biases = np.array([np.concatenate([one.bias for one in groups]) - bias for groups in answers],
                                np.float32)
        self._weight, self._answers, self._kernels = weight.reshape(spec.part.outputs, -1), answers, None
        if self._by_kernels:
            self._kernels = np.array([(np.concatenate([one.left for one in groups]) - self._weight).ravel()
                                      for groups in answers], np.float32)
            self._answers = None

    def __len__(self):
        return len(self._biases)

    @property
    def _by_kernels(self):
        return self.spec.part.kind == CONVOLUTION

    def along(self, inputs, gradients):
        """Inner products of what changes of the responses with gradients.

        Parameters
        ----------
        inputs, gradients : ndarray
            What the layer reads, and the gradients of its responses, a row for every image.

        Returns
        -------
        ndarray of shape (images, chains)
        """
        if not self._by_kernels:
            return self._of_vectors(inputs, gradients)
        part, count = self.spec.part, len(inputs)
        gradients = gradients.reshape(count, part.outputs, -1)
        each = 4 * (prod(part.weight_shape) + prod(part.patch_shape) * gradients.shape[2])
        step = max(1, _MOST_BYTES // each)
        found = [self._of_maps(inputs[first:first + step], gradients[first:first + step])
                 for first in range(0, count, step)]
        return np.concatenate(found)

    def _of_maps(self, inputs, gradients):
        count, (groups, width) = len(inputs), self.spec.part.patch_shape
        unfolded = self._unfolded(inputs)
        grouped = gradients.reshape(count, groups, -1, gradients.shape[2])
        kernels = np.matmul(grouped, unfolded.reshape(count, groups, width, -1).transpose(0, 1, 3, 2))
        return kernels.reshape(count, -1) @ self._kernels.T + gradients.sum(2) @ self._biases.T

    def _unfolded(self, inputs):
        """ndarray of shape (images, groups D, places): what the kernel reads at every place."""
        part, places = self.spec.part, available(self.spec)
        if not _plain(part):
            at = np.tile(np.arange(places), (len(inputs), 1))
            return patches(inputs, self.spec, at).reshape(len(inputs), places, -1).transpose(0, 2, 1)
        (up, left), reach = part.pad, [(k - 1) * d + 1 for k, d in zip(part.kernel, part.dilate)]
        padded = np.pad(inputs, ((0, 0), (0, 0), (up, up), (left, left)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        windows = windows[:, :, ::part.stride[0], ::part.stride[1], ::part.dilate[0], ::part.dilate[1]]
        return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(inputs), -1, places)

    def _of_vectors(self, inputs, gradients):
        """Rows through the factors, because a dense kernel of a fully connected layer may take half a gigabyte."""
        count, part = len(inputs), self.spec.part
        rows, gradients = inputs.reshape(-1, part.in_units), gradients.reshape(-1, part.outputs)
        true = np.einsum("pn,pn->p", rows @ self._weight.T, gradients)
        found = []
        for (answer,), bias in zip(self._answers, self._biases):
            read = rows if answer.features is None else rows @ answer.features.T
            made = read @ answer.left.T + bias
            found.append(np.einsum("pn,pn->p", made, gradients) - true)
        return np.array(found).reshape(len(found), count, -1).sum(2).T


def divergences(model, images, input_shapes, changes, seed=0, progress=None, weights=None):
    """Predict the divergence of a network's outputs for changes of one layer each.

    Parameters
    ----------
    model : Model
    images : ArrayImages
    input_shapes : dict
    changes : list of Change
        Of different layers, whose rows are the images.
    seed : int
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.
    weights : ndarray of shape (images,), optional
        How much every image counts. Default: all the same.

    Returns
    -------
    dict of str to ndarray of float64, shape (chains,)
        By name of the layer, in the measure of :class:`accnn.reconstruction.divergence.Divergence`; zeros where no
        output depends on the layer.

    Raises
    ------
    AccnnError
        MXNet cannot differentiate the network.
    """
    changes = {change.spec.name: change for change in changes}
    specs = [change.spec for change in changes.values()]
    shapes, names = {spec.name: spec.out_shape for spec in specs}, list(changes)
    each = 4 * sum(prod(spec.in_shape) + prod(spec.out_shape) for spec in specs)
    size = int(max(1, min(images.batch_size, images.count, _MOST_BYTES // each)))
    weights = np.ones(images.count) if weights is None else weights
    generator = np.random.default_rng([seed, zlib.crc32(b"second order")])
    tell, done, forms = (progress or Silence)("predicting what splitting costs", images.count), 0, None
    sums = {name: 0.0 for name in names}
    with contextlib.closing(tell), refusals_as_sentences(model):
        runner = GradientRunner(model, with_errors(model, names, names), input_shapes, shapes, size)
        for batch in images.arrays(images.count):
            for arrays in split_batch(batch, size):
                tell(done, "")
                outputs = runner.forward(arrays)
                forms = forms or compared_as(model, outputs)
                runner.backward([random_direction(*one, generator) for one in zip(forms, outputs)])
                rows = len(next(iter(arrays.values())))
                read = [(name, runner.read(place)[:rows], runner.gradient(name)[:rows])
                        for place, name in enumerate(names) if name in runner.layers]
                side_by_side(partial(_add, sums, changes, weights[done:done + rows]), read)
                done += rows
    return {name: np.broadcast_to(total / weights.sum(), (len(changes[name]),)) for name, total in sums.items()}


def _add(sums, changes, weights, read):
    name, inputs, gradients = read
    moved = changes[name].along(inputs, gradients)
    sums[name] = sums[name] + weights @ np.square(moved.astype(np.float64))


def _plain(part):
    return not isinstance(part, SubDeconv) and len(part.kernel) == 2

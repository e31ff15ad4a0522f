"""The best invertible matrix between two layers with no nonlinearity between, so that INT8 loses least.

With z = V x the tensor between and y = H z, any invertible M gives the same network with M V and H M^-1. INT8 rounds z
in steps of one size for all channels, V and H in steps of their rows' largest weight. What that rounding adds to y is,
for channels of equal variance,

.. math:: tr(M S M^T) \\, tr(M^{-T} G M^{-1}) / R

up to a constant: S is the second moment of z plus what rounding V adds, G is H^T H plus what rounding H adds. It is
least for ``M^T M = S^-1 # G``, the geometric mean of both matrices, and then stays the same for all Q M with an
orthogonal Q, of which one is taken that spreads every direction over all channels.
"""
from dataclasses import dataclass, replace
from typing import Tuple

import numpy as np
from scipy import linalg

from accnn.graph.shapes import infer_shapes
from accnn.quantization.grid import channel_errors, fake_quantized, rounded
from accnn.quantization.links import links
from accnn.quantization.observing import observe_links
from accnn.quantization.producers import with_params
from accnn.quantization.supported import is_per_tensor
from accnn.quantization.thresholds import best_threshold

_RIDGE = 1e-4   # share of the mean added to both matrices: numbers must stay in float32's range
_TRIES = 8
_SAMPLES = 2048  # places at which the noise of a candidate is measured


@dataclass(frozen=True, eq=False)
class Between:
    """Two layers and what lies between them.

    Attributes
    ----------
    first : ndarray of shape (R, D)
        V: every row makes one channel.
    offset : ndarray of shape (R,)
    second : ndarray of shape (R, N, K)
        H: what every channel adds to N outputs by K values of the kernel.
    values : ndarray of shape (n, R)
        z at n places.
    power : ndarray of shape (D,)
        Mean square of all that V reads.
    groups : int
        Of H.
    per_tensor : (bool, bool)
        Whether V, and H, have one step for all weights: see :func:`accnn.quantization.grid.rounded`.
    """

    first: np.ndarray
    offset: np.ndarray
    second: np.ndarray
    values: np.ndarray
    power: np.ndarray
    groups: int = 1
    per_tensor: Tuple[bool, bool] = (False, False)

    def mixed(self, matrix, rows):
        """The same with `matrix` between, for the channels of a slice."""
        back = np.linalg.inv(matrix)
        first, offset, second, values = self.first.copy(), self.offset.copy(), self.second.copy(), self.values.copy()
        first[rows], offset[rows] = matrix @ first[rows], matrix @ offset[rows]
        second[rows] = np.tensordot(back.T, second[rows], 1)
        values[:, rows] = values[:, rows] @ matrix.T
        return replace(self, first=first, offset=offset, second=second, values=values)

    def noise(self):
        """float: mean square of what INT8 adds to the outputs of H, at one place, by rounding z, V and H."""
        kept = fake_quantized(self.values, best_threshold(self.values))
        first = np.square(self.first - rounded(self.first, self.per_tensor[0])) @ self.power
        second = channel_errors(self.second, self.groups, self.per_tensor[1])
        between = np.square(kept - self.values).mean(0) + first
        return float(between @ self._gains() + np.square(self.values).mean(0) @ second)

    def size(self):
        """float: mean square of what z adds to the outputs, places of the kernel taken as independent."""
        return max(float(np.square(self.values).mean(0) @ self._gains()), 1e-30)

    def _gains(self):
        return np.square(self.second).sum((1, 2))

    def moments(self, rows):
        """(S, G) of the channels of a slice: see the module."""
        second, values = self.second[rows].reshape(len(self.second[rows]), -1), self.values[:, rows].astype(np.float64)
        moment, gram = values.T @ values / len(values), second @ second.T
        # Rounding V by steps that its rows' largest weight makes adds to z what V V^T is in the direction of its rows.
        crest = np.square(np.abs(self.first).max(1)).mean() / max(np.square(self.first).mean(), 1e-30)
        step = max(best_threshold(self.values), 1e-30) ** 2 / max(np.square(self.values).mean(), 1e-30)
        first = self.first[rows]
        moment = moment + crest / step * self.power.sum() * (first @ first.T) / first.shape[1]
        return moment, gram


def geometric_mean(a, b):
    """``a # b = a^(1/2) (a^(-1/2) b a^(-1/2))^(1/2) a^(1/2)`` of two positive definite matrices."""
    root = _power(a, 0.5)
    back = _power(a, -0.5)
    return root @ _power(back @ b @ back, 0.5) @ root


def balancing(second_moment, gram):
    """A root of ``S^-1 # G``: ndarray of shape (R, R), the matrix that balances both sides of the noise."""
    return _power(geometric_mean(_inverse(_ridged(second_moment)), _ridged(gram)), 0.5)


def spreading(second_moment, generator):
    """An orthogonal matrix that gives all channels the same variance, each a mixture of all directions.

    Parameters
    ----------
    second_moment : ndarray of shape (R, R)
    generator : numpy.random.Generator
        Signs of the mixture are drawn from it.
    """
    size = len(second_moment)
    vectors = linalg.eigh(second_moment)[1]
    signs = generator.choice([-1.0, 1.0], size)
    return (_flat_orthogonal(size, generator) * signs) @ vectors.T


def _flat_orthogonal(size, generator):
    """An orthogonal matrix whose entries are nearly of one size: Sylvester's, times a random one of the odd part."""
    power = size & -size
    return np.kron(linalg.hadamard(power) / np.sqrt(power), random_orthogonal(size // power, generator))


def random_orthogonal(size, generator):
    """ndarray of shape (size, size), uniform over all orthogonal matrices."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _ridged(matrix):
    return matrix + _RIDGE * (np.trace(matrix) / len(matrix) + 1e-30) * np.eye(len(matrix))


def _inverse(matrix):
    return _power(matrix, -1.0)


def _power(matrix, exponent):
    values, vectors = linalg.eigh((matrix + matrix.T) / 2)
    floor = 1e-12 * max(values[-1], 1e-300)
    return (vectors * np.maximum(values, floor) ** exponent) @ vectors.T


def rotate(model, images, input_shapes, seed=0):
    """Put the best matrix found between every two layers that have nothing but copies between them.

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
        Of the same graph: weights, biases and BatchNorms between are others.
    dict of str to (float, float)
        By name of the first layer: the noise that INT8 adds behind the second, as a share of its response's mean
        square, before and after.
    """
    shapes = infer_shapes(model, input_shapes)
    found = [link for link in links(model, shapes) if link.is_linear and len(link.consumers) == 1]
    seen = observe_links(model, images, input_shapes, shapes, found, _SAMPLES, seed)
    gains = {}
    for link, (values, power) in zip(found, seen):
        between = _between(model, link, values, power)
        best = best_mixture(between, blocks(model, link), np.random.default_rng(seed))
        name = model.graph.nodes[link.producer.layer].name
        gains[name] = between.noise() / between.size(), best.noise() / between.size()
        if best is not between:
            model = _written(model, link, best)
    return model, gains


def blocks(model, link):
    """list of slice: channels that may be mixed: those that come from one group and go to one."""
    edges = set()
    for groups in (link.producer.groups, link.consumers[0].groups(model)):
        edges.update(range(0, link.outputs + 1, link.outputs // groups))
    edges = sorted(edges)
    return [slice(first, last) for first, last in zip(edges, edges[1:])]


def best_mixture(between, parts, generator):
    """Between: with the matrix of least noise among the candidates, or `between` itself.

    Parameters
    ----------
    between : Between
    parts : list of slice
        See :func:`blocks`.
    generator : numpy.random.Generator
    """
    if len(parts) == between.values.shape[1]:
        return min([between] + [_scaled(between, power) for power in (0.5, 1.0)], key=Between.noise)
    balanced = _each(between, parts, lambda one, rows: balancing(*one.moments(rows)))
    tried = [between, _scaled(between, 0.5), _scaled(between, 1.0)]
    for start in (between, balanced):
        for _ in range(_TRIES):
            tried.append(_each(start, parts, lambda one, rows: spreading(one.moments(rows)[0], generator)))
    return min(tried, key=Between.noise)


def _each(between, parts, make):
    """Mix every part by a matrix of its own, and bring all to the same range."""
    for rows in parts:
        between = between.mixed(make(between, rows), rows)
        largest = np.abs(between.values[:, rows]).max()
        if largest > 0:
            between = between.mixed(np.eye(rows.stop - rows.start) / largest, rows)
    return between


def _scaled(between, power):
    largest = np.maximum(np.abs(between.values).max(0), 1e-30)
    ratio = np.maximum(largest / largest.max(), 1e-6) ** -power
    return between.mixed(np.diag(ratio), slice(0, len(ratio)))


def _between(model, link, values, power):
    matrix, offset = link.producer.affine(model)
    per_tensor = tuple(is_per_tensor(model.graph.nodes[one.layer]) for one in (link.producer, link.consumers[0]))
    second = link.consumers[0].channels(model, link.outputs, link.widths[0])
    return Between(matrix, offset, second, values, power, link.consumers[0].groups(model), per_tensor)


def _written(model, link, between):
    new = link.producer.written(model, between.first, between.offset)
    new.update(link.consumers[0].written(model, between.second, link.widths[0]))
    return with_params(model, new)

"""Fewer inputs, fewer outputs: Tucker-2 of the kernel as 1x1, kh x kw, 1x1 (Kim et al., 2016)."""
from abc import abstractmethod

import numpy as np

from accnn.core.layers import SubConv
from accnn.methods.base import Effort, Method, refused_by_shape, register
from accnn.methods.by_rank import ByRank
from accnn.methods.evbmf import estimated_rank
from accnn.methods.hooi import hooi, outputs_basis, squared_norm, unfolded_spectrum

_NARROW = 4  # channels, pictures for one: a 1x1 convolution that reduces so few saves nothing


@register
class Tucker(Method):
    """The kernel (N, C, kh, kw) on a basis of s combinations of its inputs and one of t of its outputs.

    A rank is a pair (s, t): ``<layer>_r`` (s, 1, 1), ``<layer>_c`` (t, kh, kw) with the layer's stride, pad and
    dilation, ``<layer>_p`` (N, 1, 1). The bases are orthonormal, found by higher-order orthogonal iteration that
    starts with that of the truncated HOSVD.

    References
    ----------
    Kim, Park, Yoo, Choi, Yang, Shin, "Compression of deep convolutional neural networks for fast and low power mobile
    applications", ICLR 2016.
    """

    name = "tucker"
    op = "Convolution"
    estimates_ranks = transposed = True
    summary = "(s,1,1), (t,kh,kw), then (N,1,1) by HOOI"

    def refuse(self, spec):
        """Only plain convolutions that are larger than 1x1, not from one channel to one."""
        return super().refuse(spec) or refused(self.name, spec.part)

    def ranks(self, spec):
        """list of tuple of int: for every t the s that is the same share of the inputs; the last is the full rank.

        No fewer than the t outputs can be made of, and all inputs where these are few.
        """
        return proportional(spec.part, 1, self.full_rank(spec))

    def aligned(self, spec, align):
        """list of tuple of int: the pairs for every t that is a multiple, with s rounded to one."""
        return proportional(spec.part, align, self.full_rank(spec))

    def full_rank(self, spec):
        """tuple of int: min(C, N kh kw) and min(N, C kh kw)."""
        return most(spec.part)

    def response_rank(self, spec, rank):
        """int: t; the last 1x1 convolution adds no dimension."""
        return rank[1]

    def chain(self, spec, rank):
        """tuple of SubConv: the 1x1 convolution that reduces, the core, the 1x1 convolution that restores."""
        part, (inputs, outputs) = spec.part, rank
        return (SubConv("_r", part.in_channels, inputs, (1, 1), bias=False),
                part.along((0, 1), "_c", inputs, outputs),
                SubConv("_p", outputs, part.out_channels, (1, 1), bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        """Return the HOSVD's basis of the outputs; the iteration depends on the rank."""
        return _ByHOOI(weight, effort or Effort())


class TuckerDecomposition(ByRank):
    """Bases and core by rank, whatever the iteration that finds them.

    Parameters
    ----------
    weight : ndarray of shape (N, C, kh, kw)
    effort : Effort
    """

    @abstractmethod
    def _iterated(self, rank):
        """(inputs (C, s), outputs (N, t), core (P, t, s), iterations) of the tensor (P, N, C); orthonormal bases."""

    def factors(self, weight, rank):
        """list of ndarray: the reduction (s, C, 1, 1), the core (t, s, kh, kw) and the restoration (N, t, 1, 1)."""
        inputs, outputs, core = self._solved(rank)
        return [np.ascontiguousarray(inputs.T)[:, :, None, None],
                (core * self._scale).transpose(1, 2, 0).reshape(rank[::-1] + self._kernel), outputs[:, :, None, None]]

    def estimated_rank(self):
        """tuple of int: those of the kernel unfolded by inputs and by outputs (Kim et al., section 3.2)."""
        places, outputs, inputs = self._tensor.shape
        s = estimated_rank(*unfolded_spectrum(self._tensor.transpose(0, 2, 1)))
        t = estimated_rank(*unfolded_spectrum(self._tensor))
        # No more than the other side can make of them.
        return min(s, t * places), min(t, s * places)

    def remark(self, rank):
        """Whether the iterations ran out."""
        if rank in self._told and self._told[rank][1] >= self._effort.iterations:
            return "HOOI had not settled after %d iterations, at fitness %.3f: raise `iterations`" % (
                self._effort.iterations, self.fitness(rank))
        return None

    def _solve(self, rank):
        *factors, steps = self._iterated(rank)
        # The bases are orthonormal: the core has the norm of all that is kept.
        return factors, min(squared_norm(factors[2]) / self._norm, 1.0) if self._norm else 1.0, steps


class _ByHOOI(TuckerDecomposition):
    def __init__(self, weight, effort):
        super().__init__(weight, effort)
        self._start = outputs_basis(self._tensor)

    def _iterated(self, rank):
        return hooi(self._tensor, rank, self._start[:, :rank[1]], self._effort)


def refused(name, part):
    """Why a method called `name` that reduces both channel modes cannot serve `part`, or None."""
    why = refused_by_shape(name, part)
    if why is None and part.in_channels == part.outputs == 1:
        return "%s has no channels to reduce where there is one on both sides" % name
    return why


def most(part):
    """tuple of int: how many combinations of inputs and of outputs a kernel can hold independent of each other."""
    filters, channels, height, width = part.weight_shape
    return min(channels, filters * height * width), min(filters, channels * height * width)


def proportional(part, align, full):
    """list of tuple of int: the pairs (s, t) of multiples of `align` in which both are the same share of `full`."""
    outputs = np.arange(align, full[1] + 1, align)
    inputs = np.rint(outputs / full[1] * full[0] / align) * align
    # A core of s inputs has at most s kh kw independent outputs.
    least = np.ceil(outputs / (part.kernel[0] * part.kernel[1]) / align) * align
    top = full[0] // align * align
    inputs = np.full_like(inputs, top) if full[0] <= _NARROW else np.clip(inputs, np.maximum(least, align), top)
    return [(int(s), int(t)) for s, t in zip(inputs, outputs)
            if s and t <= s * part.kernel[0] * part.kernel[1] and s <= t * part.kernel[0] * part.kernel[1]]

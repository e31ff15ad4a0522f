"""A method with tuple ranks, three parts and no singular values: keeps the contract, and its tests, general."""
import itertools

import numpy as np

from accnn.core.layers import SubConv
from accnn.methods import Decomposition, Method


class TuckerForTests(Method):
    """Truncated HOSVD of the channel modes: 1x1, kh x kw, 1x1. Not registered."""

    name = "tucker-for-tests"
    op = "Convolution"
    summary = "for tests"

    def refuse(self, spec):
        """Only plain convolutions."""
        return super().refuse(spec) or ("grouped" if spec.part.groups > 1 else None)

    def ranks(self, spec):
        """A few pairs."""
        s, t = self.full_rank(spec)
        return list(itertools.product(sorted({1, max(s // 2, 1), s}), sorted({1, max(t // 2, 1), t})))

    def full_rank(self, spec):
        """(C, N)."""
        return spec.part.in_channels, spec.part.out_channels

    def chain(self, spec, rank):
        """Three convolutions."""
        part, (s, t) = spec.part, rank
        return (SubConv("_in", part.in_channels, s, (1, 1), bias=False),
                SubConv("_core", s, t, part.kernel, part.stride, part.pad, part.dilate, bias=False),
                SubConv("_out", t, part.out_channels, (1, 1), bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        """The bases of both modes."""
        return _Bases(weight)


class _Bases(Decomposition):
    def __init__(self, weight):
        self._out = np.linalg.svd(weight.reshape(len(weight), -1))[0]
        self._in = np.linalg.svd(weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1))[0]

    def factors(self, weight, rank):
        inside, outside = self._in[:, :rank[0]], self._out[:, :rank[1]]
        core = np.einsum("ncyx,nt,cs->tsyx", weight, outside, inside)
        return [inside.T[:, :, None, None], core, outside[:, :, None, None]]

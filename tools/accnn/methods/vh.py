"""Vertical then horizontal: a (kh, kw) convolution as (K, kh, 1) and (N, 1, kw), by SVD (Tai et al., 2016)."""
import numpy as np

from accnn.methods.base import Method, register
from accnn.methods.unfolded import UnfoldedDecomposition


@register
class VerticalHorizontal(Method):
    """The original accnn's method for convolutions.

    The kernel (N, C, kh, kw) is unfolded to a matrix with rows (C, kh) and columns (N, kw); its best rank-K factors
    are the weights of a vertical convolution ``<layer>_v`` with K filters and a horizontal one ``<layer>_h`` with N.
    The vertical half takes the stride, pad and dilation of the height, the horizontal one those of the width.
    Grouped convolutions are split group by group, K filters each. A 1x1 kernel becomes the plain product of
    two matrices.

    References
    ----------
    Tai, Xiao, Wang, E, "Convolutional neural networks with low-rank regularization", ICLR 2016: the closed form.
    Jaderberg et al., BMVC 2014, scheme 2: the two halves.
    """

    name = "vh"
    op = "Convolution"
    summary = "(K,kh,1) then (N,1,kw) by SVD"
    has_singular_values = estimates_ranks = transposed = True

    def ranks(self, spec):
        """range: 1 to the full rank."""
        return range(1, self.full_rank(spec) + 1)

    def full_rank(self, spec):
        """int: min(C kh, N kw), both within a group."""
        filters, channels, height, width = _grouped_shape(spec.part)
        return min(channels * height, filters * width)

    def chain(self, spec, rank):
        """tuple of SubConv: the vertical and the horizontal half."""
        part = spec.part
        middle = rank * part.groups
        return (part.along((0,), "_v", part.in_channels, middle, part.groups, part.bias),
                part.along((1,), "_h", middle, part.out_channels, part.groups, part.bias))

    def decompose(self, weight, spec, effort=None):
        """Return the singular values of all groups added up, and the factors at any rank."""
        return _VHDecomposition(weight, spec.part, _unfolded)


class _VHDecomposition(UnfoldedDecomposition):
    def factors(self, weight, rank):
        vertical, horizontal = zip(*(self._halves(*pair, rank) for pair in self._pairs(weight, rank)))
        return [np.concatenate(vertical), np.concatenate(horizontal)]

    def _halves(self, left, right, rank):
        filters, channels, height, width = _grouped_shape(self._part)
        vertical = left.T.reshape(rank, channels, height, 1)
        horizontal = right.reshape(rank, filters, 1, width).transpose(1, 0, 2, 3)
        return vertical, horizontal


def _unfolded(weight, part):
    """Yield the kernel of every group as a matrix with rows (channel, kh) and columns (filter, kw)."""
    filters, channels, height, width = _grouped_shape(part)
    for group in weight.reshape(part.groups, filters, channels, height, width):
        yield group.transpose(1, 2, 0, 3).reshape(channels * height, filters * width)


def _grouped_shape(part):
    """(filters, channels, kh, kw) within one group."""
    filters, channels, height, width = part.weight_shape
    return filters // part.groups, channels, height, width

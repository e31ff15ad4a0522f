"""Fewer filters, then a 1x1 convolution that mixes them back: the channel decomposition (Zhang et al., 2016)."""
import numpy as np

from accnn.core.layers import SubConv
from accnn.methods.base import Method, register
from accnn.methods.unfolded import UnfoldedDecomposition


@register
class Channel(Method):
    """The chain of section 3.1 of the paper, here with the factors that need no data.

    The kernel (N, C, kh, kw) is unfolded to a matrix with N rows; its best rank-d' factors are the weights of
    ``<layer>_w``, d' filters of the layer's own kernel (the paper's W'), and ``<layer>_p``, N filters of 1x1 (its P).
    Grouped convolutions are reduced group by group, d' filters each. A 1x1 kernel becomes the plain product of two
    matrices.

    References
    ----------
    Zhang, Zou, He, Sun, "Accelerating very deep convolutional networks for classification and detection", 2016.
    """

    name = "channel"
    op = "Convolution"
    summary = "(d',kh,kw) then (N,1,1) by SVD"
    has_singular_values = estimates_ranks = transposed = True

    def refuse(self, spec):
        """A single filter leaves nothing to reduce."""
        return super().refuse(spec) or ("channel has nothing to reduce where a group has one filter or one weight"
                                        if self.full_rank(spec) == 1 else None)

    def ranks(self, spec):
        """range: 1 to the full rank."""
        return range(1, self.full_rank(spec) + 1)

    def full_rank(self, spec):
        """int: min(N, C kh kw), both within a group."""
        return min(_matrix_shape(spec.part))

    def response_rank(self, spec, rank):
        """int: d' for every group; the 1x1 convolution adds no dimension."""
        return rank * spec.part.groups

    def chain(self, spec, rank):
        """tuple of SubConv: the fewer filters and the 1x1 convolution."""
        part, middle = spec.part, rank * spec.part.groups
        return (part.along((0, 1), "_w", part.in_channels, middle, part.groups),
                SubConv("_p", middle, part.out_channels, (1, 1), groups=part.groups, bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        """Return the singular values of all groups added up, and the factors at any rank."""
        return _ChannelDecomposition(weight, spec.part, _unfolded)


class _ChannelDecomposition(UnfoldedDecomposition):
    def factors(self, weight, rank):
        mixing, filters = zip(*self._pairs(weight, rank))
        return [np.concatenate(filters).reshape((-1,) + self._part.weight_shape[1:]),
                np.concatenate(mixing)[:, :, None, None]]

    def wide(self, weight, rank):
        """The layer itself."""
        return [weight]


def _unfolded(weight, part):
    """The kernel of every group as a matrix with rows (filter) and columns (channel, kh, kw)."""
    return weight.reshape((part.groups,) + _matrix_shape(part))


def _matrix_shape(part):
    """(filters, weights of a filter) within one group."""
    return part.out_channels // part.groups, int(np.prod(part.weight_shape[1:]))

"""Vertical, horizontal, then 1x1: the spatial and the channel decomposition in one chain (Zhang et al., 2016)."""
import numpy as np

from accnn.core.layers import SubConv, macs, walk
from accnn.methods.base import Decomposition, Method, refused_by_shape, register
from accnn.methods.svd import BalancedSVD


@register
class ThreeDimensional(Method):
    """The chain of section 3.5 of the paper, here with the factors that need no data.

    A rank is a pair (d'', d'). The kernel (N, C, kh, kw) is first split into ``<layer>_v`` (d'', kh, 1) and a
    horizontal half (N, 1, kw), as ``vh`` does; that half is then reduced to ``<layer>_h`` (d', 1, kw) and
    ``<layer>_p`` (N, 1, 1), as ``channel`` does. The vertical half takes the stride, pad and dilation of the height,
    the horizontal one those of the width.

    Notes
    -----
    The second step is done in the metric of orthonormal vertical filters, in which what it loses of the horizontal
    half is what the chain loses of the kernel. So both losses add up, and neither rank makes the other one's worse.

    References
    ----------
    Zhang, Zou, He, Sun, "Accelerating very deep convolutional networks for classification and detection", 2016.
    Jaderberg et al., BMVC 2014, scheme 2, filter reconstruction: the spatial pair.
    """

    name = "3d"
    op = "Convolution"
    transposed = True
    summary = "(d'',kh,1), (d',1,kw), then (N,1,1); each of both reductions contributes the same speed-up"

    def refuse(self, spec):
        """Only plain convolutions that are larger than 1x1 and have several filters."""
        return super().refuse(spec) or _refused(spec.part)

    def ranks(self, spec):
        """list of tuple of int: for every d' the d'' with which both reductions contribute the same speed-up.

        At d' the channel reduction alone makes the layer r times cheaper, and d'' is such that the whole chain comes
        closest to r^2. Never so few that filters of the horizontal half depend on each other. The last is the full
        rank. So the list is ordered in both, and as good as one rank to a rule.
        """
        return self._pairs(spec, 1)[:-1] + [self.full_rank(spec)]

    def aligned(self, spec, align):
        """list of tuple of int: the pairs for every d' that is a multiple, with d'' rounded to one."""
        return self._pairs(spec, align)

    def full_rank(self, spec):
        """tuple of int: min(C kh, N kw) and min(N, C kh kw)."""
        filters, channels, height, width = spec.part.weight_shape
        return min(channels * height, filters * width), min(filters, channels * height * width)

    def response_rank(self, spec, rank):
        """int: d'; the 1x1 convolution adds no dimension."""
        return rank[1]

    def chain(self, spec, rank):
        """tuple of SubConv: the vertical half, the reduced horizontal half, the 1x1 convolution."""
        part, (vertical, horizontal) = spec.part, rank
        return (part.along((0,), "_v", part.in_channels, vertical),
                part.along((1,), "_h", vertical, horizontal),
                SubConv("_p", horizontal, part.out_channels, (1, 1), bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        """Return the spatial pair at full rank; the rest depends on the rank."""
        return _ThreeDDecomposition(weight)

    def _pairs(self, spec, align):
        full, width = self.full_rank(spec), spec.part.kernel[1]
        horizontal = np.arange(align, full[1] + 1, align)
        least = np.ceil(horizontal / width / align)
        vertical = np.rint(self._equal_share(spec, horizontal) / align)
        vertical = np.minimum(np.maximum(vertical, least), full[0] // align).astype(int) * align
        return [(int(v), int(h)) for v, h in zip(vertical, horizontal) if h <= v * width]

    def _equal_share(self, spec, horizontal):
        """The d'', not rounded, with which the spatial reduction contributes as much as the channels at d'."""
        # Of one filter each: what a chain costs is a sum of products of these with d'' and d'.
        per_vertical, per_horizontal, per_pointwise = (
            macs((part,), shape) for part, shape in walk(self.chain(spec, (1, 1)), spec.in_shape))
        layer = macs((spec.part,), spec.in_shape)
        channels_alone = horizontal * (layer / spec.part.outputs + per_pointwise)
        chain = channels_alone ** 2 / layer
        return (chain - per_pointwise * horizontal) / (per_vertical + per_horizontal * horizontal)


class _ThreeDDecomposition(Decomposition):
    def __init__(self, weight):
        filters, channels, height, width = self._shape = weight.shape
        matrix = weight.transpose(1, 2, 0, 3).reshape(channels * height, filters * width)
        svd = BalancedSVD(matrix)
        self._norm = np.linalg.norm(svd.singular_values)
        left, right = svd.factors(matrix, min(matrix.shape))
        # Kept, so that energies need no kernel; in float32, whose rounding is that of the weights themselves.
        self._left, self._right = left.astype(np.float32), right.astype(np.float32)
        self._spectra = {}  # singular values of the horizontal half, by d''
        self._roots = np.maximum(np.linalg.norm(left, axis=0), np.finfo(np.float32).tiny)  # of the singular values

    def wide(self, weight, rank):
        """The spatial pair by filter reconstruction."""
        filters, channels, height, width = self._shape
        vertical = rank[0]
        return [self._vertical(vertical), self._right[:vertical].reshape(vertical, filters, 1, width).transpose(
            1, 0, 2, 3)]

    def factors(self, weight, rank):
        vertical, horizontal = rank
        width = self._shape[3]
        unfolded = self._unfolded(vertical)
        # More filters than independent ones, which only a person asks for, are filled up with zeros.
        wide = np.pad(unfolded, ((0, 0), (0, max(horizontal - unfolded.shape[1], 0))))
        svd = BalancedSVD(wide)
        self._spectra[vertical] = svd.singular_values
        mixing, reduced = svd.factors(wide, horizontal)
        reduced = reduced[:, :vertical * width].reshape(horizontal, vertical, 1, width)
        return [self._vertical(vertical), reduced / self._roots[:vertical, None, None],
                mixing[:, :, None, None]]

    def _vertical(self, vertical):
        _, channels, height, _ = self._shape
        return self._left[:, :vertical].T.reshape(vertical, channels, height, 1)

    def energy(self, rank):
        """Share of the squared norm of the kernel that the chain at `rank` keeps."""
        if self._norm == 0:
            return 1.0
        if rank[0] not in self._spectra:
            self._spectra[rank[0]] = BalancedSVD(self._unfolded(rank[0])).singular_values
        return float(min(np.linalg.norm(self._spectra[rank[0]][:rank[1]]) / self._norm, 1.0) ** 2)

    def _unfolded(self, vertical):
        """The horizontal half behind orthonormal vertical filters: rows (filter), columns (vertical filter, kw)."""
        filters, _, _, width = self._shape
        half = self._right[:vertical] * self._roots[:vertical, None]
        return half.reshape(vertical, filters, width).transpose(1, 0, 2).reshape(filters, vertical * width)


def _refused(part):
    why = refused_by_shape("3d", part)
    return "3d has no filters to reduce where there is one" if why is None and part.outputs == 1 else why

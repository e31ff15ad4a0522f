"""The complexity formula of the original accnn, which ignores the stride and charges both halves kw."""
from math import prod

from accnn.core.errors import AccnnError
from accnn.core.layers import FULLY_CONNECTED, SubDeconv, macs
from accnn.costs.base import Cost, register


@register
class OriginalComplexity(Cost):
    """Cost as the original's rank selection counted it: at *input* positions.

    A convolution costs ``kw kh N C X Y``, its split ``kw (N + C) K X Y``: equal to MACs for square kernels with stride
    1 that keep the size of the picture, as in VGG-16; off elsewhere. A fully connected layer counts as a 1x1 kernel on
    a picture of one pixel, convolutions in its place and transposed convolutions by their MACs: the original knew none
    of these.
    """

    name = "original"
    unit = "original MACs"
    summary = "the original's formula: input positions, stride ignored"

    def chain(self, spec, chain):
        """Apply the formula to a layer itself or to its two halves."""
        return round(spec.repeats * self._once(spec, chain))

    def _once(self, spec, chain):
        part = spec.part
        if part.kind == FULLY_CONNECTED and all(p.kind == FULLY_CONNECTED for p in chain):
            return sum(prod(p.weight_shape) for p in chain) * part.places(spec.in_shape)
        if part.kind == FULLY_CONNECTED or isinstance(part, SubDeconv):
            return macs(chain, spec.in_shape)
        if len(chain) == 1:
            return prod(part.weight_shape) * prod(spec.in_shape[1:])
        if [p.suffix for p in chain] != ["_v", "_h"]:
            raise AccnnError("the cost 'original' knows the method vh only (layer %r): use `cost='macs'`" % spec.name)
        rank = chain[0].out_channels // part.groups
        return part.kernel[1] * (part.out_channels + part.in_channels) * rank * prod(spec.in_shape[1:])

"""Multiply-adds, counted at output positions; stride, padding and groups respected."""
from math import prod

from accnn.costs.base import Cost, register
from accnn.layers import positions, walk


@register
class Macs(Cost):
    """Theoretical cost: one MAC is one multiply-add. Biases are not counted."""

    name = "macs"
    unit = "MACs"
    summary = "multiply-adds at output positions"

    def chain(self, spec, chain):
        """Sum over the parts of output positions times weights."""
        once = sum(positions(part, shape) * prod(part.weight_shape) for part, shape in walk(chain, spec.in_shape))
        return once * spec.repeats

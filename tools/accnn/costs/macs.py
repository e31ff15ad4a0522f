"""Multiply-adds, counted at output positions; stride, padding and groups respected."""
from accnn.core.layers import macs
from accnn.costs.base import Cost, register


@register
class Macs(Cost):
    """Theoretical cost: one MAC is one multiply-add. Biases are not counted."""

    name = "macs"
    unit = "MACs"
    summary = "multiply-adds at output positions"

    def chain(self, spec, chain):
        """Sum over the parts of output positions times weights."""
        return round(macs(chain, spec.in_shape) * spec.repeats)

"""Numbers stored: for those who want a smaller file, not a faster network."""
from math import prod

from accnn.costs.base import Cost, register


@register
class Parameters(Cost):
    """Weights and biases of a layer or chain, however often it runs for one example."""

    name = "params"
    unit = "parameters"
    summary = "weights and biases stored"

    def chain(self, spec, chain):
        """Sum over the parts."""
        return sum(prod(part.weight_shape) + (part.outputs if part.bias else 0) for part in chain)

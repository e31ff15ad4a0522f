"""The contract of a cost, and the registry that finds one by name."""
from abc import ABC, abstractmethod

from accnn.registry import Registry


class Cost(ABC):
    """What a layer, or the chain in its place, costs: one number that adds up over layers.

    Attributes
    ----------
    name : str
        What ``--cost`` and the plan call it.
    unit : str
        For tables.
    summary : str
        One line for ``--help``.
    """

    name = unit = summary = None

    @abstractmethod
    def chain(self, spec, chain):
        """Cost of one example through `chain` in the place of the layer; the shapes are all that counts."""

    def rest(self, bench):
        """Cost of the operators that are no layers, which no plan changes; counted on both sides of a ratio."""
        return 0

    def layer(self, spec):
        """Cost of one example through the layer itself."""
        return self.chain(spec, (spec.part,))


_registry = Registry("cost")
register, names, get = _registry.register, _registry.names, _registry.get

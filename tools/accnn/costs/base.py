"""The contract of a cost, and the registry that finds one by name."""
from abc import ABC, abstractmethod

from accnn.core.registry import Registry


class Cost(ABC):
    """What a layer, or the chain in its place, costs: one number that adds up over layers.

    A cost answers and does nothing else. Analytic costs count by shapes; what the registry holds of a measured cost
    only describes it, and the planner asks the :class:`accnn.latency.model.LatencyModel` that a survey made.

    Attributes
    ----------
    name : str
        What `cost` and the plan call it.
    unit : str
        For tables.
    summary : str
        One line that says what it counts.
    rule : str or None
        The rank rule that goes with it where none is asked for; None: see :data:`accnn.ranks.DEFAULTS`.
    whole_network : bool
        Whether it counts all there is in a network, and ratios are of that; else of the layers that may be planned.
    is_analytic : bool
        Whether shapes alone give the cost of a chain at any rank; else it is known of :meth:`ranks` only.
    rest : float
        Cost of the operators that are no layers, which no plan changes; counted on both sides of a ratio.
    original : float or None
        Cost of the original network where that is more than its layers and the rest: it is in another precision.
    float_places : mapping of str
        Has the layers whose cost is also known where they stay in float32 among others that do not: that is told by
        ``with_float32(names)``, a cost like this one.
    """

    name = unit = summary = rule = None
    whole_network = False
    is_analytic = True
    rest = 0
    original = None
    float_places = {}

    def ranks(self, candidate, align):
        """list: the ranks of a candidate whose cost is known; see :meth:`accnn.ranks.Candidate.ranks`."""
        return candidate.ranks(align)

    @abstractmethod
    def chain(self, spec, chain):
        """Cost of one example through `chain` in the place of the layer; the shapes are all that counts."""

    def layer(self, spec):
        """Cost of one example through the layer itself."""
        return self.chain(spec, (spec.part,))


_registry = Registry("cost")
register, names, get = _registry.register, _registry.names, _registry.get

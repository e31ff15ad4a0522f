"""The contract of a cost, and the registry that finds one by name."""
from abc import ABC, abstractmethod

from accnn.core.registry import Registry


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
    rule : str or None
        The rank rule that goes with it where none is asked for; None: see :data:`accnn.ranks.DEFAULTS`.
    whole_network : bool
        Whether it counts all there is in a network, and ratios are of that; else of the layers that may be planned.
    knows_all : bool
        Whether it can tell of any rank at once; else only of :meth:`ranks`.
    """

    name = unit = summary = rule = None
    whole_network = False
    knows_all = True

    def of(self, accelerator, request):
        """Cost: this one as it is for one model; itself where shapes are all that counts."""
        return self

    def look_at(self, candidates, pinned):
        """Get ready for questions about the chains of some candidates, and of layers at fixed ranks.

        Parameters
        ----------
        candidates : list of Candidate
        pinned : dict of str to (Candidate, rank)
        """
        return None

    def ranks(self, candidate, align):
        """list: the ranks of a candidate that are worth a rule's while; see :meth:`accnn.ranks.Candidate.ranks`."""
        return candidate.ranks(align)

    def settle(self, sharing):
        """Choose: see to it that what is chosen is as cheap as was asked for.

        Parameters
        ----------
        sharing : accnn.planning.planner.BudgetAllocator

        Returns
        -------
        (Selection, dict)
            And what there is to tell of how it was found, for the plan.

        Raises
        ------
        TargetError
        """
        return sharing.reached(), {}

    @abstractmethod
    def chain(self, spec, chain):
        """Cost of one example through `chain` in the place of the layer; the shapes are all that counts."""

    def rest(self, accelerator):
        """Cost of the operators that are no layers, which no plan changes; counted on both sides of a ratio."""
        return 0

    def layer(self, spec):
        """Cost of one example through the layer itself."""
        return self.chain(spec, (spec.part,))


_registry = Registry("cost")
register, names, get = _registry.register, _registry.names, _registry.get

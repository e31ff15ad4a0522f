"""The contract of a rank rule, the layers it is shown, and the registry that finds one by name."""
import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Dict, Optional

from accnn.errors import AccnnError

_REGISTRY = {}


class Candidate:
    """A layer with the method that would split it, as a rank rule sees it.

    Parameters
    ----------
    spec : LayerSpec
    method : Method
    read_weight : callable
        Returns the kernel; called when it is needed, and not kept.
    """

    def __init__(self, spec, method, read_weight):
        self.spec, self.method = spec, method
        self._read_weight, self._decomposition = read_weight, None
        self._align = 1

    def aligned(self, align):
        """Return this candidate with ranks that are multiples of `align` only; the decomposition is shared."""
        other = copy.copy(self.decompose())
        other._align = align
        return other

    def decompose(self):
        """Make the decomposition unless it is made; return the candidate."""
        if self._decomposition is None:
            self._decomposition = self.method.decompose(self._read_weight(), self.spec)
        return self

    @property
    def name(self):
        """str: the layer's name."""
        return self.spec.name

    @property
    def decomposition(self):
        """Decomposition: made at the first use and kept, so that rank rule and factors share one SVD."""
        return self.decompose()._decomposition

    @property
    def singular_values(self):
        """ndarray: what rules that weigh energy stand on.

        Raises
        ------
        AccnnError
            The method has none.
        """
        values = self.decomposition.singular_values
        if values is None:
            raise AccnnError("the method %s has no singular values to choose a rank of %r by: take another "
                             "--rank-selection" % (self.method.name, self.name))
        return values

    def factors(self, rank):
        """list of ndarray: the weights of the chain at `rank`."""
        return self.decomposition.factors(self._read_weight(), rank)

    def ranks(self):
        """list: ranks that may be chosen, ascending."""
        return [rank for rank in self.method.ranks(self.spec) if self._fits(rank)]

    def _fits(self, rank):
        return all(k % self._align == 0 for k in (rank if isinstance(rank, tuple) else (rank,)))

    def chain(self, rank):
        """The chain at `rank`."""
        return self.method.chain(self.spec, rank)


@dataclass(frozen=True)
class Selection:
    """What a rank rule chose.

    Attributes
    ----------
    ranks : dict of str to (int, tuple or None)
        For every candidate; None: leaving the layer alone is best.
    objective : float
        What the rule maximised, in its own measure.
    bound : float
        No selection within the budget has a larger objective; equal to `objective` when the choice is proved exact.
    """

    ranks: Dict[str, Optional[object]]
    objective: float
    bound: float


class RankRule(ABC):
    """One way to share a budget among layers.

    Attributes
    ----------
    name : str
        What ``--rank-selection`` and the plan call it.
    cost : str
        The cost it counts with when none is asked for.
    summary : str
        One line for ``--help``.
    """

    name = summary = None
    cost = "macs"

    @abstractmethod
    def select(self, candidates, budget, cost):
        """Choose a rank, or None, for every candidate.

        Parameters
        ----------
        candidates : list of Candidate
        budget : float
            What all candidates together may cost.
        cost : Cost

        Returns
        -------
        Selection

        Raises
        ------
        Unreachable
            Even the cheapest choice costs more.
        """


class Unreachable(Exception):
    """No choice fits the budget; `least` is the cost of the cheapest."""

    def __init__(self, least):
        super().__init__("the cheapest choice costs %s" % least)
        self.least = least


def register(cls):
    """Class decorator: make a RankRule known under its name."""
    _REGISTRY[cls.name] = cls()
    return cls


def names():
    """list of str: registered rank rules."""
    return list(_REGISTRY)


def get(name):
    """Return the rank rule called `name`, or raise AccnnError with those there are."""
    try:
        return _REGISTRY[name]
    except (KeyError, TypeError):
        raise AccnnError("there is no rank rule %r: choose from %s" % (name, ", ".join(names()))) from None

"""The contract of a cost, and the registry that finds one by name."""
from abc import ABC, abstractmethod

from accnn.errors import AccnnError

_REGISTRY = {}


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


def register(cls):
    """Class decorator: make a Cost known under its name."""
    _REGISTRY[cls.name] = cls()
    return cls


def names():
    """list of str: registered costs."""
    return list(_REGISTRY)


def get(name):
    """Return the cost called `name`, or raise AccnnError with those there are."""
    try:
        return _REGISTRY[name]
    except (KeyError, TypeError):
        raise AccnnError("there is no cost %r: choose from %s" % (name, ", ".join(names()))) from None

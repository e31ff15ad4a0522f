"""The contract of a decomposition method, and the registry that finds one by name."""
from abc import ABC, abstractmethod

import numpy as np

from accnn.errors import AccnnError

_REGISTRY = {}


class Decomposition(ABC):
    """The part of a method's work on one kernel that does not depend on the rank, done once.

    Attributes
    ----------
    singular_values : ndarray of shape (r,) or None
        What rank rules weigh, largest first; None for a method without such a sequence.
    """

    singular_values = None

    @abstractmethod
    def factors(self, weight, rank):
        """list of ndarray: the weight of every part of the chain, in the order of ``Method.chain``.

        `weight` is the kernel again: decompositions of a whole network are kept at once, kernels are not.
        """

    def energy(self, rank):
        """Share of the squared singular values that `rank` keeps, 0..1; 1 for a kernel of zeros."""
        squares = np.square(self.singular_values, dtype=np.float64)
        total = squares.sum()
        return float(squares[:rank].sum() / total) if total > 0 else 1.0


class Method(ABC):
    """One way to replace a layer by a chain of smaller ones.

    Subclasses set `name`, `op` and `summary`, are decorated with :func:`register`, and answer the abstract methods.
    They see a LayerSpec and NumPy arrays, never MXNet.

    Attributes
    ----------
    name : str
        What ``--method`` and the plan call it.
    op : str
        The operator it replaces: ``'Convolution'`` or ``'FullyConnected'``.
    summary : str
        One line for ``--help``.
    """

    name = op = summary = None

    def refuse(self, spec):
        """Return why this method cannot serve the layer, or None when it can."""
        if spec.op != self.op:
            return "%s splits %s layers only" % (self.name, self.op)
        return None

    @abstractmethod
    def ranks(self, spec):
        """Ranks that may be asked for, as an ascending range or sequence; the last is exact."""

    @abstractmethod
    def chain(self, spec, rank):
        """tuple of SubConv or SubFC: the shapes of the parts; cost, rewriting and search all read this."""

    @abstractmethod
    def decompose(self, weight, spec):
        """Return the Decomposition of a kernel.

        Parameters
        ----------
        weight : ndarray of the shape ``spec.part.weight_shape``
        spec : LayerSpec
        """

    def factor(self, weight, bias, spec, rank):
        """Return the arrays of the chain for one rank.

        Parameters
        ----------
        weight : ndarray of the shape ``spec.part.weight_shape``
        bias : ndarray of shape (out,) or None
        spec : LayerSpec
        rank : int or tuple

        Returns
        -------
        list of (ndarray, ndarray or None)
            Weight and bias of every part.

        Raises
        ------
        AccnnError
            `rank` is not among ``ranks(spec)``.
        """
        self.check_rank(spec, rank)
        return with_biases(self.chain(spec, rank), self.decompose(weight, spec).factors(weight, rank), bias)

    def check_rank(self, spec, rank):
        """Raise AccnnError, naming the layer and the ranks there are, unless `rank` is one of them."""
        allowed = self.ranks(spec)
        if isinstance(rank, bool) or not isinstance(rank, (int, np.integer, tuple)) or rank not in allowed:
            raise AccnnError("K=%s does not fit the layer %r: %s takes %s to %s there"
                             % (rank, spec.name, self.name, allowed[0], allowed[-1]))


def with_biases(chain, weights, bias):
    """Pair the weights of a chain with biases: the layer's own on the last part, zeros where an earlier one has any."""
    zeros = [np.zeros(part.weight_shape[0], np.float32) if part.bias else None for part in chain]
    return list(zip(weights, zeros[:-1] + [bias]))


def register(cls):
    """Class decorator: make a Method known under its name."""
    _REGISTRY[cls.name] = cls()
    return cls


def names(op=None):
    """list of str: registered methods, those for `op` only when given."""
    return [name for name, method in _REGISTRY.items() if op in (None, method.op)]


def get(name):
    """Return the method called `name`.

    Raises
    ------
    AccnnError
        There is none; the sentence lists those there are.
    """
    try:
        return _REGISTRY[name]
    except (KeyError, TypeError):
        raise AccnnError("there is no method %r: choose from %s" % (name, ", ".join(names()))) from None

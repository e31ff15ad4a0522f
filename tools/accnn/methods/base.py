"""The contract of a decomposition method, and the registry that finds one by name."""
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import SubDeconv
from accnn.core.registry import Registry


@dataclass(frozen=True)
class Effort:
    """How hard iterative methods try; those with a closed form ignore it.

    Attributes
    ----------
    seed : int
        What random starts are drawn by.
    restarts : int
        Starts in all, the best of which counts; the first one is never random.
    iterations : int
        At most so many of each.
    tolerance : float
        An iteration that improves the fitness by less is the last one.

    Raises
    ------
    AccnnError
        There is no start or no iteration, or NumPy takes no such seed.
    """

    seed: int = 0
    restarts: int = 1
    iterations: int = 200
    tolerance: float = 1e-5

    def __post_init__(self):
        if not 0 <= self.seed < 2 ** 32:
            raise AccnnError("`seed=%s` makes no sense: it must be from 0 to 2^32 - 1" % (self.seed,))
        for name in ("restarts", "iterations"):
            if getattr(self, name) < 1:
                raise AccnnError("`%s=%s` makes no sense: it is 1 or more" % (name, getattr(self, name)))


class Decomposition(ABC):
    """The part of a method's work on one kernel that does not depend on the rank, done once.

    Attributes
    ----------
    singular_values : ndarray of shape (r,) or None
        Largest first, the K-th for rank K; None where ``Method.has_singular_values`` is False.
    """

    singular_values = None

    @abstractmethod
    def factors(self, weight, rank):
        """list of ndarray: the weight of every part of the chain, in the order of ``Method.chain``.

        `weight` is the kernel again: decompositions of a whole network are kept at once, kernels are not.
        """

    def wide(self, weight, rank):
        """The parts as they are before the layer's responses are reduced to fewer dimensions, or None.

        For methods whose last two parts are such a reduction, M = P Q^T of Zhang et al., section 3.1: the weights of
        all parts but the last, the last of these with all outputs of the layer. Its responses are what
        reconstruction regresses on.
        """
        return None

    def energy(self, rank):
        """Share of the squared norm of the kernel that `rank` keeps, 0..1; None where that is not known.

        With singular values it is the share of their squares.
        """
        if self.singular_values is None:
            return None
        largest = self.singular_values[0]
        if largest == 0:
            return 1.0
        squares = np.square(self.singular_values / largest)
        return float(squares[:rank].sum() / squares.sum())

    def fitness(self, rank):
        """1 - ||W - W'|| / ||W|| of the kernel W and the chain's kernel W' at `rank`, 0..1; None where not known.

        Eq. (12) of the two-pass paper (ICLR 2018 submission).
        """
        energy = self.energy(rank)
        return None if energy is None else 1 - sqrt(max(1 - energy, 0.0))

    def estimated_rank(self):
        """The rank that the kernel itself suggests, signal told from noise; None where a method has no such notion."""
        return None

    def remark(self, rank):
        """A sentence on how the factors at `rank` came about that people should read, or None.

        Such as iterations that ran out; without the layer's name. Of factors that were made already.
        """
        return None


def refused_by_shape(name, part):
    """str or None: why a method called `name`, for whole kernels that are larger than 1x1, cannot split a part."""
    if part.groups > 1:
        return "%s does not split grouped convolutions: channel and vh do" % name
    if tuple(part.kernel) == (1, 1):
        return "%s needs a kernel larger than 1x1: channel splits these" % name
    return None


@functools.lru_cache(maxsize=1024)
def _inner_widths(method, spec):
    """tuple of (rank, tuple of int): channels between the parts of chains: asked for many alignments of a layer."""
    return tuple((rank, tuple(part.outputs for part in method.chain(spec, rank)[:-1])) for rank in method.ranks(spec))


class Method(ABC):
    """One way to replace a layer by a chain of smaller ones.

    Subclasses set the attributes, are decorated with :func:`register`, and answer the abstract methods.
    They see a LayerSpec and NumPy arrays, never MXNet.

    Attributes
    ----------
    name : str
        What `method` and the plan call it.
    op : str
        The kind of layers it replaces: ``'Convolution'`` or ``'FullyConnected'``.
    summary : str
        One line that says what it does.
    has_singular_values : bool
        Whether ranks are ints 1, 2, ... that keep so many singular values.
    response_rank : callable or None
        ``response_rank(spec, rank)``: in how many dimensions the layer's responses lie at `rank`, which rules that
        weigh responses stand on; None where a rank does not bound it.
    iterative : bool
        Whether factors come of iterations that may end in a local optimum: then a larger rank may leave a slightly
        larger error.
    transposed : bool
        Whether it serves transposed convolutions too: their kernels are in the order of a convolution's, and what
        :meth:`accnn.core.layers.SubConv.along` makes of the layer is transposed as well.
    estimates_ranks : bool
        Whether its decompositions have an ``estimated_rank``.
    """

    name = op = summary = None
    has_singular_values = False
    response_rank = None
    iterative = False
    transposed = False
    estimates_ranks = False

    def refuse(self, spec):
        """Return why this method cannot serve the layer, or None when it can."""
        if spec.kind != self.op:
            return "%s splits %s layers only" % (self.name, self.op)
        if isinstance(spec.part, SubDeconv) and not self.transposed:
            return "%s splits no transposed convolution: choose another method, such as vh" % self.name
        return None

    @abstractmethod
    def ranks(self, spec):
        """Sequence of the ranks that rules choose from: ints, or tuples where a method has several."""

    def aligned(self, spec, align):
        """list: the ranks for rules where chains are to be `align` channels wide, or a multiple, between their parts.

        For methods with several ranks to override, where hardly any of :meth:`ranks` would be such by chance.
        """
        return [rank for rank, widths in _inner_widths(self, spec) if all(width % align == 0 for width in widths)]

    @abstractmethod
    def full_rank(self, spec):
        """The largest rank that makes sense, at which the chain equals the layer."""

    @abstractmethod
    def chain(self, spec, rank):
        """tuple of SubConv or SubFC: the shapes of the parts; cost, rewriting and search all read this."""

    @abstractmethod
    def decompose(self, weight, spec, effort=Effort()):
        """Return the Decomposition of a kernel.

        Parameters
        ----------
        weight : ndarray of the shape ``spec.part.weight_shape``
        spec : LayerSpec
        effort : Effort, optional
        """

    def contains(self, spec, larger, smaller):
        """Whether a chain at the rank `larger` can do all that one at `smaller` can: where no number is less."""
        return bool(np.all(np.less_equal(smaller, larger)))

    def check_rank(self, spec, rank):
        """Raise AccnnError, naming the layer and the ranks there are, unless a person may ask for `rank`."""
        largest = self.full_rank(spec)
        asked, most = (value if isinstance(value, tuple) else (value,) for value in (rank, largest))
        alike = isinstance(rank, tuple) == isinstance(largest, tuple) and len(asked) == len(most)
        if not alike or not all(type(k) is int and 1 <= k <= top for k, top in zip(asked, most)):
            least = (1,) * len(most) if isinstance(largest, tuple) else 1
            raise AccnnError("K=%s does not fit the layer %r: %s takes %s to %s there"
                             % (rank, spec.name, self.name, least, largest))

    def arrays(self, decomposition, weight, bias, spec, rank):
        """Weight and bias of every part: the layer's bias on the last part, zeros where an earlier one has any."""
        chain = self.chain(spec, rank)
        biases = [np.zeros(part.outputs, np.float32) if part.bias else None for part in chain[:-1]] + [bias]
        return list(zip(decomposition.factors(weight, rank), biases))

    def factor(self, weight, bias, spec, rank, effort=Effort()):
        """Return the arrays of the chain for one rank.

        Parameters
        ----------
        weight : ndarray of the shape ``spec.part.weight_shape``
        bias : ndarray of shape (out,) or None
        spec : LayerSpec
        rank : int or tuple of int
        effort : Effort, optional

        Returns
        -------
        list of (ndarray, ndarray or None)
            Weight and bias of every part.

        Raises
        ------
        AccnnError
            `rank` does not fit the layer.
        """
        self.check_rank(spec, rank)
        return self.arrays(self.decompose(weight, spec, effort), weight, bias, spec, rank)


_registry = Registry("method")
register, get = _registry.register, _registry.get


def names(op=None):
    """list of str: registered methods, those for `op` only when given."""
    return [name for name in _registry.names() if op in (None, get(name).op)]

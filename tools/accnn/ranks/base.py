"""The contract of a rank rule, the problem it is given, and the registry that finds one by name."""
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from accnn.core.layers import macs
from accnn.core.progress import Silence
from accnn.core.registry import Registry
from accnn.costs import Cost
from accnn.methods import Effort

MARGIN = 0.02  # of a speed-up
_HASTY = 3e-4  # of fitness an iteration
_HASTY_ITERATIONS = 8


class Candidate:
    """A layer with a method that could split it, as a rank rule sees it.

    Parameters
    ----------
    spec : LayerSpec
    method : Method
    read_weight : callable
        Returns the kernel; called when it is needed, and not kept.
    effort : Effort, optional
        How hard an iterative method tries.
    energies : callable, optional
        Returns what earlier runs learnt of energies, an :class:`accnn.ranks.energy_cache.Energies`, or None.
    """

    def __init__(self, spec, method, read_weight, effort=None, energies=None):
        self.spec, self.method, self.effort = spec, method, effort or Effort()
        self._read_weight, self._decomposition, self._energies = read_weight, None, energies or _nothing
        self._told, self._macs, self._hasty = {}, {}, None

    def hasty(self):
        """Candidate: with less effort where the method is iterative, for what is looked at once and thrown away."""
        if not self.method.iterative:
            return self
        if self._hasty is None:
            effort = replace(self.effort, tolerance=max(self.effort.tolerance, _HASTY), restarts=1,
                             iterations=min(self.effort.iterations, _HASTY_ITERATIONS))
            self._hasty = Candidate(self.spec, self.method, self._read_weight, effort, self._energies)
        return self._hasty

    def forget(self):
        """Drop the decomposition, which takes memory, but not the energies it told."""
        self._decomposition = None

    @property
    def name(self):
        """str: the layer's name."""
        return self.spec.name

    @property
    def decomposition(self):
        """Decomposition: made at the first use and kept, so that rank rule and factors share one SVD."""
        return self._decomposition or self._decompose(self._read_weight())

    def _decompose(self, weight):
        self._decomposition = self.method.decompose(weight, self.spec, self.effort)
        return self._decomposition

    @property
    def decomposed(self):
        """bool: whether :attr:`decomposition` was made already."""
        return self._decomposition is not None

    def known_energy(self, rank):
        """float or None: what :meth:`energy` tells, where it was asked before, or by an earlier run."""
        earlier = self._energies()
        if rank in self._told or earlier is None:
            return self._told.get(rank)
        return earlier.energy(self, rank)

    def energy(self, rank):
        """See :meth:`accnn.methods.base.Decomposition.energy`; decomposes only where no earlier run did."""
        found = self.known_energy(rank)
        return self.iterate(rank) if found is None else found

    def iterate(self, rank):
        """Let the decomposition find its factors at a rank, and return the energy, whatever earlier runs know of it."""
        found = self._told[rank] = self.decomposition.energy(rank)
        earlier = self._energies()
        if earlier is not None and found is not None:
            earlier.add(self, rank, found)
        return found

    def remark(self, rank):
        """See :meth:`accnn.methods.base.Decomposition.remark`; None where there is no decomposition yet."""
        return self.decomposition.remark(rank) if self.decomposed else None

    def macs(self, rank):
        """int: multiply-adds of one row through the chain at `rank`."""
        if rank not in self._macs:  # rank rules ask of thousands of ranks, again and again
            self._macs[rank] = macs(self.chain(rank), self.spec.in_shape)
        return self._macs[rank]

    def chain(self, rank):
        """The chain at `rank`."""
        return self.method.chain(self.spec, rank)

    def arrays(self, rank, bias):
        """Weight and bias of every part of the chain at `rank`."""
        weight = self._read_weight()  # once: a copy of a large one takes a moment
        return self.method.arrays(self._decomposition or self._decompose(weight), weight, bias, self.spec, rank)

    def wide(self, rank):
        """See :meth:`accnn.methods.base.Decomposition.wide`."""
        return self.decomposition.wide(self.weight(), rank)

    def weight(self):
        """The layer's kernel."""
        return self._read_weight()

    def ranks(self, align=1):
        """list: ranks a rule may choose whose chain is `align` channels wide, or a multiple, between its parts."""
        return list(self.method.ranks(self.spec) if align == 1 else self.method.aligned(self.spec, align))


def _nothing():
    return None


@dataclass(frozen=True)
class Problem:
    """What a rank rule is to solve.

    Attributes
    ----------
    candidates : list of Candidate
        Several of one layer are methods to choose among.
    budget : float
        What all these layers together may cost.
    cost : Cost
    align : int
        Ranks are such that chains are multiples of this wide.
    responses : object, optional
        What real images say: ``energies(spec)`` is an ndarray of float64, the eigenvalues of the covariance of the
        layer's responses, largest first, one for every output; ``curves(candidates)`` tells by (layer, method) what
        a chain costs the network, as ``curve.at(rank)``. None where no images were given.
    before : float, optional
        What all layers that count cost before anything is split; default: these layers.
    rest : float
        What counts of the network beside these layers, and stays as it is.
    margin : float
        How far above the speed-up that was asked for a rule may end, in units of the speed-up.
    int8 : frozenset of str
        Layers that are computed in INT8, or the chains in their place: of these ``responses.int8_noise(candidates)``
        tells what that adds, by (layer, method) as ``noise.at(rank)``, and by layer where that is not split.
    initial : mapping of str to rank
        Ranks that people want a search to start at, for some of the layers.
    progress : callable
        See :class:`accnn.planning.accelerator.Accelerator`.
    """

    candidates: List[Candidate]
    budget: float
    cost: Cost
    align: int = 1
    responses: Optional[object] = None
    before: Optional[float] = None
    rest: float = 0
    margin: float = MARGIN
    initial: Mapping[str, object] = field(default_factory=dict)
    int8: FrozenSet[str] = frozenset()
    progress: Callable = Silence

    def speed_up(self, cost):
        """float: how much cheaper the network is when the candidates cost `cost`; infinite where nothing is left."""
        return self._before / (self.rest + cost) if self.rest + cost > 0 else float("inf")

    @cached_property
    def _before(self):
        if self.before is not None:
            return self.before
        return self.rest + sum(self.cost.layer(some[0].spec) for some in self.layers().values())

    def ranks(self, candidate):
        """list: the ranks of a candidate to choose from."""
        return self.cost.ranks(candidate, self.align)

    def layers(self):
        """dict of str to list of Candidate: the candidates of every layer."""
        grouped = {}
        for candidate in self.candidates:
            grouped.setdefault(candidate.name, []).append(candidate)
        return grouped


@dataclass(frozen=True)
class Selection:
    """What a rank rule chose.

    Attributes
    ----------
    picks : dict of str to ((Candidate, rank) or None)
        For every layer; None: it is left alone.
    cost : float
        What the layers cost then.
    objective : float
        What the rule maximised, in its own measure.
    bound : float
        No other choice among the rule's options has a larger objective; equal to `objective` when proved exact.
    remark : str, optional
        A sentence on how the choice came about that people should read.
    in_fp32 : mapping of str to str
        Layers that are to stay in float32 where others do not, though they need not, and why.
    """

    picks: Dict[str, Optional[Tuple[Candidate, object]]]
    cost: float
    objective: float
    bound: float
    remark: Optional[str] = None
    in_fp32: Mapping[str, str] = field(default_factory=dict)


class RankRule(ABC):
    """One way to share a budget among layers.

    Attributes
    ----------
    name : str
        What `rank_selection` and the plan call it.
    cost : str
        The cost it counts with when none is asked for.
    summary : str
        One line that says what it does.
    needs_images : bool
        Whether it stands on ``Problem.responses``; planning refuses it without them.
    reads : tuple of str
        Which of ``Problem.margin`` and ``Problem.initial`` it looks at; planning says when others are given in vain.
    chooses_methods : bool
        Whether several candidates of one layer are weighed against each other.
    methods : tuple of str
        Those it takes where none is asked for an operator; others take the default.
    needs_decompositions : bool
        Whether candidates are decomposed before it is asked, all together.
    chooses_precisions : bool
        Whether it weighs with images what INT8 costs a layer against what float32 costs it.
    any_rank : bool
        Whether it also chooses ranks that are not among ``Problem.ranks``, so that costs must be known of all.
    """

    name = summary = None
    cost = "macs"
    needs_images = False
    reads = ()
    chooses_methods = False
    methods = ()
    needs_decompositions = True
    any_rank = chooses_precisions = False

    def refuse(self, method):
        """Return why this rule cannot weigh a method's ranks, or None when it can; asked before any decomposition."""
        return None

    def leaves_alone(self, spec, is_first):
        """Return why this rule leaves the layer alone unless a person names it, or None.

        `is_first` is True for the first convolution of the network.
        """
        return None

    @abstractmethod
    def select(self, problem):
        """Choose method and rank, or to leave it alone, for every layer.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        Selection

        Raises
        ------
        Unreachable
            Even the cheapest choice costs more than the budget.
        """


class Unreachable(Exception):
    """No choice fits the budget; `least` is the cost of the cheapest."""

    def __init__(self, least):
        super().__init__("the cheapest choice costs %s" % least)
        self.least = least


_registry = Registry("rank rule")
register, names, get = _registry.register, _registry.names, _registry.get

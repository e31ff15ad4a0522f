"""A walk over ranks by fitness times complexity ("Iterative two-pass decomposition", ICLR 2018 submission, 2.1.2)."""
from collections import namedtuple
from dataclasses import replace

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.threads import one_blas_thread
from accnn.ranks.base import RankRule, Selection, Unreachable, get, register

_RankOption = namedtuple("_RankOption", "size rank cost")  # size: the paper's R
_DOWN, _UP = -1, 1
_LEAST_FITNESS = 1e-9  # of which a logarithm is taken


@register
class Profit(RankRule):
    """Algorithm 1 of the paper: one step at a time, down at the largest profit F x N, up at the smallest.

    Every layer starts at an initial rank, with the fitness F (eq. 12) of a decomposition at that rank, the only one
    that is made, and its complexity N, the layer's own cost. While the network is too slow, the layer with the largest
    F x N goes one rank down; while it is faster than need be, the one with the smallest goes one up, as long as its
    chain stays cheaper than the layer. F is predicted to be proportional to the rank R. Of several methods for one
    layer the first is taken.

    Initial ranks are those of ``Problem.initial``; a layer that is not named there starts where the rule ``uniform``
    leaves it at the same speed-up, or at its largest rank where that leaves it alone. An initial rank that is no rung
    of its ladder (see Notes) starts at the one that costs nearest to it.

    Notes
    -----
    The paper stops where the speed-up S is within a margin of the target, to either side. Here the budget is a limit
    and no wish, so the walk stops with S between the target and the target plus the margin: that is the paper's loop
    for a target half a margin higher, and half the margin.

    The ladder of a layer has the ranks that make it cheaper, less those that cost no less than a larger one. R is the
    place of a rank among all those the method offers, counted from 1: the rank itself for whole numbers, one number
    for the pairs of other methods, and with ``align`` the multiple.

    Steps may lead over the margin both ways, for ever. The walk ends where ranks come back at which it turned before
    (as F is proportional to R, nothing but ranks tells its future), after as many turns as there are rungs, or where no
    rank can grow. Then it takes the ranks it passed that are nearest above the target, and says so.

    The objective is the sum over layers of the log of the predicted fitness, which is 1 for a layer that stays and
    never more. The rule is no exact search; the bound is that of losing nothing, 0.
    """

    name = "profit"
    cost = "macs"
    summary = "step by step from initial ranks, by fitness x complexity (two-pass paper, Algorithm 1)"
    reads = "margin", "initial"

    def select(self, problem):
        """See :meth:`RankRule.select`.

        Raises
        ------
        AccnnError
            A method does not tell its fitness.
        """
        firsts = [candidates[0] for candidates in problem.layers().values()]
        ladders = [_RankList(candidate, problem) for candidate in firsts]
        climbed = [ladder for ladder in ladders if ladder.rungs]
        starts = _starts(climbed, replace(problem, candidates=firsts))
        alone = sum(ladder.whole for ladder in ladders if not ladder.rungs)
        walk = _Walk(climbed, starts, _fitness(climbed, starts, problem), alone)
        remark = _search(walk, problem)
        picks = dict.fromkeys(candidate.name for candidate in firsts)
        picks.update((ladder.candidate.name, (ladder.candidate, ladder.rungs[place].rank))
                     for ladder, place in zip(climbed, walk.places))
        return Selection(picks, walk.cost(), walk.objective(), 0.0, remark)


class _RankList:
    """The ranks of one layer, ascending in rank and in cost.

    Attributes
    ----------
    candidate : Candidate
    whole : float
        N, the cost of the layer itself.
    rungs : list of _RankOption
        Empty where no rank makes the layer cheaper.
    """

    def __init__(self, candidate, problem):
        self.candidate, self._pricing = candidate, problem.cost
        self.whole = least = problem.cost.layer(candidate.spec)
        self.rungs, ranks = [], problem.ranks(candidate)
        for size in range(len(ranks), 0, -1):
            cost = self._cost(ranks[size - 1])
            if cost < least:
                self.rungs.append(_RankOption(size, ranks[size - 1], cost))
                least = cost
        self.rungs.reverse()

    def nearest(self, rank):
        """int: the rung of a rank, else the one that costs nearest to it."""
        cost = self._cost(rank)
        return min(range(len(self.rungs)),
                   key=lambda place: (self.rungs[place].rank != rank, abs(self.rungs[place].cost - cost)))

    def _cost(self, rank):
        return self._pricing.chain(self.candidate.spec, self.candidate.chain(rank))


def _starts(ladders, problem):
    """list of int: the rung that every layer starts at."""
    initial = dict(problem.initial)
    if any(ladder.candidate.name not in initial for ladder in ladders):
        for name, pick in get("uniform").select(problem).picks.items():
            initial.setdefault(name, pick and pick[1])
    return [len(ladder.rungs) - 1 if initial[ladder.candidate.name] is None
            else ladder.nearest(initial[ladder.candidate.name]) for ladder in ladders]


def _fitness(ladders, starts, problem):
    """list of float: F of every layer at its initial rank; below 0, worse than nothing, counts as 0."""
    found, progress = [], problem.progress("decomposing at initial ranks", len(ladders))
    with one_blas_thread():
        for done, (ladder, place) in enumerate(zip(ladders, starts)):
            candidate = ladder.candidate
            progress(done, candidate.name)
            fitness = candidate.decomposition.fitness(ladder.rungs[place].rank)
            if fitness is None:
                raise AccnnError("%s does not tell the fitness of the layer %r, which the rank rule profit stands on: "
                                 "choose another `rank_selection`" % (candidate.method.name, candidate.name))
            found.append(max(fitness, 0.0))
    progress.close()
    return found


class _Walk:
    """Where every layer is on its ladder.

    Attributes
    ----------
    places : ndarray of int
        Rungs.
    rungs : int
        How many there are in all.
    """

    def __init__(self, ladders, starts, fitness, alone):
        self._alone = float(alone)  # cost of the layers that are no part of the walk
        self._rungs = [ladder.rungs for ladder in ladders]
        self.rungs = sum(map(len, self._rungs))
        self._wholes = [float(ladder.whole) for ladder in ladders]
        # F / R, which steps do not change.
        self._slopes = [one / rungs[place].size for one, rungs, place in zip(fitness, self._rungs, starts)]
        self._costs, self._falls, self._grows = np.zeros((3, len(ladders)))
        self.go(starts)

    def go(self, places):
        """Put all layers somewhere."""
        self.places = np.array(places, int)
        for layer in range(len(places)):
            self._look(layer)

    def cost(self):
        """float: of all layers."""
        return self._alone + float(self._costs.sum())

    def step(self, direction):
        """Take one step; return False where no layer can."""
        if not len(self.places):
            return False
        layer = int(np.argmax(self._falls) if direction == _DOWN else np.argmin(self._grows))
        if not np.isfinite((self._falls if direction == _DOWN else self._grows)[layer]):
            return False
        self.places[layer] += direction
        self._look(layer)
        return True

    def objective(self):
        """float: the sum of the logs of predicted fitness."""
        fitness = [self._fitness(layer) for layer in range(len(self.places))]
        return float(np.log(np.clip(fitness, _LEAST_FITNESS, 1)).sum())

    def _fitness(self, layer):
        return self._slopes[layer] * self._rungs[layer][self.places[layer]].size

    def _look(self, layer):
        """Note the cost of a layer where it is now, and its profit F x N for either direction that is open to it."""
        place, profit = self.places[layer], self._fitness(layer) * self._wholes[layer]
        self._costs[layer] = self._rungs[layer][place].cost
        self._falls[layer] = profit if place > 0 else -np.inf
        self._grows[layer] = profit if place < len(self._rungs[layer]) - 1 else np.inf


def _search(walk, problem):
    """Walk until the speed-up is right; return None, or a sentence on why it is further off than the margin."""
    target, direction, turned = problem.speed_up(problem.budget), None, set()
    nearest = None  # (cost, places) of those that met the target
    while True:
        cost, before = walk.cost(), direction
        direction = _UP if cost <= problem.budget else _DOWN
        if direction == _UP:
            if problem.speed_up(cost) - target <= problem.margin:
                return None
            if nearest is None or cost > nearest[0]:
                nearest = cost, walk.places.copy()
        if direction != before:
            here = walk.places.tobytes()
            if here in turned or len(turned) > walk.rungs:
                return _off(walk, nearest, problem, "steps lead over it both ways")
            turned.add(here)
        if not walk.step(direction):
            if direction == _DOWN:
                raise Unreachable(cost)
            return _off(walk, nearest, problem, "no rank can grow any more")


def _off(walk, nearest, problem, why):
    """Go to the ranks nearest above the target; return the sentence that says so."""
    walk.go(nearest[1])
    return "profit could not end within %g of %.4gx (%s): it took the ranks nearest above, %.4gx" % (
        problem.margin, problem.speed_up(problem.budget), why, problem.speed_up(nearest[0]))

"""A loss that is known at some ranks of a layer, and told at any."""
import numpy as np

from accnn.core.layers import macs

_POINTS = 10        # ranks of a layer that are looked at
_CHEAPEST = 0.04    # of the layer's MACs: the first of them
_DEAREST = 0.65     # and the last: what saves less loses next to nothing, and takes longest to measure
_LEAST = 1e-7       # below this a divergence, in nats, or a lost share of energy is rounding


class Curve:
    """The loss of a layer and a method at any rank: a divergence of outputs, or the share of energy that is lost.

    Parameters
    ----------
    candidate : Candidate
    points : list of (rank, float)
        What was measured or predicted.
    """

    def __init__(self, candidate, points):
        self._candidate, self._known_costs = candidate, {}
        points = sorted((candidate.macs(rank), max(value, _LEAST)) for rank, value in points)
        costs, values = np.array(points).T
        # More of the layer is never worse: what looks so is noise.
        self._costs, self._values = np.log(costs), np.log(np.maximum.accumulate(values[::-1])[::-1])

    def covers(self, rank):
        """bool: whether so small a rank is among the points, or a smaller one."""
        return bool(self._cost(rank) >= self._costs[0] - 1e-9)

    def at(self, rank):
        """float: interpolated in the logarithms of MACs and loss; continued in straight lines beyond."""
        cost = self._cost(rank)
        for end, inner in (0, 1), (-1, -2):
            beyond = cost - self._costs[end]
            if len(self._costs) > 1 and beyond * (self._costs[end] - self._costs[inner]) > 0:
                slope = (self._values[inner] - self._values[end]) / (self._costs[inner] - self._costs[end])
                return float(np.exp(self._values[end] + min(slope, 0) * beyond))
        return float(np.exp(np.interp(cost, self._costs, self._values)))

    def _cost(self, rank):
        """float: the logarithm of the MACs, kept, for rules ask of thousands of ranks more than once."""
        if rank not in self._known_costs:
            self._known_costs[rank] = np.log(self._candidate.macs(rank))
        return self._known_costs[rank]


class Noise:
    """What INT8 adds to the loss of a chain, at any rank: interpolated in the logarithm of MACs, and constant beyond.

    Parameters
    ----------
    candidate : Candidate
    points : list of (rank, float)
        What was measured.
    """

    def __init__(self, candidate, points):
        self._candidate = candidate
        self._costs, self._values = zip(*sorted((np.log(candidate.macs(rank)), value) for rank, value in points))

    def at(self, rank):
        """float: of the chain at `rank`."""
        return float(np.interp(np.log(self._candidate.macs(rank)), self._costs, self._values))


def measured_ranks(candidate, points=_POINTS):
    """Ranks to look at: evenly spread in the logarithm of MACs, among those that make the layer cheaper."""
    spec = candidate.spec
    whole = macs((spec.part,), spec.in_shape)
    cheaper = [(cost, rank) for rank, cost in ((rank, candidate.macs(rank)) for rank in candidate.ranks())
               if cost < whole]
    if not cheaper:
        return []
    family = [one for one in cheaper if one[0] <= _DEAREST * whole] or cheaper[:1]
    costs = np.array([cost for cost, _ in family], float)
    first = max(np.log(costs.min()), np.log(_CHEAPEST * whole))
    wanted = np.linspace(first, np.log(costs.max()), points)
    nearest = {int(np.argmin(np.abs(np.log(costs) - goal))) for goal in wanted}
    return [family[place][1] for place in sorted(nearest)]

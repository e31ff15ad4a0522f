"""The same speed-up for every layer: what rank selection is compared with (Zhang et al., 2016, section 3.4)."""
from accnn.ranks.base import RankRule, Selection, Unreachable, register
from accnn.ranks.fill import Option


@register
class Uniform(RankRule):
    """Give every layer the largest rank at which it is s times cheaper, with the smallest s that fits the budget.

    A layer that cannot become s times cheaper takes its cheapest rank, or stays where no rank makes it cheaper.
    The objective is s; nothing is weighed, so the bound is s too.
    """

    name = "uniform"
    cost = "macs"
    summary = "the same speed-up for every layer"

    def select(self, problem):
        """See :meth:`RankRule.select`."""
        layers = {name: _ladders(candidates, problem) for name, candidates in problem.layers().items()}
        speed_up = _least_speed_up(list(layers.values()), problem.budget)
        picks = {name: _pick(ladders, speed_up) for name, ladders in layers.items()}
        return Selection({name: (option.candidate, option.rank) if option.candidate else None
                          for name, option in picks.items()},
                         sum(option.cost for option in picks.values()), speed_up, speed_up)


def _ladders(candidates, problem):
    """What can be done with a layer: a list of Option for every candidate, and leaving it alone; value is speed-up."""
    whole = problem.cost.layer(candidates[0].spec)
    ladders = [[Option(None, None, whole, 1.0)]]
    for candidate in candidates:
        priced = [(rank, problem.cost.chain(candidate.spec, candidate.chain(rank)))
                  for rank in problem.ranks(candidate)]
        ladders.append([Option(candidate, rank, cost, whole / cost) for rank, cost in priced if cost < whole])
    return ladders


def _least_speed_up(layers, budget):
    """Bisect: the cost of all layers falls with the speed-up, and only at speed-ups that some option has."""
    speed_ups = sorted({option.value for ladders in layers for ladder in ladders for option in ladder})
    low, high = 0, len(speed_ups) - 1
    least = _cost(layers, speed_ups[high])
    if least > budget:
        raise Unreachable(least)
    while low < high:
        middle = (low + high) // 2
        if _cost(layers, speed_ups[middle]) > budget:
            low = middle + 1
        else:
            high = middle
    return speed_ups[low]


def _cost(layers, speed_up):
    return sum(_pick(ladders, speed_up).cost for ladders in layers)


def _pick(ladders, speed_up):
    """The largest rank that is so much cheaper, else the cheapest option; of several methods the one that costs most.

    The largest rank and not the largest cost: measured costs may fall where a rank grows.
    """
    able = [[option for option in ladder if option.value >= speed_up] for ladder in ladders]
    largest = [some[-1] for some in able if some]
    if largest:
        return max(largest, key=lambda option: option.cost)
    return min((option for ladder in ladders for option in ladder), key=lambda option: option.cost)

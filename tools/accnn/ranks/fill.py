"""Filling a budget with options: for rules that know what every option of every layer is worth."""
from dataclasses import dataclass
from typing import Optional

from accnn.ranks import knapsack
from accnn.ranks.base import Candidate, Selection, Unreachable


@dataclass(frozen=True)
class Option:
    """One thing that can be done with a layer.

    Attributes
    ----------
    candidate, rank : Candidate and rank, or None
        None: leave the layer alone.
    cost, value : float
    why_fp32 : str or None
        Why the layer would stay in float32 where others do not; None: it does not.
    """

    candidate: Optional[Candidate]
    rank: Optional[object]
    cost: float
    value: float
    why_fp32: Optional[str] = None


def weighed(problem, values, unsplit=None):
    """What can be done with every layer: to leave it alone, or what makes it cheaper.

    Parameters
    ----------
    problem : Problem
    values : dict of Candidate to list of (rank, float)
        What ranks are worth.
    unsplit : dict of str to float, optional
        What layers are worth that are left alone; default: 0.

    Returns
    -------
    dict of str to list of Option
    """
    options = {}
    for name, candidates in problem.layers().items():
        spec = candidates[0].spec
        whole = problem.cost.layer(spec)
        options[name] = [Option(None, None, whole, (unsplit or {}).get(name, 0.0))]
        for candidate in candidates:
            for rank, value in values[candidate]:
                cost = problem.cost.chain(spec, candidate.chain(rank))
                if cost < whole:
                    options[name].append(Option(candidate, rank, cost, float(value)))
    return options


def fill(options, budget):
    """Choose one option for every layer so that the sum of values is largest.

    Parameters
    ----------
    options : dict of str to list of Option
        For every layer at least one.
    budget : float

    Returns
    -------
    Selection

    Raises
    ------
    Unreachable
    """
    costs = [[option.cost for option in some] for some in options.values()]
    choice = knapsack.solve(costs, [[option.value for option in some] for some in options.values()], budget)
    if choice is None:
        raise Unreachable(sum(map(min, costs)))
    picks = {name: some[pick] for (name, some), pick in zip(options.items(), choice.picks)}
    return Selection({name: (option.candidate, option.rank) if option.candidate else None
                      for name, option in picks.items()}, choice.cost, choice.value, choice.bound,
                     in_fp32={name: option.why_fp32 for name, option in picks.items() if option.why_fp32})

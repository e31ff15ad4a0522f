"""The multiple-choice knapsack: one option for every layer, the largest sum of values within a budget.

Solved by dynamic programming over undominated (cost, value) states, kept small by the Lagrangian bound: a state that
cannot beat the best known choice even with every remaining layer at its most favourable is dropped. On rank selection
the bound is so tight that a few hundred states remain, so the result is exact for integer costs of any size, and
for real ones, without a grid.
"""
from dataclasses import dataclass
from typing import List

import numpy as np

MOST_STATES = 20000
_BISECTIONS = 100


@dataclass(frozen=True)
class Choice:
    """A solution.

    Attributes
    ----------
    picks : list of int
        Option taken for every layer.
    cost, value : float
    bound : float
        Upper bound of the value of any solution; equals `value` when the search was exhaustive.
    """

    picks: List[int]
    cost: float
    value: float
    bound: float


def solve(costs, values, budget):
    """Pick one option a layer so that the sum of costs is at most `budget` and the sum of values largest.

    Parameters
    ----------
    costs, values : list of ndarray
        One pair of equal length for every layer. Ties take the earlier option.
    budget : float

    Returns
    -------
    Choice or None
        None when no choice fits.

    Notes
    -----
    Should more than `MOST_STATES` states survive, only the most promising of every cost bracket is kept; `bound` then
    tells how far from the best the result can be.
    """
    costs = [np.asarray(cost, np.float64) for cost in costs]
    values = [np.asarray(value, np.float64) for value in values]
    if sum(cost.min() for cost in costs) > budget:
        return None
    price = _price(costs, values, budget)
    reduced = [value - price * cost for cost, value in zip(costs, values)]
    best_reduced = np.array([r.max() for r in reduced])
    bound = best_reduced.sum() + price * budget
    floor = _improved(costs, values, budget, price)
    slack = max(bound - floor, 0) + 1e-9 * (1 + abs(bound))
    kept = [np.flatnonzero(r >= top - slack) for r, top in zip(reduced, best_reduced)]
    return _search(costs, values, budget, price, best_reduced, bound, slack, kept)


def _search(costs, values, budget, price, best_reduced, bound, slack, kept):
    least = np.array([cost[keep].min() for cost, keep in zip(costs, kept)])
    left_least = np.append(np.cumsum(least[::-1])[::-1][1:], 0)
    state_cost, state_value, loss = np.zeros(1), np.zeros(1), np.zeros(1)
    steps, exhaustive = [], True
    for cost, value, keep, top, still in zip(costs, values, kept, best_reduced, left_least):
        new_cost = (state_cost[:, None] + cost[keep]).ravel()
        new_value = (state_value[:, None] + value[keep]).ravel()
        new_loss = (loss[:, None] + (top - (value[keep] - price * cost[keep]))).ravel()
        alive = np.flatnonzero((new_loss <= slack) & (new_cost + still <= budget * (1 + 1e-12)))
        alive = alive[_undominated(new_cost[alive], new_value[alive])]
        if len(alive) > MOST_STATES:
            alive, exhaustive = alive[_thinned(new_cost[alive], new_loss[alive])], False
        steps.append((alive // len(keep), keep[alive % len(keep)]))
        state_cost, state_value, loss = new_cost[alive], new_value[alive], new_loss[alive]
    end = int(np.argmax(state_value))
    picks, at = [], end
    for previous, option in reversed(steps):
        picks.append(int(option[at]))
        at = previous[at]
    value = float(state_value[end])
    return Choice(picks[::-1], float(state_cost[end]), value, value if exhaustive else float(bound))


def _price(costs, values, budget):
    """The Lagrange multiplier: value a unit of cost must bring, found by bisection."""
    spread = max(float(np.ptp(value)) for value in values)
    low, high = 0.0, (spread + 1.0) / max(min(_smallest_step(cost) for cost in costs), 1e-300)
    if _cost_at(costs, values, low) <= budget:
        return 0.0
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low * high) if low > 0 else high * 1e-12
        if _cost_at(costs, values, middle) > budget:
            low = middle
        else:
            high = middle
        if low > 0 and high / low < 1 + 1e-13:
            break
    return float(high)


def _smallest_step(cost):
    steps = np.diff(np.unique(cost))
    return float(steps.min()) if len(steps) else np.inf


def _cost_at(costs, values, price):
    return sum(float(c[_cheapest_best(c, v, price)]) for c, v in zip(costs, values))


def _cheapest_best(cost, value, price):
    reduced = value - price * cost
    best = np.flatnonzero(reduced == reduced.max())
    return best[np.argmin(cost[best])]


def _improved(costs, values, budget, price):
    """Value of a good feasible choice: the multiplier's own, then the budget left over spent greedily."""
    picks = [_cheapest_best(cost, value, price) for cost, value in zip(costs, values)]
    left = budget - sum(cost[pick] for cost, pick in zip(costs, picks))
    if left < 0:  # the multiplier was cut short by rounding; the cheapest choice is feasible by definition
        picks = [int(np.argmin(cost)) for cost in costs]
        left = budget - sum(cost[pick] for cost, pick in zip(costs, picks))
    order = sorted(range(len(costs)), key=lambda i: -costs[i].max())
    for _ in range(3):
        for i in order:
            fits = np.flatnonzero(costs[i] - costs[i][picks[i]] <= left)
            best = fits[np.argmax(values[i][fits])]
            if values[i][best] > values[i][picks[i]]:
                left -= costs[i][best] - costs[i][picks[i]]
                picks[i] = best
    return float(sum(value[pick] for value, pick in zip(values, picks)))


def _undominated(cost, value):
    """Indices of states that no cheaper or equal state matches in value, by ascending cost."""
    order = np.lexsort((-value, cost))
    best_before = np.maximum.accumulate(np.append(-np.inf, value[order][:-1]))
    return order[value[order] > best_before]


def _thinned(cost, loss):
    """Of every cost bracket the state that has lost least against the multiplier's bound."""
    bracket = ((cost - cost.min()) / max(float(np.ptp(cost)), 1e-300) * (MOST_STATES - 1)).astype(np.int64)
    order = np.lexsort((loss, bracket))
    first = np.append(True, np.diff(bracket[order]) > 0)
    return order[first]

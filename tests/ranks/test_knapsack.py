import itertools

import numpy as np
import pytest

from accnn.ranks import knapsack


def _brute(costs, values, budget):
    best = None
    for picks in itertools.product(*(range(len(c)) for c in costs)):
        if sum(c[i] for c, i in zip(costs, picks)) <= budget:
            value = sum(v[i] for v, i in zip(values, picks))
            best = value if best is None else max(best, value)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_equals_brute_force(seed):
    rng = np.random.RandomState(seed)
    layers = [rng.randint(1, 7) for _ in range(5)]
    costs = [np.sort(rng.randint(1, 40, n)) if seed % 2 else np.sort(rng.uniform(1, 40, n)) for n in layers]
    values = [np.sort(rng.standard_normal(n)) if seed % 3 else rng.standard_normal(n) for n in layers]
    budget = rng.uniform(0.3, 1.0) * sum(c.max() for c in costs)
    choice, best = knapsack.solve(costs, values, budget), _brute(costs, values, budget)
    if best is None:
        assert choice is None
        return
    assert choice.value == pytest.approx(best, abs=1e-12)
    assert choice.bound == choice.value
    assert sum(c[i] for c, i in zip(costs, choice.picks)) == pytest.approx(choice.cost) and choice.cost <= budget


def test_a_budget_met_to_the_last_unit_is_met():
    choice = knapsack.solve([[1, 3], [2, 5]], [[0, 1], [0, 1]], 8)
    assert choice.picks == [1, 1] and choice.cost == 8


def test_nothing_fits():
    assert knapsack.solve([[4, 5], [4]], [[0, 1], [0]], 7.9) is None


def test_many_layers_stay_within_budget_and_near_the_bound():
    rng = np.random.RandomState(0)
    costs = [np.arange(1, 65) * int(rng.randint(1000, 90000)) for _ in range(400)]
    values = [np.log(np.cumsum(np.sort(rng.uniform(size=64))[::-1])) for _ in range(400)]
    budget = 0.4 * sum(c[-1] for c in costs)
    choice = knapsack.solve(costs, values, budget)
    assert choice.cost <= budget
    assert 0 <= choice.bound - choice.value <= 1e-4 * abs(choice.bound)

"""Which budget comes next: from plans that were timed, whatever ratio they were timed for."""
from math import log

import pytest

from accnn.planning.attempts import Attempt, Attempts, Network
from accnn.ranks.base import Selection


def attempt(budgeted, ratio, layer="conv", cheapest=False):
    return Attempt(Selection({layer: (layer, 1)}, 0, 0.0, 0.0), Network({layer: "%g" % budgeted}, ()), budgeted,
                   budgeted, {}, {"measured": {"median": ratio}}, cheapest)


def known(*points, unsplit=1.0):
    """Attempts: plans of these pairs (budgeted, ratio)."""
    made = Attempts(unsplit)
    for point in points:
        made.add(attempt(*point))
    return made


def test_nothing_known_asks_for_a_little_more():
    assert known().aim(2) == pytest.approx(2.02) and known().aim(1) == 1


def test_a_search_begins_where_earlier_runs_ended():
    near = Attempts(1.0, [(5.0, 5.5), (2.0, 2.4), (3.0, 3.6)])
    assert near.aim(3.56) == pytest.approx(3.0) and near.aim(3.56) < 3.0  # that plan comes out again
    assert near.aim(1.2) == pytest.approx(1.212 * 2.0 / 2.4) and near.aim(1) == 1  # the only one there is about
    between = near.aim(3.0) / 3.03
    assert 2.0 / 2.4 - 1e-9 <= between <= 2.0 / 2.4 + 1e-9  # both are as far off
    assert 3.0 / 3.6 < Attempts(1.0, [(5.0, 5.5), (4.0, 4.8)]).aim(5.2) / 5.252 < 5.0 / 5.5


def test_what_is_timed_now_counts_and_not_what_was_timed_earlier():
    made = Attempts(1.0, [(2.0, 2.4)])
    made.add(attempt(2.0, 1.9))
    assert made.aim(2) == known((2.0, 1.9)).aim(2)


def test_between_two_plans_the_budget_is_on_the_line_through_their_logarithms():
    line = known((2.0, 1.9), (4.0, 3.4), (9.0, 5.0))
    for low, high, asked in ((0, 1, 2.5), (1, 2, 4.0)):
        (one, first), (other, last) = ((2.0, 1.9), (4.0, 3.4), (9.0, 5.0))[low], ((4.0, 3.4), (9.0, 5.0))[high - 1]
        share = log(1.01 * asked / first) / log(last / first)
        assert line.aim(asked) == pytest.approx(one * (other / one) ** share)


def test_times_that_follow_a_power_of_the_budget_are_met_at_once():
    """Whether the plan was too slow or too fast, in float32 or behind what INT8 alone gives."""
    for unsplit, power, asked in ((1.0, 0.9, 3.0), (1.0, 1.1, 2.0), (4.3, 0.5, 6.0), (4.3, 1.1, 6.0)):
        def ratio(budgeted, unsplit=unsplit, power=power):
            return unsplit * (budgeted / unsplit) ** power
        first = known(unsplit=unsplit).aim(asked)
        again = known((first, ratio(first)), unsplit=unsplit).aim(asked)
        assert ratio(again) == pytest.approx(1.01 * asked, rel=1e-6 if power < 1 else 0.02)


def test_a_plan_that_is_slower_than_the_network_moves_the_budget_far():
    assert known((1.1, 0.2)).aim(1.5) == pytest.approx(1.1 * 1.01 * 1.5 / 0.2)


def test_what_other_ratios_learnt_is_used():
    assert known((2.0, 1.5), (6.0, 4.5)).aim(3) == pytest.approx(2.0 * 3 ** (log(3.03 / 1.5) / log(3)))


def test_the_same_network_is_known_once_and_may_turn_out_to_be_the_cheapest():
    plans = known((2.0, 1.5))
    assert not plans.is_complete and len(plans) == 1
    again = plans.add(attempt(2.0, 9.0, cheapest=True))
    assert again.cheapest and again.ratio == 1.5 and plans.is_complete and len(plans) == 1
    assert plans.add(attempt(2.0, 1.5)).cheapest


def test_between_coarse_plans_budgets_are_halved_until_nothing_is_left():
    plans = known((2.0, 1.5), (4.0, 4.2))
    slow, fast = plans
    aim, tried = None, []
    for led_to in (slow, fast, slow, slow, fast, fast, slow, slow, slow):
        aim = plans.further(3, tried or [(2.0, slow)])
        if aim is None:
            break
        tried.append((aim, led_to))
    ends = [max(one for one, to in tried if to is slow), min(one for one, to in tried if to is fast)]
    assert aim is None and 1 < ends[1] / ends[0] < 1.015 and len(tried) <= 8


def test_steps_in_one_direction_grow():
    plans = known((2.0, 1.5))
    slow, = plans
    first = plans.further(3, [(2.0, slow)])
    second = plans.further(3, [(2.0, slow), (first, slow)])
    assert 2.0 < first < second and second / first > first / 2.0
    assert plans.further(1.2, [(2.0, slow)]) < 2.0


def test_beside_the_cheapest_plan_nothing_is_looked_for_where_the_one_before_is_far_behind():
    for ratio, aim in ((1.6, None), (3.4, (1.5 * 2) ** 0.5)):
        plans = known((1.5, ratio))
        plans.add(attempt(2.0, 3.6, cheapest=True))
        assert plans.beside_fastest() == (aim and pytest.approx(aim))
    plans = known((1.5, 3.6), (1.2, 1.0))  # a plan of dearer chains is the fastest: there is more to look for
    plans.add(attempt(2.0, 1.6, cheapest=True))
    assert plans.beside_fastest() == pytest.approx((1.5 * 2) ** 0.5)

"""A loss that is known at some ranks and told at any: where it is measured, and what is believed in between."""
import numpy as np
import pytest

from accnn import methods
from accnn.core.layers import macs
from accnn.planning.accelerator import Accelerator
from accnn.ranks.curve import Curve, measured_ranks
from networks import chain_model

SHAPE = (3, 12, 12)
ALL = [("vh", "conv2"), ("channel", "conv2"), ("3d", "conv3"), ("vh", "conv1"), ("fc-svd", "fc1")]


def cost(candidate, rank):
    return macs(candidate.chain(rank), candidate.spec.in_shape)


@pytest.mark.parametrize("method, layer", ALL)
def test_measured_ranks_are_spread_over_all_that_save(method, layer):
    candidate = Accelerator(chain_model(), {"data": SHAPE}).candidate(layer, methods.get(method))
    ranks = measured_ranks(candidate)
    whole = macs((candidate.spec.part,), candidate.spec.in_shape)
    costs = [cost(candidate, rank) for rank in ranks]
    assert 1 <= len(ranks) <= 10 and len(set(ranks)) == len(ranks) and costs == sorted(set(costs))
    all_costs = [cost(candidate, rank) for rank in candidate.ranks()]
    assert max(costs) == max([c for c in all_costs if c <= 0.65 * whole] or [min(all_costs)])


@pytest.mark.parametrize("method, layer", ALL)
def test_curves_go_through_what_was_measured_and_never_rise(method, layer):
    candidate = Accelerator(chain_model(), {"data": SHAPE}).candidate(layer, methods.get(method))
    ranks = measured_ranks(candidate)
    values = np.geomspace(3, 1e-5, len(ranks))
    curve = Curve(candidate, list(zip(ranks, values))[::-1])
    np.testing.assert_allclose([curve.at(rank) for rank in ranks], values, rtol=1e-9)
    noisy = Curve(candidate, list(zip(ranks, values * np.random.RandomState(0).uniform(0.1, 10, len(ranks)))))
    everywhere = sorted(candidate.ranks(), key=lambda rank: cost(candidate, rank))
    for one in (curve, noisy):
        found = [one.at(rank) for rank in everywhere]
        assert (np.diff(found) <= 1e-12).all() and np.isfinite(found).all() and min(found) > 0


def test_between_two_points_and_beyond_the_curve_is_straight_in_logarithms():
    candidate = Accelerator(chain_model(), {"data": SHAPE}).candidate("conv2", methods.get("vh"))
    curve = Curve(candidate, [(4, 0.1), (16, 0.001)])
    assert [curve.at(rank) for rank in (2, 8, 32)] == pytest.approx([1, 0.01, 1e-4])
    assert [Curve(candidate, [(4, 0.1)]).at(rank) for rank in (1, 4, 9)] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("points", [1, 2, 6])
def test_fewer_points_are_spread_as_far(points):
    candidate = Accelerator(chain_model(widths=(32, 32)), {"data": SHAPE}).candidate("conv2", methods.get("vh"))
    some, usual = measured_ranks(candidate, points), measured_ranks(candidate)
    assert len(some) == points and some[0] == usual[0] and (points == 1 or some[-1] == usual[-1])

"""A layer with a method, as rank rules see it."""
import pytest

from accnn import methods
from accnn.planning.accelerator import Accelerator
from networks import chain_model


@pytest.mark.parametrize("name", ["cp", "cp3", "btd"])
def test_hasty_candidates_of_iterative_methods_make_less_effort_and_keep_their_own_factors(name):
    effort = methods.Effort(restarts=3, tolerance=1e-7)
    candidate = Accelerator(chain_model(), effort=effort).candidate("conv3", methods.get(name))
    hasty = candidate.hasty()
    assert hasty.spec is candidate.spec and hasty.method is candidate.method
    assert hasty.effort.restarts == 1 and hasty.effort.tolerance > effort.tolerance
    rank = candidate.ranks()[3]
    assert hasty.decomposition.energy(rank) <= candidate.decomposition.energy(rank) + 1e-6


@pytest.mark.parametrize("name", ["vh", "channel", "3d"])
def test_others_are_the_same_candidate(name):
    candidate = Accelerator(chain_model()).candidate("conv3", methods.get(name))
    assert candidate.hasty() is candidate


@pytest.mark.parametrize("name", ["cp", "btd"])
def test_factors_that_were_made_tell_the_energy(name):
    candidate = Accelerator(chain_model()).candidate("conv3", methods.get(name))
    rank = candidate.ranks()[3]
    assert candidate.known_energy(rank) is None
    found = candidate.iterate(rank)
    candidate.forget()
    assert candidate.known_energy(rank) == candidate.energy(rank) == found and not candidate.decomposed


def test_multiply_adds_are_counted_once(monkeypatch):
    candidate = Accelerator(chain_model()).candidate("conv3", methods.get("vh"))
    first = [candidate.macs(rank) for rank in candidate.ranks()]
    monkeypatch.setattr(type(candidate), "chain", None)
    assert [candidate.macs(rank) for rank in candidate.ranks()] == first and first[0] < first[-1]

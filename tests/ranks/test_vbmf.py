"""Ranks found by variational Bayes, and the factor that makes them fit."""
from dataclasses import replace

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import LayerSpec, SubConv, SubFC
from accnn.methods.evbmf import estimated_rank
from accnn.planning.accelerator import Accelerator
from networks import chain_model

MACS, RULE = costs.get("macs"), ranks.get("vbmf")


def _planted(shape, rank, noise, seed=0):
    rng = np.random.RandomState(seed)
    signal = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1])) / np.sqrt(max(rank, 1))
    return signal + noise * rng.standard_normal(shape)


@pytest.mark.parametrize("shape", [(50, 80), (64, 576), (576, 64), (100, 100)])
@pytest.mark.parametrize("rank, noise", [(5, 0.5), (20, 0.1), (20, 0.03), (12, 0.0)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_planted_rank_is_found_in_noise(shape, rank, noise, scale):
    values = np.linalg.svd(scale * _planted(shape, rank, noise), compute_uv=False)
    assert estimated_rank(values, shape) == rank


@pytest.mark.parametrize("shape", [(50, 80), (100, 900), (1, 30), (3, 3)])
def test_noise_alone_and_nothing_are_of_rank_one(shape):
    assert estimated_rank(np.linalg.svd(_planted(shape, 0, 1.0), compute_uv=False), shape) == 1
    assert estimated_rank(np.zeros(min(shape)), shape) == 1


def _spec(part):
    shape = (part.in_channels, 20, 20) if part.op == "Convolution" else (part.in_units,)
    return LayerSpec("layer", part, shape, "w", "b", part.op)


def _kernel(seed=0):
    """(48, 32, 3, 3) of multilinear rank (6, 10) in noise."""
    rng = np.random.RandomState(seed)
    core = rng.standard_normal((10, 6, 3, 3))
    signal = np.einsum("tsyx,nt,cs->ncyx", core, rng.standard_normal((48, 10)), rng.standard_normal((32, 6)))
    return (signal / signal.std() + 0.3 * rng.standard_normal(signal.shape)).astype(np.float32)


def test_methods_find_what_was_planted():
    weight, spec = _kernel(), _spec(SubConv("", 32, 48, (3, 3)))
    assert methods.get("tucker").decompose(weight, spec).estimated_rank() == (6, 10)
    assert methods.get("channel").decompose(weight, spec).estimated_rank() == 10
    # The unfolding of vh is (C kh, N kw): six combinations of inputs in each of three rows.
    assert methods.get("vh").decompose(weight, spec).estimated_rank() == 18
    matrix = _planted((40, 60), 7, 0.2)
    assert methods.get("fc-svd").decompose(matrix, _spec(SubFC("", 60, 40))).estimated_rank() == 7


def test_of_groups_the_one_that_needs_most_counts():
    groups = [_planted((24, 72), rank, 0.1, seed=rank).reshape(24, 8, 3, 3) for rank in (3, 6)]
    part = SubConv("", 16, 48, (3, 3), groups=2)
    assert methods.get("channel").decompose(np.concatenate(groups), _spec(part)).estimated_rank() == 6


def _problem(budget_ratio, align=1, layers=3):
    spec, tucker = _spec(SubConv("", 32, 48, (3, 3), pad=(1, 1))), methods.get("tucker")
    named = [replace(spec, name="conv%d" % i) for i in range(layers)]
    candidates = [ranks.Candidate(one, tucker, lambda i=i: _kernel(i)) for i, one in enumerate(named)]
    return ranks.Problem(candidates, layers * MACS.layer(spec) / budget_ratio, MACS, align)


def test_estimates_that_fit_are_taken_as_they_are():
    selection = RULE.select(_problem(2.0))
    assert [pick[1] for pick in selection.picks.values()] == [(6, 10)] * 3
    assert selection.objective == selection.bound == 1.0
    assert selection.cost == sum(MACS.chain(one.spec, one.chain(rank)) for one, rank in selection.picks.values())


def test_else_one_factor_makes_all_of_them_smaller_and_no_smaller_than_needed():
    problem = _problem(25.0)
    selection = RULE.select(problem)
    factor = selection.objective
    assert 0 < factor < 1 and selection.cost <= problem.budget
    assert [pick[1] for pick in selection.picks.values()] == [(round(6 * factor), round(10 * factor))] * 3
    tucker, spec = methods.get("tucker"), problem.candidates[0].spec
    affordable = [f for f in np.linspace(0.01, 1, 500) if 3 * MACS.chain(spec, tucker.chain(
        spec, tuple(max(round(k * f), 1) for k in (6, 10)))) <= problem.budget]
    assert factor >= max(affordable)


def test_aligned_ranks_are_multiples_and_what_has_none_is_left_alone():
    assert [pick[1] for pick in RULE.select(_problem(2.0, align=8)).picks.values()] == [(8, 8)] * 3
    plan = Accelerator(chain_model(widths=(8, 16, 24))).select_ranks(1.1, rank_selection="vbmf", method="tucker",
                                                                     align=4)
    rows = {row.layer: row for row in plan.rows}
    assert rows["conv1"].rank is None  # three channels hold no four
    assert all(k % 4 == 0 for row in plan.chosen() for k in row.rank)


def test_a_budget_below_rank_one_is_out_of_reach():
    with pytest.raises(TargetError, match="the best is"):
        Accelerator(chain_model()).select_ranks(500.0, rank_selection="vbmf", method="tucker")


def test_methods_without_estimates_are_refused():
    assert "estimates no ranks" in RULE.refuse(methods.get("3d")) and RULE.refuse(methods.get("vh")) is None
    with pytest.raises(AccnnError, match="btd estimates no ranks"):
        Accelerator(chain_model()).select_ranks(2.0, rank_selection="vbmf", method="btd")

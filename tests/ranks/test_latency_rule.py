"""Method and rank of every layer together: against every combination there is, whatever the cost counts in."""
from itertools import product

import numpy as np
import pytest

from accnn import costs, methods, ranks
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import macs
from accnn.core.threads import one_blas_thread
from accnn.costs import Cost
from accnn.latency.config import TimingConfig
from accnn.planning.accelerator import Accelerator
from accnn.planning.request import Request
from accnn.ranks.base import Unreachable
from accnn.ranks.curve import Curve, measured_ranks
from accnn.ranks.energy import log_energies
from networks import chain_model

RULE = ranks.get("latency")
CONVS, FCS = ("conv1", "conv2", "conv3"), ("fc1", "fc2")


class Choosy(Cost):
    """Milliseconds that only roughly grow with MACs: some ranks are fast, some slow, some slower than the layer.

    Parameters
    ----------
    seed : int
    every : int
        Which ranks are known.
    """

    name = "choosy"

    def __init__(self, seed=0, every=1):
        self._seed, self._every = seed, every

    def chain(self, spec, chain):
        """float: the same whenever asked."""
        seed = sum(map(ord, repr((spec.name, [part.weight_shape for part in chain])))) + 10007 * self._seed
        return (0.01 * len(chain) + macs(chain, spec.in_shape) / 1e6) * np.random.RandomState(seed).uniform(0.7, 1.5)

    def ranks(self, candidate, align):
        """list: a part of them."""
        return candidate.ranks(align)[::self._every]


class Responses:
    """Divergences without images."""

    def __init__(self, silent=()):
        self._silent = silent

    def curves(self, candidates):
        """dict of Curve, of those of which something is known."""
        found = {}
        for one in candidates:
            some = measured_ranks(one)
            if some and one.name not in self._silent:
                rng = np.random.RandomState(sum(map(ord, one.name + one.method.name)))
                found[one.name, one.method.name] = Curve(one, list(zip(some, np.geomspace(
                    rng.uniform(0.5, 2), rng.uniform(1e-4, 1e-3), len(some)))))
        return found


def problem_of(budget, cost, names=("vh", "channel"), responses=None, seed=0, **options):
    bench = Accelerator(chain_model(seed, widths=(6, 8, 10)))
    candidates = [bench.candidate(spec.name, methods.get(name)) for spec in bench.layers for name in names
                  if not methods.get(name).refuse(spec)]
    whole = sum(cost.layer(bench.specs[name]) for name in dict.fromkeys(one.name for one in candidates))
    return ranks.Problem(candidates, budget * whole, cost, responses=responses, **options)


def energy(candidate, rank):
    """float: the share of the squared norm that is kept, by a decomposition of NumPy's."""
    weight = candidate.weight().astype(np.float64)
    if candidate.method.name == "vh":
        weight = weight.transpose(1, 2, 0, 3).reshape(weight.shape[1] * weight.shape[2], -1)
    values = np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False) ** 2
    return values[:rank].sum() / values.sum()


def best(problem, value):
    """The largest sum of values in the budget, of all combinations of a method and a rank, or none, for each layer."""
    layers = {}
    for one in problem.candidates:
        options = layers.setdefault(one.name, [(problem.cost.layer(one.spec), 0.0)])
        options += [(problem.cost.chain(one.spec, one.chain(rank)), value(one, rank)) for rank in problem.ranks(one)]
    # What costs more and keeps less than another is never needed, and all combinations would be too many.
    for name, options in layers.items():
        layers[name] = [a for a in options if not any(b[0] <= a[0] and b[1] > a[1] for b in options)]
    return max((sum(value for _, value in some) for some in product(*layers.values())
                if sum(cost for cost, _ in some) <= problem.budget * (1 + 1e-12)), default=None)


def cost_of(problem, picks):
    specs = {one.name: one.spec for one in problem.candidates}
    return sum(problem.cost.chain(specs[name], pick[0].chain(pick[1])) if pick else problem.cost.layer(specs[name])
               for name, pick in picks.items())


# ---- the best of all combinations

@pytest.mark.parametrize("budget", [1.0, 0.8, 0.6, 0.45])
@pytest.mark.parametrize("names", [("vh",), ("channel",), ("vh", "channel")])
@pytest.mark.parametrize("seed", range(3))
def test_no_combination_keeps_more(budget, names, seed):
    problem = problem_of(budget, Choosy(seed), names, seed=seed)
    wanted = best(problem, lambda one, rank: np.log(energy(one, rank)))
    if wanted is None:
        with pytest.raises(Unreachable):
            RULE.select(problem)
        return
    chosen = RULE.select(problem)
    assert chosen.objective == pytest.approx(wanted, abs=1e-6) and chosen.bound - chosen.objective <= 1e-9
    assert chosen.cost == pytest.approx(cost_of(problem, chosen.picks)) and chosen.cost <= problem.budget * (1 + 1e-9)
    kept = sum(np.log(energy(*pick)) for pick in chosen.picks.values() if pick)
    assert kept == pytest.approx(chosen.objective, abs=1e-6)


def test_all_methods_may_be_chosen_for_a_layer():
    used = set()
    for seed in range(4):
        for budget in 0.8, 0.6, 0.5:
            chosen = RULE.select(problem_of(budget, Choosy(seed), ("vh", "channel", "3d", "fc-svd"), seed=seed))
            used |= {pick[0].method.name for pick in chosen.picks.values() if pick}
    assert {"vh", "channel"} <= used


def test_only_ranks_that_the_cost_knows_are_chosen():
    problem = problem_of(0.7, Choosy(1, every=3), ("vh", "channel"))
    chosen = RULE.select(problem)
    assert any(chosen.picks.values())
    for pick in filter(None, chosen.picks.values()):
        assert pick[1] in pick[0].ranks()[::3]
    assert chosen.objective == pytest.approx(best(problem, lambda one, rank: np.log(energy(one, rank))), abs=1e-6)


def test_chains_that_are_slower_than_the_layer_are_no_choice():
    problem = problem_of(1.0, Choosy(2))
    for one in problem.candidates:
        slower = [rank for rank in one.ranks() if problem.cost.chain(one.spec, one.chain(rank)) >= problem.cost.layer(
            one.spec)]
        assert slower or one.name != "conv1"
    assert not any(RULE.select(problem).picks.values())  # everything stays, which keeps the most


# ---- with images

@pytest.mark.parametrize("budget", [0.8, 0.6, 0.45])
@pytest.mark.parametrize("names", [("vh",), ("vh", "channel")])
@pytest.mark.parametrize("silent", [(), ("conv2",)])
def test_with_images_no_combination_diverges_less(budget, names, silent):
    problem = problem_of(budget, Choosy(3), names, Responses(silent))
    curves = problem.responses.curves(problem.candidates)

    def value(one, rank):
        curve = curves.get((one.name, one.method.name))
        return -curve.at(rank) if curve else -np.inf

    wanted = best(problem, value)
    if wanted in (None, -np.inf):
        with pytest.raises(Unreachable):
            RULE.select(problem)
        return
    chosen = RULE.select(problem)
    assert chosen.objective == pytest.approx(wanted, rel=1e-9)
    assert not any(chosen.picks[name] for name in silent)


def test_with_images_nothing_is_decomposed():
    problem = problem_of(0.7, Choosy(), responses=Responses())
    RULE.select(problem)
    assert not any(one.decomposed for one in problem.candidates)


# ---- energies

@pytest.mark.parametrize("name, layer", [("vh", "conv2"), ("channel", "conv3")])
def test_energies_of_methods_with_singular_values_are_exact(name, layer):
    bench = Accelerator(chain_model())
    candidate = bench.candidate(layer, methods.get(name))
    (found,) = log_energies([candidate], [[1, 3, 7]], bench.progress)
    np.testing.assert_allclose(found, [np.log(energy(candidate, rank)) for rank in (1, 3, 7)], atol=1e-6)


@pytest.mark.parametrize("name", ["3d", "tucker", "cp"])
def test_energies_of_others_are_interpolated(name):
    """Near what a decomposition at every rank says, and never falling with the MACs."""
    bench = Accelerator(chain_model(widths=(8, 12, 16)))
    candidate = bench.candidate("conv3", methods.get(name))
    spec = candidate.spec
    whole = macs((spec.part,), spec.in_shape)
    some = sorted((rank for rank in candidate.ranks() if 0.1 * whole < macs(candidate.chain(rank), spec.in_shape)
                   <= 0.6 * whole), key=lambda rank: macs(candidate.chain(rank), spec.in_shape))[::2]
    assert len(some) >= 3
    (found,) = log_energies([candidate], [some], bench.progress)
    with one_blas_thread():
        true = [np.log(candidate.decomposition.energy(rank)) for rank in some]
    assert (np.diff(found) >= -1e-12).all() and (np.array(found) < 0).all()
    np.testing.assert_allclose(found, true, atol=0.12)


def test_candidates_without_ranks_have_no_energies():
    bench = Accelerator(chain_model())
    one, other = (bench.candidate("conv2", methods.get(name)) for name in ("vh", "3d"))
    found = log_energies([one, other], [[], []], bench.progress)
    assert [len(some) for some in found] == [0, 0] and not one.decomposed and not other.decomposed


def test_energies_are_remembered_and_nothing_is_decomposed_again(tmp_path, monkeypatch):
    how = TimingConfig(cache=str(tmp_path))

    def plan():
        return Accelerator(chain_model(widths=(16, 24))).select_ranks(1.5, rank_selection="latency", cost="macs",
                                                                      measuring=how)

    first = plan()
    for name in ("vh", "channel", "3d"):
        monkeypatch.setattr(type(methods.get(name)), "decompose", None)
    second = plan()
    assert second.rows == first.rows and first.chosen() and second.made_by["objective"] == first.made_by["objective"]


# ---- as a rule among rules

def test_it_goes_with_its_cost_and_weighs_the_quick_methods():
    request, bench = Request(2.0, cost="latency"), Accelerator(chain_model())
    assert (request.rank_selection, request.fc, request.method) == ("latency", True, None)
    assert [[method.name for method in request.methods_for(bench.specs[name])] for name in ("conv2", "fc1")] == [
        ["vh", "channel", "3d"], ["fc-svd"]]
    assert Request(2.0, rank_selection="latency").cost == "latency"
    assert Request(2.0, cost="params").rank_selection == "dp-energy" and not Request(2.0, cost="params").fc


def test_all_methods_or_some_can_be_asked_for():
    bench = Accelerator(chain_model())
    request = Request(2.0, cost="latency", method="all")
    assert request.method == "all"
    for name in ("conv2", "fc1"):
        spec = bench.specs[name]
        found = [one.name for one in request.methods_for(spec)]
        assert sorted(found) == sorted(methods.names(spec.op)) and found[0] == methods.DEFAULT[spec.op]
    request = Request(2.0, cost="latency", method=["cp", "vh", "cp"])
    assert request.method == "cp,vh" and request.method_for(bench.specs["conv2"]).name == "cp"
    assert [one.name for one in request.methods_for(bench.specs["fc1"])] == ["fc-svd"]
    request = Request(2.0, rank_selection="sensitivity", method="all")
    assert {one.op for one in request.methods_for(bench.specs["conv2"])} == {"Convolution"}
    with pytest.raises(AccnnError, match="dp-energy does not choose among methods"):
        Request(2.0, cost="latency", rank_selection="dp-energy", method="vh,channel")


def test_it_counts_in_macs_too():
    bench = Accelerator(chain_model(widths=(16, 24)))
    plan = bench.select_ranks(2.0, rank_selection="latency", cost="macs")
    count = costs.get("macs")
    convs = [spec for spec in bench.layers if spec.op == "Convolution"]
    after = {row.layer: count.chain(bench.specs[row.layer], methods.get(row.method).chain(
        bench.specs[row.layer], row.rank)) for row in plan.chosen()}
    before = sum(map(count.layer, convs))
    reached = before / sum(after.get(spec.name, count.layer(spec)) for spec in convs)
    assert reached == pytest.approx(plan.made_by["reached"]) and reached >= 2 and "latency" not in plan.made_by
    with pytest.raises(TargetError, match="500x .macs, over all convolutions. cannot be reached"):
        bench.select_ranks(500.0, rank_selection="latency", cost="macs")

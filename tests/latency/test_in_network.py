"""What layers and chains take inside a network, over what they take alone; the machine is made of arithmetic."""
import pytest

from accnn.latency import in_network
from accnn.latency.config import TimingConfig
from accnn.planning.accelerator import Accelerator
from accnn.planning.planner import select_ranks
from accnn.planning.request import Request
from accnn.timing import machine
from accnn.timing.keys import parse
from clockwork import Clockwork
from networks import chain_model

SHAPES = {"data": (3, 16, 16)}
MODEL = chain_model(widths=(32, 48, 64), side=16)


def planned(ratio, cache=None, exported=None, best_effort=False, imported=None, **options):
    how = TimingConfig(threads=1, cache=cache and str(cache), exported=exported and str(exported),
                       best_effort=best_effort, imported=imported and str(imported))
    return select_ranks(Accelerator(MODEL, SHAPES), Request(ratio, cost="latency", measuring=how, **options))


class Choosy(Clockwork):
    """On which chains of two convolutions of height and width take another time in a network than alone."""

    factor = 0.8

    def _planned(self, alone, plan, batch_size):
        total = self.rest
        for name, time in alone.items():
            if name not in plan:
                total += time
                continue
            kernels = [getattr(part, "kernel", ()) for part in parse(plan[name])[1]]
            total += self.ms_of(plan[name], batch_size) * (self.factor if kernels == [(3, 1), (1, 3)] else 1)
        return total


@pytest.fixture
def choosy(monkeypatch):
    return Choosy(multiple=4, launch=0.005, rest=0.1, uncertainty=1e-4).patched(monkeypatch)


@pytest.mark.parametrize("factor", [0.8, 1.2, 1.5])
@pytest.mark.parametrize("ratio", [1.5, 2, 2.5])
def test_a_method_that_takes_another_time_inside_is_corrected_by_timing_plans(choosy, tmp_path, factor, ratio):
    choosy.factor = factor
    plan = planned(ratio, cache=tmp_path)
    assert 0.99 * ratio <= plan.made_by["reached"] <= 1.03 * ratio
    choosy.plans.clear()
    assert planned(ratio, cache=tmp_path).rows == plan.rows and {} not in choosy.plans and 1 <= len(choosy.plans) <= 6


def test_predictions_go_with_an_exported_table_to_another_machine(choosy, tmp_path, monkeypatch):
    there = planned(2, exported=tmp_path / "there.json")
    choosy.plans.clear()
    found = dict(machine.environment(), cpu="A Slide Rule")
    monkeypatch.setattr(machine, "environment", lambda: found)
    for ratio in 2, 3:
        plan = planned(ratio, imported=tmp_path / "there.json").made_by["latency"]
        assert choosy.plans == [] and plan["foreign"] and plan["rest"] == there.made_by["latency"]["rest"]
        assert plan["predicted"] == pytest.approx(ratio, rel=0.03)


@pytest.mark.parametrize("share, rest, layers, chains", [
    (0.5, 0.475, 1.05, 0.97), (0.9, 0.055, 1.05, 0.97), (0.98, 0.0, 1 / 0.98, 0.97), (1.3, 0.0, 1 / 1.3, 0.97 / 1.3)])
def test_layers_take_a_little_longer_and_chains_a_little_less(share, rest, layers, chains):
    found = in_network.factors(share)
    assert (found.rest, found.layers, found.chains) == pytest.approx((rest, layers, chains))
    assert found.rest + found.layers * share == pytest.approx(1)  # layers and the rest are the network


def test_where_nothing_is_planned_but_what_is_pinned_all_is_rest():
    found = in_network.factors(0)
    assert (found.rest, found.layers, found.chains) == (1, 1, 1)

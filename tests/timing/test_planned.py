"""Networks timed as they would be planned, before anything is decomposed."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import macs
from accnn.graph.cut import count_macs
from accnn.graph.specs import layer_specs
from accnn.timing import client, planned
from accnn.timing.clock import PairedSample, Sample
from accnn.timing.job import NetworksJob
from accnn.timing.keys import parse
from networks import chain_model, outputs, random_input, random_model, residual_net, saved

pytestmark = pytest.mark.alone

SHAPES = {"data": (3, 12, 12)}
PLAN = {"conv2": "8,12,12|conv 8-4 3x1 p1x0|conv 4-12 1x3 p0x1 b",
        "fc1": "576|conv 16-5 1x1 m16,6,6|conv 5-9 6x6|fc 9-16 b"}


def test_a_planned_network_does_the_work_of_its_plan():
    model = chain_model()
    before = {spec.name: spec for spec in layer_specs(model, SHAPES)}
    after = planned.planned(model, SHAPES, PLAN, np.random.RandomState(0))
    wanted = sum(macs(parse(PLAN[name])[1] if name in PLAN else (spec.part,), spec.in_shape)
                 for name, spec in before.items())
    assert count_macs(layer_specs(after, SHAPES)) == wanted
    assert after.symbol.list_outputs() == model.symbol.list_outputs()
    assert all(after.arg_params[name] is array for name, array in model.arg_params.items()
               if name.split("_")[0] not in PLAN)
    assert not after.weight("conv2_1_bias").any() and after.weight("conv2_0_weight").any()


def test_no_plan_is_the_network_itself():
    model = chain_model()
    assert planned.planned(model, SHAPES, {}, np.random.RandomState(0)).arg_params == model.arg_params


@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_random_numbers_stay_as_large_as_those_of_the_network(size):
    """Numbers that shrank from layer to layer would end as denormals, which take longer."""
    x, chain = mx.sym.Variable("data"), "16,9,9|conv 16-4 3x1 p1x0|conv 4-4 1x1|conv 4-16 1x3 p0x1"
    for i in range(6):
        x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=16, no_bias=True, name="c%d" % i)
    model = random_model(x, data=(16, 9, 9))
    for array in model.arg_params.values():
        array *= size
    after = planned.planned(model, {"data": (16, 9, 9)}, {"c%d" % i: chain for i in range(6)},
                            np.random.RandomState(0))
    data = random_input(4, 16, 9, 9)
    before, now = (np.std(outputs(network, data=data)[0]) for network in (model, after))
    assert 0.1 < now / before < 10


@pytest.mark.parametrize("plan, sentence", [({"conv9": "8,12,12|conv 8-12 1x1"}, "no layer 'conv9'")])
def test_a_plan_for_another_network(plan, sentence):
    with pytest.raises(AccnnError, match=sentence):
        planned.planned(chain_model(), SHAPES, plan, np.random.RandomState(0))


def beside(seconds, reference):
    return PairedSample(Sample(tuple(seconds)), Sample(tuple(reference)))


STEADY = beside([0.2] * 4, [0.001] * 4)


def test_what_is_answered():
    answer = planned._described([beside([0.3, 0.2, 0.4], [0.002, 0.001, 0.002]),
                                 beside([0.1, 0.1, 0.1], [0.002, 0.001, 0.002])])
    base, (plan,) = answer["baseline"], answer["plans"]
    assert answer["reference_ms"] == 2 and base["median_ms"] == 300 and plan["median_ms"] == 100
    assert base["relative"] == pytest.approx(200) and plan["relative"] == pytest.approx(50)
    assert plan["measured"]["median"] == pytest.approx(3) and plan["measured"]["rounds"] == 3
    assert plan["measured"]["quartiles"] == pytest.approx([2.5, 3.5])
    assert plan["measured"]["uncertainty"] == pytest.approx(0.93 / 3 / 3 ** 0.5)
    assert base["uncertainty"] == pytest.approx(0.93 * 25 / 200 / 3 ** 0.5) and base["rounds"] == 3


@pytest.mark.parametrize("results, known", [
    ([STEADY], True), ([STEADY, STEADY], True), ([STEADY, beside([0.1, 0.1, 0.15, 0.15], [0.001] * 4)], False),
    ([beside([0.1, 0.1, 0.2, 0.2], [0.001] * 4)], False),
    ([beside([0.1, 0.1, 0.2, 0.2], [0.001, 0.001, 0.002, 0.002])], True)])
def test_rounds_go_on_until_every_ratio_is_known(results, known):
    assert planned._unsure((), results) == ([] if known else list(range(len(results))))


def ratios_of(spread, rounds=30):
    """The network at 0.02 s, and a plan of half the time, whose ratios have so wide an interquartile range."""
    after = [0.01 * (1 + spread * (place / (rounds - 1) - 0.5) * 2) for place in range(rounds)]
    return [beside([0.02] * rounds, [0.001] * rounds), beside(after, [0.001] * rounds)]


@pytest.mark.parametrize("spread, limits, known", [
    (0.06, (1.94, 2.06), True), (0.06, None, False), (0.06, (1.98, 2.1), False),  # known to 1%
    (0.06, (2.2, 2.4), True), (0.06, (1.5, 1.7), True), (0.06, (1.9, 2.01), False),
    (0.09, (1.5, 2.5), False), (0.03, (1.99, 2.01), True)])
def test_a_plan_that_plainly_has_what_was_asked_for_or_has_not_is_timed_no_more(spread, limits, known):
    results = ratios_of(spread)
    assert planned._unsure([limits], results) == ([] if known else [0, 1])


def test_only_plans_that_are_uncertain_go_on_beside_the_network():
    (network, plain), (_, unsure) = ratios_of(0.06), ratios_of(0.09)
    assert planned._unsure([(1, 3), (1, 3), (1, 3)], [network, plain, unsure, plain]) == [0, 2]


@pytest.mark.parametrize("spread, seconds, known", [(0.01, 0.2, True), (0.02, 0.2, False), (0.02, 3.1, True),
                                                    (0.3, 3.1, False)])
def test_a_network_on_its_own_is_known_beside_the_reference(spread, seconds, known):
    """Not so well where it takes long."""
    result = beside([seconds] * 4, [0.001 * (1 + spread * sign) for sign in (-1, 1, -1, 1)])
    assert (not list(planned._unsure((), [result]))) == known


@pytest.mark.parametrize("spread, seconds, known", [(0.02, 0.2, False), (0.02, 3.0, True), (0.2, 3.0, False)])
def test_what_takes_long_is_not_known_so_well(spread, seconds, known):
    after = [seconds * (1 + spread * sign) for sign in (-1, 1, -1, 1)]
    results = [beside([seconds] * 4, [0.001] * 4), beside(after, [0.001] * 4)]
    assert (not list(planned._unsure((), results))) == known


def test_the_network_itself_is_not_the_first_that_runs(tmp_path, monkeypatch):
    """The first stays some percent slower, and would make every plan look faster than it is."""
    order, kept = [], planned._pass

    def told(job, stored, model, *rest):
        once = kept(job, stored, model, *rest)
        return lambda: order.append(len(model.arg_params)) or once()

    monkeypatch.setattr(planned, "_pass", told)
    prefix = saved(chain_model(), tmp_path / "net")
    found = planned.measure_plans(NetworksJob(prefix, 1, (("data", (3, 12, 12)),), (PLAN, {"conv2": PLAN["conv2"]}),
                                        rounds=1))
    own = len(chain_model().arg_params)
    assert order[2] == own and order[0] > own and order[1] > order[0]
    assert [plan["measured"]["median"] > 0 for plan in found["plans"]] == [True, True]


def test_a_process_times_networks_that_do_not_exist(tmp_path):
    prefix = saved(chain_model(side=24), tmp_path / "net")
    job = NetworksJob(prefix, 1, (("data", (3, 24, 24)),),
                      ({"conv2": PLAN["conv2"]}, {"conv3": "12,24,24|conv 12-256 3x3 p1x1|conv 256-16 3x3 p1x1 b"}),
                      threads=1, batch_size=2, rounds=4)
    answer = client.time_networks(job)
    base, (same, slower) = answer["baseline"], answer["plans"]
    # Short passes begin with up to three times the rounds asked for, and go on for up to five times as many.
    assert 4 <= same["measured"]["rounds"] <= base["rounds"] <= 4 * planned._MORE * planned._LONGEST
    assert slower["measured"]["median"] < 0.9 and slower["relative"] > base["relative"]
    # Medians of other rounds, which may differ by as much as the machine is busy: but not by a unit.
    assert 0.2 < base["relative"] / (base["median_ms"] / answer["reference_ms"]) < 5
    alone = client.time_networks(NetworksJob(prefix, rounds=2))
    assert alone["plans"] == [] and alone["baseline"]["relative"] > 0


def test_what_the_process_refuses_is_told(tmp_path):
    with pytest.raises(AccnnError, match="nowhere"):
        client.time_networks(NetworksJob(str(tmp_path / "nowhere")))


def test_a_plan_for_another_network_is_refused_before_anything_is_timed(tmp_path):
    prefix = saved(random_model(residual_net(), data=(3, 10, 10)), tmp_path / "net")
    with pytest.raises(AccnnError, match="no layer 'conv2'"):
        planned.measure_plans(NetworksJob(prefix, 1, (("data", (3, 10, 10)),), (PLAN,)))

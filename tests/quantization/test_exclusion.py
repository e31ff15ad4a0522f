"""Which layers stay in float32, on made-up contributions."""
import pytest

from accnn.quantization.exclusion import exclude


def network(own, coupling=1.0, calls=None):
    """An error whose squares add up, times `coupling` while anything is INT8."""
    def error(names):
        if calls is not None:
            calls.append(tuple(names))
        return coupling * sum(value ** 2 for name, value in own.items() if name not in names) ** 0.5
    return error


OWN = {"a": 0.001, "b": 0.2, "c": 0.01, "d": 0.05, "e": 0.002}


def test_as_few_as_the_limit_needs_with_reasons():
    kept, reached = exclude(list(OWN), network(OWN), 0.02)
    assert [one.layer for one in kept] == ["b", "d"] and reached <= 0.02
    assert kept[0].reason == "alone in INT8 it costs the outputs 20%"


def test_nothing_where_the_limit_is_met():
    calls = []
    assert exclude(list(OWN), network(OWN, calls=calls), 0.5) == ([], pytest.approx(0.206, rel=1e-2))
    assert calls == [()]


def test_more_where_contributions_do_not_add_up_and_back_where_they_need_not():
    own = dict(OWN, f=0.015, g=0.016)
    assert [one.layer for one in exclude(list(own), network(own), 0.02)[0]] == ["b", "d", "g"]
    coupled, reached = exclude(list(own), lambda names: 0.0 if "c" in names else network(own)(names), 0.02)
    assert [one.layer for one in coupled] == ["c"] or reached <= 0.02


def test_a_limit_out_of_reach_says_so():
    kept, reached = exclude(list(OWN), lambda names: 0.3, 0.02)
    assert len(kept) == len(OWN) and reached == 0.3


def test_the_number_of_runs_is_bounded():
    own, calls = {"layer%d" % i: 0.01 + 0.001 * i for i in range(40)}, []
    kept, reached = exclude(list(own), network(own, calls=calls), 0.05)
    assert reached <= 0.05 and len(calls) <= 2 * len(own) + 20

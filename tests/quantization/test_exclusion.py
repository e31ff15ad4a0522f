"""Which layers stay in float32, on made-up contributions."""
import numpy as np
import pytest

from accnn.quantization.exclusion import exclude


def network(own, calls=None):
    """Errors of outputs whose squares add up; `own`: by layer of one output, or of several."""
    own = {name: np.atleast_1d(value) for name, value in own.items()}
    outputs = len(next(iter(own.values())))

    def errors(names):
        if calls is not None:
            calls.append(tuple(names))
        left = [own[name] ** 2 for name in own if name not in names] or [np.zeros(outputs)]
        return {"out%d" % place: float(value) for place, value in enumerate(np.sqrt(np.sum(left, axis=0)))}
    return errors


OWN = {"a": 0.001, "b": 0.2, "c": 0.01, "d": 0.05, "e": 0.002}


def test_as_few_as_the_limit_needs_with_reasons():
    kept, reached = exclude(list(OWN), network(OWN), 0.02)
    assert [one.layer for one in kept] == ["b", "d"] and reached <= 0.02
    assert kept[0].reason == "alone in INT8 it costs the outputs up to 20%"


def test_nothing_where_the_limit_is_met():
    calls = []
    assert exclude(list(OWN), network(OWN, calls), 0.5) == ([], pytest.approx(0.206, rel=1e-2))
    assert calls == [()]


def test_as_few_as_all_outputs_need_together():
    """In front of both outputs 'trunk' costs less than two layers behind it do, but mends both."""
    own = {"boxes": (0.021, 0.0), "trunk": (0.019, 0.019), "scores": (0.0, 0.0195), "small": (0.001, 0.001)}
    kept, reached = exclude(list(own), network(own), 0.022)
    assert [one.layer for one in kept] == ["trunk"] and reached <= 0.022
    assert kept[0].reason == "alone in INT8 it costs the output 'out0' up to 1.9%"
    both, _ = exclude(list(own), network(own), 0.0195)
    assert {one.layer for one in both} == {"boxes", "scores"}


def test_more_where_contributions_do_not_add_up_and_back_where_they_need_not():
    own = dict(OWN, f=0.015, g=0.016)
    assert [one.layer for one in exclude(list(own), network(own), 0.02)[0]] == ["b", "d", "g"]
    plain = network(own)
    coupled, reached = exclude(list(own), lambda names: {"x": 0.0} if "c" in names else {
        "x": max(plain(names).values())}, 0.02)
    assert reached <= 0.02 and "c" in [one.layer for one in coupled] or len(coupled) == 3
    doubled, reached = exclude(list(own), lambda names: {"x": 2 * max(plain(names).values())}, 0.02)
    assert reached <= 0.02 and len(doubled) > 3


def test_a_layer_that_alone_is_off_by_more_is_not_put_back():
    calls = []
    exclude(list(OWN), network(OWN, calls), 0.02)
    assert ("b",) not in calls and ("d",) not in calls


def test_a_limit_out_of_reach_says_so():
    kept, reached = exclude(list(OWN), lambda names: {"x": 0.3}, 0.02)
    assert len(kept) == len(OWN) and reached == 0.3


def test_nan_is_beyond_any_limit():
    kept, reached = exclude(["a", "b"], lambda names: {"x": 0.01 if "b" in names else float("nan")}, 0.02)
    assert [one.layer for one in kept] == ["b"] and reached == 0.01


def test_the_number_of_runs_is_bounded():
    own, calls = {"layer%d" % i: 0.01 + 0.001 * i for i in range(40)}, []
    kept, reached = exclude(list(own), network(own, calls), 0.05)
    assert reached <= 0.05 and len(calls) <= 2 * len(own) + 20

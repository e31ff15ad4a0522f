"""Thresholds chosen by the outputs, on a made-up network."""
import numpy as np

from accnn.quantization import thresholds
from accnn.quantization.choice import SEARCHED, choose, ranges
from accnn.quantization.thresholds import Histogram

TAILS = {name: Histogram.of(np.random.RandomState(seed).standard_t(2, 20000) ** power)
         for seed, (name, power) in enumerate([("signed", 1), ("squares", 2), ("other", 2)])}


def test_ranges_have_the_sign_of_their_tensor():
    found = ranges(TAILS, "percentile")
    low, high = found["signed"]
    assert low == -high < 0 and found["squares"][0] == 0 < found["squares"][1]


def test_every_tensor_gets_what_the_outputs_like():
    """Outputs that want the whole range of one tensor, and the least squares of the others."""
    naive, mse = ranges(TAILS, "naive"), ranges(TAILS, "mse")
    wanted = {"signed": naive["signed"][1], "squares": mse["squares"][1], "other": 0.75 * mse["other"][1]}

    def judge(tried):
        return 0.01 + sum(abs(np.log(tried[name][1] / value)) for name, value in wanted.items())

    found, chosen = choose(TAILS, judge)
    np.testing.assert_allclose([found[name][1] for name in wanted], list(wanted.values()), rtol=0.05)
    assert chosen ["signed"] == "naive" and chosen["other"] == SEARCHED


def test_it_stops_after_so_many_trials():
    calls = []

    def judge(tried):
        calls.append(tried)
        return 1.0

    choose(TAILS, judge, trials=2)
    assert len(calls) == len(thresholds.names()) + 2

"""python tests/benchmarks/told_ratios.py

What plans tell of their ratio over all convolutions, and what a count of all operators that convolve says, from MXNet's
inferred shapes: the networks and the count of tests/graph/test_convolving.py. Each is asked for 2x, or for as much as
it can be.
"""
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(os.path.dirname(TESTS), "tools"), TESTS, os.path.join(TESTS, "graph")]

from test_convolving import NETWORKS, count, opened

from accnn.core.errors import AccnnError
from accnn.report import plan as report


def line(name):
    """str: the row of a network."""
    bench, shape, _, _ = opened(name)
    for ratio in (2.0, 1.5, 1.2):
        try:
            plan = bench.select_ranks(ratio, method="vh", rank_selection="profit")
        except AccnnError as error:
            said = str(error)
            continue
        told = report.summary(bench, plan)["convolutions"]["ratio"]
        counted = count(bench.model, data=shape) / count(bench.accelerate(plan), data=shape)
        return "%-11s asked %.1fx  told %.3fx  counted %.3fx" % (name, ratio, told, counted)
    return "%-11s %s" % (name, said)


if __name__ == "__main__":
    for network in NETWORKS:
        print(line(network))

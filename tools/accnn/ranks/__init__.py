"""Rank rules. To add one: write a file on the contract of ``base.py`` and import it here."""
from accnn.ranks import dp, greedy, latency, profit, sensitivity, uniform, vbmf  # noqa: F401  (importing registers them)
from accnn.ranks.base import MARGIN, Candidate, Problem, RankRule, Selection, Unreachable, get, names, register

DEFAULTS = ("dp-energy", "profit")  # the latter weighs every method

__all__ = ["DEFAULTS", "MARGIN", "Candidate", "Problem", "RankRule", "Selection", "Unreachable", "get", "names",
           "register"]

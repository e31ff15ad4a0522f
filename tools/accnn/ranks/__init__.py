"""Rank rules, one a file. To add one: write the file on the contract of ``base.py`` and import it here."""
from accnn.ranks.base import Candidate, RankRule, Selection, Unreachable, get, names, register
from accnn.ranks.dp import original_ranks

DEFAULT = "dp-energy"

__all__ = ["DEFAULT", "Candidate", "RankRule", "Selection", "Unreachable", "get", "names", "original_ranks", "register"]

"""What a chain costs, one kind a file. To add one: write the file on the contract of ``base.py`` and import it here."""
from accnn.costs import macs, original, params  # noqa: F401  (importing registers them)
from accnn.costs.base import Cost, get, names, register

__all__ = ["Cost", "get", "names", "register"]

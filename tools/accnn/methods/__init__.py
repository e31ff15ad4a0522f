"""Decompositions, one a file. To add one: write the file on the contract of ``base.py`` and import it here."""
from accnn.methods import btd, channel, cp, fc_svd, fc_tucker, three_d, tucker, vh  # noqa: F401  (importing registers them)
from accnn.methods.base import Decomposition, Effort, Method, get, names, register

DEFAULT = {"Convolution": "vh", "FullyConnected": "fc-svd"}

__all__ = ["DEFAULT", "Decomposition", "Effort", "Method", "get", "names", "register"]

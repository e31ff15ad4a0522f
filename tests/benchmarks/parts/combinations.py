"""The rows of the tables of reconstruction.py, and which of two should be better."""
from dataclasses import dataclass

from accnn import methods
from accnn.core.errors import AccnnError
from accnn.planning.request import matches
from accnn.reconstruction import DATA_FREE, LINEAR, NETWORK, NONLINEAR, RESPONSES, SOLVERS

ALL_METHODS = "All methods"  # what --all-methods takes alone


@dataclass(frozen=True)
class Combination:
    """A row of a table.

    Attributes
    ----------
    method, rule : str
        See :mod:`accnn.methods` and :mod:`accnn.ranks`.
    solver : {'linear', 'nonlinear'} or None
        None: the factors that need no images; then the other attributes mean nothing.
    symmetric : bool
    metric : {'responses', 'network'}
        See :class:`accnn.reconstruction.calibration.ReconstructionConfig`.
    """

    method: str
    rule: str
    solver: object = None
    symmetric: bool = False
    metric: str = RESPONSES

    def cells(self):
        """tuple of str: how a table says it."""
        if self.solver is None:
            return self.method, self.rule, DATA_FREE, "", ""
        return self.method, self.rule, self.solver, "symmetric" if self.symmetric else "asymmetric", self.metric

    @property
    def name(self):
        """str: what ``--only`` matches."""
        return " ".join(filter(None, self.cells()))


def _crossed(rule, metrics):
    """Every method with every solver under some metrics."""
    return [Combination(method, rule, solver, metric=metric) for method in ("vh", "channel", "3d")
            for solver in SOLVERS for metric in metrics]


SECTIONS = (
    ("Tables 2 and 6: with and without rank selection (the first convolution left alone)",
     [Combination("channel", rule, solver) for solver in SOLVERS for rule in ("uniform", "greedy")]),
    ("Figure 5: symmetric against asymmetric",
     [Combination("channel", "greedy", solver, symmetric) for solver in SOLVERS for symmetric in (True, False)] +
     [Combination("vh", "sensitivity", LINEAR, symmetric, NETWORK) for symmetric in (True, False)]),
    ("Table 7: Jaderberg et al. (vh by filter reconstruction, data-free), asymmetric, asymmetric (3d)",
     [Combination("vh", "uniform"), Combination("vh", "dp"), Combination("channel", "greedy", NONLINEAR),
      Combination("3d", "greedy", NONLINEAR)]),
    ("Beyond: energies of kernels (accnn's default) and measured sensitivity",
     [Combination("vh", "dp-energy")] + [Combination(method, "dp-energy", LINEAR, metric=NETWORK)
                                         for method in ("vh", "channel", "3d")] +
     [Combination("vh", "sensitivity")] + _crossed("sensitivity", (RESPONSES, NETWORK))),
    (ALL_METHODS, [Combination(method, "sensitivity", LINEAR, metric=NETWORK)
                   for method in methods.names("Convolution")]),
)

# What is claimed, the attribute in which two rows differ, the better and the worse.
ORDERINGS = (
    ("the paper", "asymmetric >= symmetric", "symmetric", False, True),
    ("the paper", "rank selection >= uniform", "rule", "greedy", "uniform"),
    ("the paper", "3d >= channel at high ratios", "method", "3d", "channel"),
    ("the paper", "nonlinear >= linear", "solver", NONLINEAR, LINEAR),
    ("beyond", "metric network >= responses", "metric", NETWORK, RESPONSES),
    ("beyond", "sensitivity >= greedy", "rule", "sensitivity", "greedy"),
    ("beyond", "sensitivity >= dp-energy", "rule", "sensitivity", "dp-energy"),
)


def wanted(patterns, all_methods=False):
    """list of Combination: every one once, in the order of the tables; those of one table only for `all_methods`."""
    everything = list(dict.fromkeys(one for title, some in SECTIONS for one in some
                                    if title == ALL_METHODS or not all_methods))
    some = [one for one in everything if matches(one.name, patterns or ["*"])]
    if not some:
        raise AccnnError("no row matches --only %s: there are %s"
                         % (" ".join(patterns), ", ".join(one.name for one in everything)))
    return some

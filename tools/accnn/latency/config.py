"""How latency is measured, and where the latency cache lies."""
import os
from dataclasses import dataclass
from typing import Optional

from accnn import engines
from accnn.core.errors import AccnnError

RATIO_OVER = engines.DEFAULT, "engine"


def cache_folder():
    """str: the default folder of the latency cache and of the cache of energies."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "accnn")


@dataclass(frozen=True)
class TimingConfig:
    """How milliseconds are measured, cached, imported and exported.

    Attributes
    ----------
    batch_size : int
        Images in one pass.
    threads : int, optional
        That MXNet computes in; default: one for each core this process may use.
    repeats : int
        Timed rounds of a whole network; more while the times are noisy.
    cache : str, optional
        Folder in which latencies and energies are kept between runs; None: nothing is.
    imported : str, optional
        File of latencies, of this machine or another, see :class:`accnn.latency.table.LatencyTable`.
    exported : str, optional
        File to which the latencies that a plan was made with are written.
    gpus : str, optional
        As in '0,1'; None: the CPU.
    keep : bool
        Write what was measured into the cache; False: only read it.
    best_effort : bool
        Where no plan is as fast as asked for, take the fastest.
    amx : bool
        MXNet with the AMX units; a table that was imported says itself whether it was measured with them.
    engine : str
        What runs the network, see :func:`accnn.engines.names`.
    ratio_over : {'mxnet', 'engine'}
        What a speed-up is over: the original in MXNet, in float32; or the original in the engine and the precision of
        the plan.

    Raises
    ------
    AccnnError
        A number is too small, or a name not known.
    """

    batch_size: int = 1
    threads: Optional[int] = None
    repeats: int = 10
    cache: Optional[str] = None
    imported: Optional[str] = None
    exported: Optional[str] = None
    gpus: Optional[str] = None
    keep: bool = True
    best_effort: bool = False
    amx: bool = False
    engine: str = engines.DEFAULT
    ratio_over: str = RATIO_OVER[0]

    @property
    def is_over_mxnet(self):
        """bool: whether ratios are over the original in MXNet, in float32."""
        return self.ratio_over == RATIO_OVER[0]

    def __post_init__(self):
        engines.get(self.engine)
        if self.ratio_over not in RATIO_OVER:
            raise AccnnError("`ratio_over=%s`: choose from %s" % (self.ratio_over, ", ".join(RATIO_OVER)))
        if not self.is_over_mxnet and self.engine == engines.DEFAULT:
            raise AccnnError("`ratio_over=%s` is for other engines than %s: give `engine`"
                             % (self.ratio_over, engines.DEFAULT))
        for setting, number in (("batch_size", self.batch_size), ("repeats", self.repeats),
                                ("threads", 1 if self.threads is None else self.threads)):
            if number < 1:
                raise AccnnError("`%s=%s` makes no sense: it is 1 or more" % (setting, number))

"""How latency is measured, and where the latency cache lies."""
import os
from dataclasses import dataclass
from typing import Optional

from accnn.core.errors import AccnnError


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

    Raises
    ------
    AccnnError
        A number is too small.
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

    def __post_init__(self):
        for setting, number in (("batch_size", self.batch_size), ("repeats", self.repeats),
                                ("threads", 1 if self.threads is None else self.threads)):
            if number < 1:
                raise AccnnError("`%s=%s` makes no sense: it is 1 or more" % (setting, number))

"""One job of several workers, by MXNet's own kvstore: sums over workers, and an end when one of them dies."""
import contextlib
import ctypes
import os
import threading
import time

import numpy as np

from accnn.core.compat import import_mxnet, mx
from accnn.core.errors import AccnnError
from accnn.core.progress import say

STORES = ("local", "device", "dist_sync", "dist_device_sync")
_NEEDED = ("DMLC_ROLE", "DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")
_BASE_BITS, _DIGITS = 12, 5   # integers travel in digits that float32 adds without rounding for 4096 workers
FIRST_PATIENCE = 600.0        # seconds for a step before any was seen: reading data, binding, the slowest start
LEAST_PATIENCE = 60.0
_PATIENCE = 5.0               # steps; the others of a job wait as long as its slowest worker takes


def serve_if_asked():
    """In a process that the launcher made a server or the scheduler: be that, and end with it."""
    if os.environ.get("DMLC_ROLE") in ("server", "scheduler"):
        import_mxnet()  # does not return in this role
        raise SystemExit(0)


@contextlib.contextmanager
def open_job(store="local", timeout=None):
    """Yield the job that this process works for.

    Parameters
    ----------
    store : str
        One of :data:`STORES`.
    timeout : float, optional
        Seconds after which a worker that does not advance ends itself. Default: five times its longest step, at
        least a minute, and ten minutes for the first.

    Yields
    ------
    Job

    Raises
    ------
    AccnnError
        A distributed store was asked for in a process that no launcher started, or `timeout` is no time.
    """
    if timeout is not None and not 0 < timeout < float("inf"):
        raise AccnnError("`timeout` must be above 0")
    # Workers, and several devices of one, apply the summed gradients themselves: the optimizer's state can then be
    # saved and resumed.
    os.environ["MXNET_UPDATE_ON_KVSTORE"] = "0"
    if not store.startswith("dist"):
        yield Job(store)
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise AccnnError("`store=%s` needs a launcher, which sets %s: start with `accnn.launch`"
                         % (store, ", ".join(missing)))
    job = DistributedJob(store, timeout)
    try:
        yield job
    except BaseException:
        job.leave()
        raise
    job.close()


class Job:
    """A job of one process.

    Attributes
    ----------
    store : str or mx.kvstore.KVStore
        What ``Module.init_optimizer(kvstore=...)`` takes.
    rank, workers : int
        Which worker this is, of how many.
    """

    rank, workers = 0, 1

    def __init__(self, store="local"):
        self.store = store

    @property
    def leads(self):
        """bool: this worker saves and reports."""
        return self.rank == 0

    def sum(self, array):
        """Return the sum over workers of an ndarray of integers from 0 to 2^60 (exact) or floats (to float32)."""
        return array

    def total(self, number):
        """Return the sum over workers of an int (exact) or a float (to float32)."""
        return np.asarray(self.sum(np.asarray([number]))).item()

    def advanced(self):
        """Say that a step is done: a worker that says it no more is given up."""

    def barrier(self):
        """Wait until every worker is here."""


class DistributedJob(Job):
    """A worker among several, started by a launcher; see :func:`open_job`."""

    def __init__(self, store, timeout=None):
        import_mxnet()  # so that this is no part of the time that others are waited for
        self._watch = _Watch(timeout)
        super().__init__(mx.kv.create(store))
        self.rank, self.workers = self.store.rank, self.store.num_workers
        self._watch.rank = self.rank
        self._known = set()

    def sum(self, array):  # noqa: D102  (as in Job)
        array = np.asarray(array)
        if np.issubdtype(array.dtype, np.integer):
            digits = [(array >> (_BASE_BITS * i)) & ((1 << _BASE_BITS) - 1) for i in range(_DIGITS)]
            sums = self._sum(np.stack(digits)).astype(np.int64)
            return sum(part << (_BASE_BITS * i) for i, part in enumerate(sums)).astype(array.dtype)
        return self._sum(array).astype(array.dtype)

    def advanced(self):  # noqa: D102
        self._watch.step()

    def barrier(self):  # noqa: D102
        self.sum(np.zeros(1))

    def leave(self):
        """Go without waiting for the others, as they may wait for this one."""
        self._watch.stop()
        mx.base._LIB.MXKVStoreSetBarrierBeforeExit(self.store.handle, ctypes.c_int(0))

    def close(self):
        """Wait for the others, and stop watching."""
        self.barrier()
        self._watch.stop()

    def _sum(self, array):
        key = "sum of " + "x".join(map(str, array.shape))
        mine = mx.nd.array(array.astype(np.float32))
        if key not in self._known:
            self.store.init(key, mx.nd.zeros_like(mine))
            self._known.add(key)
        self.store.push(key, mine)
        self.store.pull(key, mine)
        total = mine.asnumpy()
        self._watch.step()
        return total


class _Watch:
    """Ends this process when it stands still: MXNet's kvstore waits for a dead worker for ever."""

    def __init__(self, timeout):
        self.rank, self._timeout = None, timeout
        self._longest, self._last = None, time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def step(self):
        now = time.monotonic()
        self._longest = max(self._longest or 0.0, now - self._last)
        self._last = now

    def stop(self):
        self._stopped.set()

    def _limit(self):
        if self._timeout is not None:
            return self._timeout
        return FIRST_PATIENCE if self._longest is None else max(LEAST_PATIENCE, _PATIENCE * self._longest)

    def _run(self):
        while not self._stopped.wait(0.5):
            waited = time.monotonic() - self._last
            if waited > self._limit():
                who = "a worker" if self.rank is None else "worker %d" % self.rank
                say("error: %s waited %.0f s for the others, so one of them or the server died or is unreachable: look "
                    "at their output, then start the job again with `resume`" % (who, waited))
                os._exit(1)

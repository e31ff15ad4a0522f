"""How many threads linear algebra may use, and several pieces of it at a time."""
import os
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

from accnn.core.machine import cores

_MOST = 8  # at a time, each of which may take some 0.3 GB for a layer of VGG-16


def one_blas_thread():
    """Return a context in which NumPy and SciPy compute in one thread.

    A second thread gains little for the eigenvectors of one layer, and OpenBLAS's threads wait for each other
    spinning: beside another busy process two are several times slower than one.
    """
    return threadpool_limits(limits=1, user_api="blas")


def side_by_side(work, items, tell=None):
    """Call ``work(item)`` for all items, as many at a time as there are cores; NumPy's products run beside each other.

    Parameters
    ----------
    work : callable
    items : sequence
    tell : callable, optional
        Called with (number done, item), from the calling thread.

    Returns
    -------
    list
        What ``work`` returned, in the order of `items`.
    """
    made = []
    if len(items) == 1:  # a thread for it would take longer than many a product
        if tell:
            tell(0, items[0])
        return [work(items[0])]
    with ThreadPoolExecutor(max(1, min(threads_wanted(), _MOST, len(items)))) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            for done, (item, future) in enumerate(zip(items, running)):
                if tell:
                    tell(done, item)
                made.append(future.result())
        except BaseException:  # an interrupt too: what has not begun is not to begin
            for future in running:
                future.cancel()
            raise
    return made


def threads_wanted():
    """int: cores that this process may use, or fewer where OMP_NUM_THREADS says so."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(said)) if said.isdigit() and int(said) else cores()

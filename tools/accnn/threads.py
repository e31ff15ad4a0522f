"""How many threads linear algebra may use."""
from threadpoolctl import threadpool_limits


def one_blas_thread():
    """Return a context in which NumPy and SciPy compute in one thread.

    A second thread gains little for the eigenvectors of one layer, and OpenBLAS's threads wait for each other
    spinning: beside another busy process two are several times slower than one.
    """
    return threadpool_limits(limits=1, user_api="blas")

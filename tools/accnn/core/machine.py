"""What this process may use of the machine."""
import contextlib
import ctypes
import os


def cores():
    """int: processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give_back():
    """Return to the system what this process has freed; the C library keeps some of it, more after many threads."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)

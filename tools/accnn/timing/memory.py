"""What chains need in memory, and what the machine has. No MXNet."""
import contextlib
import ctypes
import os
from math import prod

from accnn.layers import walk
from accnn.spelling import parse


def bytes_of(text, batch_size):
    """int: of the weights of a chain, given as its key, and of what goes in, through and out."""
    place, chain = parse(text)
    shapes = [place.in_shape] + [part.out_shape(shape) for part, shape in walk(chain, place.in_shape)]
    return 4 * (sum(prod(part.weight_shape) for part in chain) +
                batch_size * place.repeats * sum(abs(prod(shape)) for shape in shapes))


def machine_bytes():
    """int: of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_size(size):
    """Refuse what the machine cannot hold: the system would not, but end the process in the middle.

    Raises
    ------
    MemoryError
    """
    if size > machine_bytes():
        raise MemoryError("%.1f GB are needed, and the machine has %.1f GB" % (size / 1e9, machine_bytes() / 1e9))


def give_back():
    """Return to the system what this process has freed; the C library keeps some of it, more after many threads."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)

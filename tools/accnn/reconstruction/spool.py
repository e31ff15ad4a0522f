"""Rows of numbers that are too many for the memory, kept in a file."""
import os
from math import prod

import numpy as np

from accnn.core.files import full_disk_as_sentence


class Samples:
    """Rows of float32 in a file, appended once and read as often as wanted.

    Written and read as ordinary files are: on a full disk a memory map ends the process, this raises OSError.

    Parameters
    ----------
    path : str
        Made anew; whoever owns the folder removes it.
    shape : tuple of int
        Of one row.

    Attributes
    ----------
    rows : int
        How many there are.
    """

    def __init__(self, path, shape):
        self.path, self.shape, self.rows = path, tuple(shape), 0
        with open(path, "wb"):
            pass

    def append(self, array):
        """Add the rows of an array of shape (rows, *shape)."""
        array = np.ascontiguousarray(array, np.float32)
        if array.shape[1:] != self.shape:
            raise ValueError("rows of the shape %s, not %s" % (array.shape[1:], self.shape))
        # No file stays open, so that any number of layers can be sampled together.
        with full_disk_as_sentence(self.path), open(self.path, "ab") as handle:
            handle.write(array.data)
        self.rows += len(array)

    def blocks(self, size=4096, most=None):
        """Yield all rows in order, or the first `most`, as arrays of up to `size` of them."""
        rows = self.rows if most is None else min(most, self.rows)
        with open(self.path, "rb") as handle:
            for first in range(0, rows, size):
                yield self._read(handle, min(size, rows - first))

    def array(self):
        """ndarray: all rows at once."""
        with open(self.path, "rb") as handle:
            return self._read(handle, self.rows)

    def remove(self):
        """Give the room on the disk back; nothing can be read afterwards."""
        os.unlink(self.path)

    def _read(self, handle, rows):
        count = rows * prod(self.shape)
        found = np.fromfile(handle, np.float32, count)
        if len(found) != count:
            raise OSError(None, "it was cut short while it was in use", self.path)
        return found.reshape((rows,) + self.shape)

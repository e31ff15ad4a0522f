"""Bases of singular vectors of large matrices, kept between runs: that of one layer may take half a minute."""
import hashlib
import os
import zipfile

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import written_whole
from accnn.core.progress import say

FOLDER = "bases"  # in the folder of the cache
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Bases:
    """A folder with a file for each matrix; see :func:`accnn.methods.svd.bases_kept`.

    Parameters
    ----------
    folder : str
        Made where something is kept for the first time.
    keep : bool
        False: what is there is only read.
    """

    def __init__(self, folder, keep=True):
        self._folder, self._keep, self._is_told = os.path.join(folder, FOLDER), keep, False

    def read(self, matrix):
        """(values, basis): ndarrays of float64 of shape (n,) and of float32 of shape (n, n); None where not known.

        A file that is damaged counts as none, and is written anew.
        """
        size, path = min(matrix.shape), self._path(matrix)
        if not os.path.isfile(path):
            return None
        try:
            with np.load(path, allow_pickle=False) as found:
                values, basis = found["values"], found["basis"]
        except _DAMAGED:
            return None
        sound = values.shape == (size,) and basis.shape == (size, size) and np.isfinite(values).all()
        return (values, basis) if sound and basis.dtype == np.float32 else None

    def write(self, matrix, values, basis):
        """Keep values and basis; where that fails it is said, once, and is no error."""
        if not self._keep:
            return
        try:
            os.makedirs(self._folder, exist_ok=True)
            with written_whole(self._path(matrix)) as temporary, open(temporary, "wb") as handle:
                np.savez(handle, values=values, basis=basis)
        except (OSError, AccnnError) as error:
            if not self._is_told:
                say("%s: the next run has to decompose large layers again" % error)
            self._is_told = True

    def _path(self, matrix):
        mark = hashlib.blake2b(("%s %s" % (matrix.dtype.str, matrix.shape)).encode(), digest_size=16)
        mark.update(np.ascontiguousarray(matrix).reshape(-1).view(np.uint8))
        return os.path.join(self._folder, mark.hexdigest() + ".npz")

"""Parameters left in their file and read there when they are needed: they take memory only while they are read."""
import contextlib
import mmap
import threading
from dataclasses import replace

import numpy as np

from accnn.core.compat import mx
from accnn.graph.checkpoint import params_path
from accnn.graph.params_file import places

_LARGE = 1 << 14  # numbers, from which an array is worth it
_EVERY = 0.01  # seconds


class StoredModel:
    """A model whose large arrays lie in its file, mapped into memory.

    Parameters
    ----------
    loaded : Model
        As :func:`accnn.graph.checkpoint.load_model` gives it: found to be sound.

    Attributes
    ----------
    model : Model
        With the same numbers.
    """

    def __init__(self, loaded):
        path = params_path(loaded.prefix, loaded.epoch)
        with open(path, "rb") as handle:
            self._pages = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
        where = places(path)
        self.model = replace(loaded, arg_params={
            name: self._mapped(array, where.get("arg:" + name)) for name, array in loaded.arg_params.items()})

    def _mapped(self, array, place):
        """The array in the file, where it has the same form there; else as it was loaded."""
        start, shape = place or (0, None)
        if shape != tuple(array.shape) or array.dtype != np.float32 or array.size < _LARGE or start % 4:
            return array
        numbers = np.frombuffer(self._pages, np.float32, array.size, start).reshape(shape)
        return mx.nd.from_numpy(numbers, zero_copy=True)

    def release(self):
        """Give back the memory of what was read; reading it again takes it from the file once more."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def released(stored):
    """Give back, all the time and in the end, the memory of what is read from the files of StoredModels."""
    over = threading.Event()

    def releasing():
        going_on = True
        while going_on:
            going_on = not over.wait(_EVERY)
            for one in stored:
                one.release()

    thread = threading.Thread(target=releasing, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

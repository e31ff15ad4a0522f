"""What engines have in common that read ONNX."""
import contextlib
from abc import abstractmethod

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import BF16, FP32
from accnn.core.threads import threads_wanted
from accnn.engines.base import Engine, Network
from accnn.engines.mxnet import lacking_ranges
from accnn.exporting.convert import convert
from accnn.exporting.exporter import OPSET
from accnn.exporting.temporary import onnx_file
from accnn.graph.precision import in_full_precision, in_single_precision
from accnn.quantization.conversion import precision_of


class OnnxEngine(Engine):
    """An engine that is given a network as an ONNX file."""

    def check_network(self, model, input_shapes):  # noqa: D102  (as in Engine)
        convert(in_single_precision(in_full_precision(model)), input_shapes, OPSET)

    def load(self, model, input_shapes, batch_size, threads=None, precision=FP32,  # noqa: D102  (as in Engine)
             calibration=None, profiled=False):
        stored = precision_of(model)
        self.check(precision, stored)
        if stored not in (FP32, precision) or stored == BF16:
            raise AccnnError("%s is %s and cannot be run by %s: give the float32 checkpoint it was made from"
                             % (model.prefix, stored, self.name))
        with onnx_file(model, input_shapes, batch_size) as (path, converted):
            return self._load(path, converted, model.prefix, threads or threads_wanted(), precision, calibration,
                              profiled)

    @abstractmethod
    def _load(self, path, converted, source, threads, precision, calibration, profiled):
        """Network: of the file at `path`, whose folder goes away afterwards; `source` is what errors call it."""


class OnnxNetwork(Network):
    """A network that an engine has loaded from an ONNX file.

    Parameters
    ----------
    converted : Converted
    precision, ran : str
    """

    def __init__(self, converted, precision, ran):
        self._types = {tensor.name: tensor.dtype for tensor in converted.inputs}
        self.inputs, self.output_names = list(self._types), [tensor.name for tensor in converted.outputs]
        self.precision, self.ran = precision, ran

    def _fed(self, arrays):
        """dict of str to ndarray: the inputs, of the types that the file has them in."""
        return {name: np.ascontiguousarray(array, dtype) for array, (name, dtype) in zip(arrays, self._types.items())}


def batches_of_examples(calibration, converted, source):
    """Examples in batches of the size that a file takes.

    Parameters
    ----------
    calibration : iterable of dict of str to ndarray, or None
    converted : Converted
    source : str
        What an error calls the network.

    Returns
    -------
    list of dict of str to ndarray

    Raises
    ------
    AccnnError
        There are none.
    """
    found = [_rows(batch, first, converted) for batch in calibration or ()
             for first in range(0, len(next(iter(batch.values()))), converted.batches[0])]
    if not found:
        raise lacking_ranges(source)
    return found


def _rows(batch, first, converted):
    """dict of str to ndarray: rows of a batch from `first` on, the last of them repeated where there are too few."""
    size = converted.batches[0]
    return {tensor.name: np.ascontiguousarray(
        batch[tensor.name][np.minimum(np.arange(first, first + size), len(batch[tensor.name]) - 1)], tensor.dtype)
        for tensor in converted.inputs}


@contextlib.contextmanager
def refusals(source, library):
    """Tell in one sentence what a library says of a network.

    Parameters
    ----------
    source : str
        What an error calls the network.
    library : str

    Raises
    ------
    AccnnError
    """
    try:
        yield
    except RuntimeError as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise AccnnError("%s: %s does not run what was made of it (%s)" % (source, library, said[-1])) from error

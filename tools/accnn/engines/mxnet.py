"""MXNet itself, on the CPU: float32, bfloat16 and INT8 by oneDNN."""
import os

import numpy as np

from accnn.core import amx
from accnn.core.compat import import_mxnet, mx
from accnn.core.errors import AccnnError
from accnn.core.layers import BF16, FP32, INT8
from accnn.engines.base import Engine, Network, register
from accnn.quantization.conversion import converted, layer_precisions, precision_of
from accnn.quantization.ranges import minimum_and_maximum
from accnn.runtime.bound import BoundNetwork


@register
class MXNet(Engine):
    """MXNet 1.9.1: INT8 and bfloat16 are several times faster with AMX, see :func:`accnn.enable_amx`."""

    name = "mxnet"
    summary = "MXNet itself, by oneDNN on the CPU"
    precisions = (FP32, BF16, INT8)

    def available(self):  # noqa: D102  (as in Engine)
        try:
            import_mxnet()
        except AccnnError as error:
            return str(error)
        return None

    @property
    def version(self):  # noqa: D102
        return mx.__version__

    def refuse(self, precision, stored=FP32):  # noqa: D102
        why = super().refuse(precision, stored)
        if why is None and precision == BF16 and not amx.isa().startswith("AVX512"):
            why = "oneDNN computes bfloat16 with AVX-512 or AMX only, and has %s here%s" % (amx.isa(), amx.limited())
        return why

    def load(self, model, input_shapes, batch_size, threads=None, precision=FP32,  # noqa: D102  (as in Engine)
             calibration=None, profiled=False):
        self.check(precision)
        said = os.environ.get("OMP_NUM_THREADS")
        if threads is not None and said != str(threads):
            raise AccnnError("MXNet reads its number of threads when it is imported: start a process with "
                             "OMP_NUM_THREADS=%d, this one has %s" % (threads, said or "none"))
        made = convert(model, precision, calibration)
        return MXNetNetwork(BoundNetwork(made, input_shapes, batch_size), precision, _ran(model, made, precision))


class MXNetNetwork(Network):
    """A network bound by MXNet.

    Parameters
    ----------
    bound : Predictor
    precision, ran : str
    """

    def __init__(self, bound, precision, ran):
        self._bound, self.precision, self.ran = bound, precision, ran
        self.inputs, self.output_names = bound.inputs, list(bound.output_shapes)

    def __call__(self, *arrays):  # noqa: D102  (as in Network)
        return [output.asnumpy() for output in self._bound.forward(*map(_array, arrays))]

    def once(self, *arrays):  # noqa: D102
        given = list(map(_array, arrays))

        def run():
            for output in self._bound.forward(*given):
                output.wait_to_read()

        return run


def _array(values):
    return values if isinstance(values, mx.nd.NDArray) else mx.nd.array(values, dtype=np.asarray(values).dtype)


def convert(model, precision, calibration=None, exclude=()):
    """Return a network as it is in a precision.

    Parameters
    ----------
    model : Model
        Not changed. One that is in that precision already stays as it is.
    precision : str
    calibration : iterable of dict of str to ndarray, optional
        Batches of inputs, preprocessed: INT8 tensors get the ranges that they have on these.
    exclude : iterable of str
        Layers that stay in float32.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        The model is in another precision, or has no ranges of INT8 tensors.
    """
    stored = precision_of(model)
    if stored == precision:
        return model
    if stored != FP32:
        raise AccnnError("%s is %s and cannot be run in %s: give the float32 checkpoint it was made from"
                         % (model.prefix, stored, precision))
    batches = list(calibration or ())
    if precision == INT8 and not batches:
        raise lacking_ranges(model.prefix)
    return converted(model, precision, exclude, lambda partitioned: minimum_and_maximum(
        partitioned, {name: array.shape[1:] for name, array in batches[0].items()}, batches))


def lacking_ranges(source):
    """AccnnError: nothing says the ranges of INT8 tensors of a network."""
    return AccnnError("%s is float32, and INT8 needs the range of every tensor: quantize it with images" % source)


def _ran(model, made, precision):
    """str: what runs in which precision."""
    if made is model:
        return precision
    layers = layer_precisions(model, made, precision)
    return "%s in %d of %d layers" % (precision, sum(one.precision == precision for one in layers), len(layers))

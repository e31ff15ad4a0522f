"""Networks quantized by MXNet's own call, without anything of accnn, and run by a plain Module."""
import logging

import numpy as np

from accnn.core.compat import mx
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph

logging.getLogger("mxnet_int8").setLevel(logging.ERROR)


def quantized(model, images, **how):
    """Model: `model` in INT8 as ``quantize_model_mkldnn`` makes it, its ranges those of `images`.

    Parameters
    ----------
    model : Model
        With one input, called data.
    images : ndarray
    **how
        What else the call is told, such as ``excluded_sym_names``.
    """
    from mxnet.contrib.quantization import quantize_model_mkldnn

    labels = [name for name in model.symbol.list_arguments() if name.endswith("label")]
    symbol, args, aux = quantize_model_mkldnn(
        model.symbol, dict(model.arg_params), dict(model.aux_params), data_names=["data"], label_names=labels or None,
        ctx=mx.cpu(), calib_mode="naive", num_calib_examples=len(images), quantized_dtype="auto",
        calib_data=mx.io.NDArrayIter(images, batch_size=len(images)), logger=logging.getLogger("mxnet_int8"), **how)
    return Model(Graph.from_symbol(symbol), args, aux)


def by_accnn(model, images, exclude=()):
    """Model: the same as :mod:`accnn.quantization` makes it, with weights that are stored in INT8."""
    from accnn.quantization.int8_graph import partition, quantize
    from accnn.quantization.ranges import minimum_and_maximum

    ranges = minimum_and_maximum(partition(model, exclude), {"data": images.shape[1:]}, [{"data": images}])
    return quantize(model, ranges, exclude)


def module_outputs(symbol, args, aux, images, batch_size):
    """list of ndarray: outputs of a plain Module over all `images`, those that fill no batch by a Module of their own.

    Parameters
    ----------
    symbol : mx.sym.Symbol
        With one input, called data.
    args, aux : dict of str to mx.nd.NDArray
    images : ndarray
    batch_size : int
    """
    labels = [name for name in symbol.list_arguments() if name.endswith("label")]
    whole, found = len(images) // batch_size * batch_size, []
    for some, size in ((images[:whole], batch_size), (images[whole:], len(images) - whole)):
        if len(some):
            module = mx.mod.Module(symbol, ["data"], labels or None, context=mx.cpu())
            module.bind([("data", (size,) + images.shape[1:])], for_training=False)
            module.set_params(args, aux, allow_extra=True)
            for first in range(0, len(some), size):
                module.forward(mx.io.DataBatch([mx.nd.array(some[first:first + size])]), is_train=False)
                found.append([output.asnumpy() for output in module.get_outputs()])
    return [np.concatenate(some) for some in zip(*found)]

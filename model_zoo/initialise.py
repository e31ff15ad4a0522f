"""Random parameters for a symbol: as good as trained ones for timing and memory, useless for accuracy.

K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", arXiv:1502.01852.
"""
import zlib

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError

BLOCK = 1 << 20  # draws at a time: they come as float64, and a whole layer of them would double the memory


def random_parameters(symbol, image_shape, seed=0):
    """Draw weights from a normal distribution of variance 2 / fan-in; biases 0, BatchNorm the identity.

    Every parameter has a stream of its own, seeded by `seed` and its name, so that its values do
    not depend on the other layers. RandomState is used because NumPy promises its bits for ever.

    Parameters
    ----------
    symbol : mx.sym.Symbol
        Over the variable 'data'.
    image_shape : tuple of int
        (channels, height, width)
    seed : int, default=0
        0 to 2**32 - 1.

    Returns
    -------
    arg_params, aux_params : dict of str to NDArray
    """
    arg_shapes, _, aux_shapes = symbol.infer_shape(data=(1,) + tuple(image_shape))
    inputs = ("data",) + tuple(name for name in symbol.list_arguments() if name.endswith("_label"))
    arg_params = {name: _parameter(name, shape, seed)
                  for name, shape in zip(symbol.list_arguments(), arg_shapes) if name not in inputs}
    aux_params = {name: _parameter(name, shape, seed)
                  for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes)}
    return arg_params, aux_params


def _parameter(name, shape, seed):
    for suffix, fill in FILLS.items():
        if name.endswith(suffix):
            # Shares the memory: vgg16's fc6 alone has 0.4 GB.
            return mx.nd.from_numpy(fill(name, shape, seed), zero_copy=True)
    raise AccnnError("parameter %s has none of the endings that can be initialised: %s" % (name, ", ".join(FILLS)))


def _he_normal(name, shape, seed):
    source = np.random.RandomState([seed, zlib.crc32(name.encode("utf-8"))])
    deviation = np.sqrt(2.0 / np.prod(shape[1:]))
    values = np.empty(shape, np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start:start + BLOCK]
        block[:] = source.standard_normal(block.size) * deviation
    return values


def _zeros(_name, shape, _seed):
    return np.zeros(shape, np.float32)


def _ones(_name, shape, _seed):
    return np.ones(shape, np.float32)


FILLS = {"_weight": _he_normal, "_bias": _zeros, "_gamma": _ones, "_beta": _zeros,
         "_moving_mean": _zeros, "_moving_var": _ones}

"""Forward passes as callables that return when the numbers are there: what the clock is given."""
import contextlib
from math import prod

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.cut import DATA
from accnn.runtime.fusion import right_fusion
from accnn.runtime.predictor import bind_errors_as_sentences
from accnn.timing.bound import parameters

_BLOCK = 1048573  # a prime number, so that no two examples or channels begin alike


def of_network(network, arrays):
    """Callable: a pass of a whole network as scoring runs it, from the input to all outputs.

    Parameters
    ----------
    network : BoundNetwork or Predictor
    arrays : list of mx.nd.NDArray
        One for each input.
    """
    def once():
        for output in network.forward(*arrays):
            output.wait_to_read()

    return once


def of_part(part, data):
    """Callable: a pass of a part of a network.

    Parameters
    ----------
    part : Cut
    data : mx.nd.NDArray
        Its input, used where and as it lies: oneDNN keeps pictures in blocks of channels between operators, and a
        kernel that is fast on such an input may be slow on a plain one, and the other way round.
    """
    model, context, symbol = part.model, data.context, part.model.symbol
    aux = {name: array.copyto(context) for name, array in model.aux_params.items()}
    with right_fusion(symbol):
        arrays = parameters(model, symbol, context)
        executor = symbol.bind(context, args=dict(arrays, **{DATA: data}), grad_req="null", aux_states=aux)

    def once():
        executor.forward(is_train=False)
        for output in executor.outputs:
            output.wait_to_read()

    return once


def rewriting(data):
    """Callable: writes `data`, which are positive, again where and as they lie, in blocks of channels too.

    In a network what a layer reads has just been written by another: a 1x1 convolution of maps that are no more in
    the caches takes up to twice as long.

    Parameters
    ----------
    data : mx.nd.NDArray
    """
    def once():
        mx.nd.Activation(data, act_type="relu", out=data)
        data.wait_to_read()

    return once


def random_array(rng, shape, dtype="float32", context=None):
    """mx.nd.NDArray of uniform numbers in 0..1: valid as a picture, and as indices of an embedding.

    They are repeated from a block: to draw as many as a large batch has would take longer than to time a layer.
    """
    block = rng.uniform(0, 1, min(prod(shape), _BLOCK)).astype(np.float32)
    return mx.nd.array(np.resize(block, shape), context or mx.cpu(), dtype=dtype)


@contextlib.contextmanager
def refusals(batch_size, shapes):
    """Tell in one sentence what MXNet says of a batch size that a network does not accept or the memory not hold."""
    if batch_size * max(map(prod, shapes.values()), default=0) >= 1 << 31:
        raise AccnnError("`batch_size=%d` makes an input of more than 2^31 numbers: MXNet holds less"
                         % batch_size)
    with bind_errors_as_sentences(
            lambda said: "MXNet cannot run the network at `batch_size=%d`: %s" % (batch_size, said)):
        yield

"""Forward passes as callables that return when the numbers are there: what the clock is given."""
import contextlib
import time
from math import prod

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.cut import DATA
from accnn.runtime.bound import parameters
from accnn.runtime.fusion import right_fusion
from accnn.runtime.predictor import bind_errors_as_sentences

_BRIEF = 0.02  # seconds, up to which a pass depends on what the caches hold
_UNCACHED = 0.1  # seconds, from which on a pass does not depend on them
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
    return running(executor(part.model, {DATA: data}))


def executor(model, inputs):
    """mx.executor.Executor: a network bound to arrays that are read where and as they lie.

    Parameters
    ----------
    model : Model
    inputs : dict of str to mx.nd.NDArray
    """
    context, symbol = next(iter(inputs.values())).context, model.symbol
    aux = {name: array.copyto(context) for name, array in model.aux_params.items()}
    with right_fusion(symbol):
        arrays = parameters(model, symbol, context)
        return symbol.bind(context, args=dict(arrays, **inputs), grad_req="null", aux_states=aux)


def running(bound):
    """Callable: a pass of an executor, which returns when all outputs are there."""
    def once():
        bound.forward(is_train=False)
        for output in bound.outputs:
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


def seconds_of(calls):
    """list of float: about what each takes."""
    found = []
    for once in calls:
        started = time.perf_counter()
        once()
        found.append(max(time.perf_counter() - started, 1e-6))
    return found


def own_passes(seconds, is_low):
    """list of int: of every network the passes of its own that a timed one follows.

    One where what it reads may be in the caches, as it is when a network is at work, but not behind another one; none
    of a network that takes longer than to read all it has.

    Parameters
    ----------
    seconds : list of float
        About what each takes.
    is_low : bool
        Whether one of them is in a precision below float32.
    """
    is_brief = max(seconds) < _BRIEF or is_low
    return [int(is_brief and one < _UNCACHED) for one in seconds]


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

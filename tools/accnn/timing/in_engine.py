"""Chains and networks in engines other than MXNet: chains timed between neighbours, as they stand in a network.

A chain alone begins and ends with what it does not do in a network: its input is rearranged, or converted to the
precision, and its output back. So a convolution stands in front of it, whose output it reads as that was left in
memory, and one behind it, for which it writes. They do not count: engines that time their operators say what runs in
between; for others a pass of what is in front is taken off a pass with the chain.
"""
import time
from math import prod

import numpy as np

from accnn import engines
from accnn.core.layers import BF16, FP32, INT8, SubConv, SubFC, walk
from accnn.graph.cut import DATA

_FRONT, _BEHIND = "_front", "_behind"
_FEW = 16  # outputs of what reads the chain's
_LEAST = 1e-7  # seconds, of a chain that takes no more than what is taken off
_WARM = 2  # passes before
_PRECISIONS = {None: FP32, "u8": INT8, "s8": INT8, "bf16": BF16}  # by what is read, see accnn.timing.keys.Place


def chain_call(job, place, chain, made):
    """Return (before, once): callables, of which the first does nothing, and the other is a pass.

    That returns its seconds, unless nothing is taken off: then it is timed from outside.

    Parameters
    ----------
    job : SurveyJob
    place : Place
    chain : tuple of SubConv or SubFC
    made : callable
        ``made(chain, positive)``: the Model of a chain with random weights, with a ReLU behind parts of these suffixes.
    """
    positive = set() if place.numbers == "s8" else {_FRONT}
    front, data = _front(place, chain), _data(job, place, chain)
    if engines.get(job.engine).profiles:
        whole = made(front + chain + _behind(place, chain), positive | {chain[-1].suffix})
        once = _loaded(job, place, whole, data, True).between("part" + _FRONT, "part" + _BEHIND, data)
    else:
        once = _loaded(job, place, made(front + chain, positive), data).once(data)
        if front:
            once = _difference(_loaded(job, place, made(front, positive), data).once(data), once)
    for _ in range(_WARM):
        once()
    return _nothing, once


def network_call(engine, model, shapes, examples, threads, precision):
    """Callable: a pass of a whole network in an engine; the first has been run.

    Parameters
    ----------
    engine : str
    model : Model
    shapes : dict of str to tuple of int
        Of the inputs, without the batch.
    examples : dict of str to ndarray
        A batch, on which ranges of INT8 tensors are found.
    threads : int
    precision : str
    """
    batch_size = len(next(iter(examples.values())))
    network = engines.get(engine).load(model, shapes, batch_size, threads, precision, [examples])
    once = network.once(*(examples[name] for name in network.inputs))
    once()
    return once


def _front(place, chain):
    """tuple of SubConv: what is in front of a chain; empty where that reads rows, or what enters the network."""
    return () if place.plain or _reads_rows(chain) else (
        _pointwise(_FRONT, place.in_shape, place.in_shape[0]),)


def _behind(place, chain):
    """tuple of SubConv: what reads the maps that a chain writes; with rows OpenVINO might make one operator of both."""
    (last, shape), = list(walk(chain, place.in_shape))[-1:]
    return () if isinstance(last, SubFC) else (_pointwise(_BEHIND, last.out_shape(shape), _FEW),)


def _pointwise(suffix, shape, filters):
    """SubConv: a 1x1 convolution that reads maps of `shape`, or the like of it in another number of dimensions."""
    one, none = (1,) * (len(shape) - 1), (0,) * (len(shape) - 1)
    return SubConv(suffix, shape[0], filters, one, one, none, one)


def _reads_rows(chain):
    return isinstance(chain[0], SubFC) or chain[0].maps is not None


def _data(job, place, chain):
    """ndarray of float32: what the network reads, flat where its first layer is to flatten it; signed for ``s8``."""
    flat = isinstance(chain[0], SubFC) and chain[0].flatten
    shape = (prod(place.in_shape),) if flat else tuple(place.in_shape)
    least = -1 if place.numbers == "s8" else 0
    numbers = np.random.RandomState(job.seed).uniform(least, 1, (job.batch_size * place.repeats,) + shape)
    return numbers.astype(np.float32)


def _loaded(job, place, model, data, profiled=False):
    return engines.get(job.engine).load(model, {DATA: data.shape[1:]}, len(data), job.threads,
                                        _PRECISIONS[place.numbers], [{DATA: data}], profiled)


def _difference(less, more):
    """Callable: a pass of each; returns by how many seconds the second takes longer."""
    def once():
        start = time.perf_counter()
        less()
        middle = time.perf_counter()
        more()
        return max(time.perf_counter() - 2 * middle + start, _LEAST)

    return once


def _nothing():
    pass

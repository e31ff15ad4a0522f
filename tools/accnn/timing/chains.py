"""Milliseconds of candidate chains, before any of them is in a network."""
import contextlib
from functools import partial

import numpy as np

from accnn import engines
from accnn.core.compat import mx
from accnn.graph.checkpoint import Model
from accnn.graph.cut import DATA, Cut
from accnn.graph.ir import Graph, Node, refusal
from accnn.timing import in_engine, low_precision, passes
from accnn.timing.clock import alternate, time_interleaved
from accnn.timing.job import REFERENCE, Timed
from accnn.timing.keys import parse
from accnn.timing.machine import bytes_of, refuse_size

GROUP = 24  # chains that are held in memory at once, at most
GROUP_BYTES = 700 << 20  # of their weights and activations, unless one alone has more
_SLOW = 0.02  # seconds, from which a pass is long enough to be timed in fewer rounds: half of those asked for
_FEWEST = 3
_EVERY = 6  # chains between two passes of the reference
_KNOWN = 0.037  # a median is known well enough with this uncertainty
_WELL = 0.015  # and this one where there are few rounds, of which a spread is hardly known
_PATIENCE = 0.07  # seconds of timed passes for every round asked for, after which a slow chain is known well enough
_LONGEST = 3  # so many times the rounds that were asked for, at most


def survey(job):
    """Time chains at their places, with random weights.

    Parameters
    ----------
    job : SurveyJob

    Yields
    ------
    list of Timed
        A group of questions, in the order of :attr:`SurveyJob.questions`.
    """
    _, reference = chain_call(REFERENCE, 1, job.seed)
    for group in groups(job.questions, job.batch_size):
        yield _timed(group, reference, job)


def groups(questions, batch_size):
    """Yield lists of neighbours among `questions`, small enough to be held in memory together."""
    group, held = [], 0
    for text in questions:
        size = bytes_of(text, batch_size)
        if group and (len(group) >= GROUP or held + size > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(text)
        held += size
    if group:
        yield group


def _timed(group, reference, job):
    """list of Timed: those of one group, which is gone from memory when this returns."""
    calls, refused = {}, {}  # of calls, by place: what rewrites the input, and the pass
    for place, text in enumerate(group):
        try:
            refuse_size(bytes_of(text, job.batch_size))
            calls[place] = _call(job, text)
        except Exception as error:  # MXNet raises several kinds; what is no refusal of its, or of the memory, goes on
            refused[place] = _sentence(error)
            if refused[place] is None:
                raise
    fewest = min(max(_FEWEST, job.rounds // 2), job.rounds)
    results = time_interleaved(
        [once for _, once in calls.values()], reference, fewest, _LONGEST * job.rounds, partial(_unsure, job.rounds),
        _EVERY, warm_up=0, before=[before for before, _ in calls.values()])
    found = dict(zip(calls, results))
    return [Timed(text, None, None, 0, None, refused[place]) if place in refused else _answer(text, found[place])
            for place, text in enumerate(group)]


def _call(job, text):
    """Return (before, once) of a chain in the engine of a job: see :func:`chain_call`."""
    if job.engine == engines.DEFAULT:
        return chain_call(text, job.batch_size, job.seed)
    return in_engine.chain_call(job, *parse(text), lambda chain, positive: random_chain(
        chain, np.random.RandomState(job.seed), positive=positive).model)


def chain_call(text, batch_size, seed):
    """Return (before, once): callables that write the input of the chain of a key, and that are a pass of it, warm."""
    place, chain = parse(text)
    rng = np.random.RandomState(seed)
    shape = (batch_size * place.repeats,) + place.in_shape
    if place.numbers:
        data = passes.random_array(rng, shape)
        if chain[0].op == "FullyConnected" and chain[0].flatten:
            data = data.reshape((shape[0], -1))
        before, once = low_precision.chain_call(random_chain(chain, rng), data, place)
    else:
        data = input_of(rng, shape, inside=not place.plain)
        before, once = passes.rewriting(data), passes.of_part(random_chain(chain, rng), data)
    once()
    before()
    once()  # MXNet refuses some chains only in their second pass
    return before, once


def _sentence(error):
    """What MXNet refuses or the memory does not hold, or None where an exception says nothing of the kind."""
    if isinstance(error, MemoryError):
        return str(error) or "out of memory"
    with contextlib.suppress(mx.base.MXNetError):  # other outputs' refusals, which would be told of what comes next
        mx.nd.waitall()
    return refusal(error)


def _unsure(rounds, results):
    going_on = []
    for place, result in enumerate(results):
        slow = result.seconds.median >= _SLOW
        few = len(result.seconds.values) < rounds and not slow
        enough = slow and sum(result.seconds.values) > _PATIENCE * rounds
        if few or (result.relative.uncertainty > (_WELL if slow else _KNOWN) and not enough):
            going_on.append(place)
    return going_on


def _answer(text, result):
    relative = result.relative
    return Timed(text, relative.median, relative.spread, len(relative.values), 1e3 * result.reference.median)


_BLOCK = 65521  # a prime number, so that no two filters begin alike


def time_chains(chains, in_shape, batch_size=1, context=None, dtype="float32", seed=0, inside=True, **how):
    """Time chains at the place of one layer, in turns, with random weights.

    The number of threads is that of the process: see :func:`accnn.timing.client.environment_for`.

    Parameters
    ----------
    chains : sequence of tuple of SubConv or SubFC
        The layer itself is a chain of one. Names (suffixes) must differ within a chain.
    in_shape : tuple of int
        Of the layer's input, without the batch.
    batch_size : int
    context : mx.Context, optional
        Default: the CPU.
    dtype : str
    seed : int
        Of the weights and the input.
    inside : bool
        The input lies in memory as the convolution before it leaves it; False: as pictures that enter a network do.
    **how
        ``rounds``, ``warm_up``, ``clock``, ``tell``, ``noisy`` of :func:`accnn.timing.clock.alternate`.

    Returns
    -------
    list of Sample
        Seconds of a pass over the whole batch, in the order of `chains`.
    """
    rng, context = np.random.RandomState(seed), context or mx.cpu()
    data = input_of(rng, (batch_size,) + tuple(in_shape), dtype, context, inside)
    return alternate([passes.of_part(random_chain(chain, rng, dtype), data) for chain in chains], **how)


def random_chain(chain, rng, dtype="float32", positive=()):
    """Cut: the operators of `chain` one after another, with random weights scaled by fan-in.

    A ReLU follows the parts whose suffixes are in `positive`.

    In front a Reshape where a chain of convolutions reads a vector, as in a network. Behind the convolutions a Flatten
    where a fully connected layer follows: oneDNN's fusion in MXNet 1.9.1 fails there.
    """
    nodes, params = [Node("null", DATA, {})], {}
    if chain[0].op == "Convolution" and chain[0].maps is not None:
        nodes.append(Node("Reshape", "maps", {"shape": str((0,) + tuple(chain[0].maps))}, ((0, 0, 0),)))
    data = len(nodes) - 1
    for before, part in zip((None,) + tuple(chain), chain):
        if before and (before.op, part.op) == ("Convolution", "FullyConnected"):
            nodes.append(Node("Flatten", "flat" + part.suffix, {}, ((data, 0, 0),)))
            data = len(nodes) - 1
        name, first = "part" + part.suffix, len(nodes)
        shapes = [part.stored_shape, part.weight_shape[:1]][:2 if part.bias else 1]
        for end, shape in zip(("_weight", "_bias"), shapes):
            nodes.append(Node("null", name + end, {}))
            scale = np.sqrt(np.prod(part.weight_shape[1:]))
            params[name + end] = mx.nd.array(random_numbers(rng, shape, scale), dtype=dtype)
        entries = [data] + list(range(first, len(nodes)))
        data = len(nodes)
        nodes.append(Node(part.op, name, part.attrs(), tuple((entry, 0, 0) for entry in entries)))
        if part.suffix in positive:
            nodes.append(Node("Activation", "relu" + part.suffix, {"act_type": "relu"}, ((data, 0, 0),)))
            data = len(nodes) - 1
    return Cut(Model(Graph(tuple(nodes), ((data, 0, 0),)), params))


def random_numbers(rng, shape, scale):
    """ndarray of float32: normal numbers over `scale`, repeated from a block: 100 million new ones take seconds."""
    block = rng.standard_normal(min(int(np.prod(shape)), _BLOCK)) / scale
    return np.resize(block.astype(np.float32), shape)


def input_of(rng, shape, dtype="float32", context=None, inside=True):
    """mx.nd.NDArray: random numbers, laid out in memory as layers `inside` a network read them, or as pictures are."""
    data = passes.random_array(rng, shape, dtype, context)
    return _left_by_a_convolution(data) if inside and data.ndim == 4 else data


def _left_by_a_convolution(data):
    """Random numbers of the shape of `data`, laid out in memory as oneDNN's convolutions leave their outputs."""
    channels = data.shape[1]
    weight = mx.nd.ones((channels, channels, 1, 1), data.context, data.dtype) / channels
    mixed = mx.nd.Convolution(data, weight, kernel=(1, 1), num_filter=channels, no_bias=True)
    mixed.wait_to_read()
    return mixed

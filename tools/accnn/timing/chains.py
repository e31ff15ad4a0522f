"""Milliseconds of candidate chains, before any of them is in a network."""
import numpy as np

from accnn.compat import mx
from accnn.graph.checkpoint import Model
from accnn.graph.ir import Graph, Node
from accnn.timing import passes
from accnn.timing.clock import alternate
from accnn.timing.cut import DATA, Cut

_BLOCK = 65521  # a prime number, so that no two filters begin alike


def time_chains(chains, in_shape, batch_size=1, context=None, dtype="float32", seed=0, inside=True, **how):
    """Time chains at the place of one layer, in turns, with random weights.

    The number of threads is that of the process: see :func:`accnn.timing.parent.environment_for`.

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


def random_chain(chain, rng, dtype="float32"):
    """Cut: the operators of `chain` one after another, with random weights scaled by fan-in.

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

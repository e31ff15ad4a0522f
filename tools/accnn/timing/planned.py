"""A network and what plans would make of it, timed in turns before anything is decomposed."""
import time
from itertools import zip_longest
from math import ceil

import numpy as np

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, operators_of
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.graph.specs import kernel, layer_specs
from accnn.quantization.conversion import converted
from accnn.runtime.bound import BoundNetwork
from accnn.timing import held, in_engine, passes
from accnn.timing.chains import chain_call, random_numbers
from accnn.timing.clock import described_ratio, described_seconds, ratios, time_interleaved
from accnn.timing.job import REFERENCE, Job
from accnn.timing.keys import parse
from accnn.timing.networks import all_shapes, teller
from accnn.timing.stored import released

_FLOAT = engines.DEFAULT, FP32
_KNOWN, _LATER = 0.007, 0.02  # uncertainty of every speed-up that ends the rounds, at first and after a while
_ALONE, _BARELY = 0.015, 0.028  # the same of a network on its own beside the reference
_FEWEST, _MORE = 5, 3  # rounds, and times the rounds that were asked for, to begin with
_LONG, _SHORT = 6.0, 1.5  # seconds that the rounds to begin with are to take, at most and at least
_BRIEF = 0.02  # seconds, up to which a pass depends on what the caches hold: then it follows one of its own
_UNCACHED = 0.1  # seconds, from which on a pass does not depend on them
_LONGEST = 5  # so many times the rounds that were asked for, at most
_PATIENCE = 12.0  # seconds of passes, which are that while


def measure_plans(job):
    """Time a network and its planned successors, with the threads this process has.

    Parameters
    ----------
    job : NetworksJob

    Returns
    -------
    dict
        See :func:`accnn.timing.client.time_networks`.

    Raises
    ------
    AccnnError
        The checkpoint cannot be read, a plan names what is no layer of it, or shapes or batch size do not fit.
    """
    stored, shapes = _opened(job)
    rng = np.random.RandomState(job.seed)
    with passes.refusals(job.batch_size, shapes):
        networks = [stored.model] + [planned(stored.model, shapes, plan, rng) for plan in job.plans]
        arrays = {name: passes.random_array(rng, (job.batch_size,) + tuple(shape)) for name, shape in shapes.items()}
        how = [job.baseline] + [(job.engine, job.precision)] * len(job.plans)
        left = [()] + [left_out([*job.exclude, *in_fp32], plan)
                       for plan, in_fp32 in zip_longest(job.plans, job.in_fp32, fillvalue=())]
        # The network that runs first stays some percent slower, wherever its memory lies: let that be no baseline.
        calls = [_pass(job, stored, *one, shapes, arrays) for one in zip(networks[::-1], how[::-1], left[::-1])][::-1]
        with released([stored]):
            seconds = _seconds(calls[::-1])[::-1]  # with what memory is allocated and weights are rearranged in
        if sum(seconds) < _LONG:
            seconds = _seconds(calls)
        _, reference = chain_call(REFERENCE, 1, job.seed)
        rounds = _rounds(sum(seconds), job.rounds)
        return _described(time_interleaved(
            calls, reference, rounds, _LONGEST * max(rounds, job.rounds), _unsure, warm_up=0, mirrored=True,
            untimed=_untimed(seconds, job.precision), tell=teller("timing the network")))


def prepare(job):
    """Read and bind the network of a job, as far as it is one in float32, so that it is there when it is to be timed.

    Parameters
    ----------
    job : PrepareJob
    """
    stored, shapes = _opened(job)
    if job.baseline == _FLOAT:
        with passes.refusals(job.batch_size, shapes):
            held.network(stored, shapes, job.batch_size)


def _opened(job):
    """(StoredModel, dict): the network of a job, and the shapes of its inputs."""
    stored = held.stored_model(job.prefix, job.epoch)
    shapes, _ = all_shapes({"model": stored.model}, Job(job.prefix, input_shapes=job.input_shapes))
    return stored, shapes


def _seconds(calls):
    """list of float: about what each takes."""
    found = []
    for once in calls:
        started = time.perf_counter()
        once()
        found.append(max(time.perf_counter() - started, 1e-6))
    return found


def _untimed(seconds, precision):
    """list of int: of every network the passes of its own that a timed one follows.

    One where what it reads may be in the caches; none of a network that takes longer than to read all it has.
    """
    is_brief = max(seconds) < _BRIEF or precision != FP32
    return [int(is_brief and one < _UNCACHED) for one in seconds]


def _rounds(seconds, asked):
    """int: rounds to begin with, fewer than were asked for where they take long, and more where they take no time."""
    if asked * seconds > _LONG:
        return min(asked, max(_FEWEST, ceil(_LONG / seconds)))
    return max(asked, min(_MORE * asked, ceil(_SHORT / seconds)))


def planned(model, shapes, plan, rng):
    """Model: `model` with chains in the place of layers; their weights are random, their biases zero.

    The numbers stay about as large as they are in the network, so that none of them becomes a denormal, which is slow.

    Parameters
    ----------
    model : Model
    shapes : dict of str to tuple of int
    plan : dict of str to str
        Layer -> key of the chain in its place; of the key only the chain counts.
    rng : RandomState
    """
    specs = {spec.name: spec for spec in layer_specs(model, shapes)} if plan else {}
    return replace_layers(model, [_replacement(model, specs, layer, parse(text)[1], rng)
                                  for layer, text in plan.items()])


def left_out(layers, plan):
    """list of str: operators of a planned network that stay in float32: `layers`, or the chains in their place."""
    return operators_of(layers, {layer: parse(text)[1] for layer, text in plan.items()})


def _replacement(model, specs, layer, chain, rng):
    if layer not in specs or specs[layer].part is None:
        raise AccnnError("%s has no layer %r that could be planned" % (model.prefix, layer))
    weight = kernel(model, specs[layer])
    gains = [1] * (len(chain) - 1) + [np.linalg.norm(weight) / np.sqrt(len(weight))]
    arrays = [(random_numbers(rng, part.weight_shape, np.sqrt(np.prod(part.weight_shape[1:])) / gain),
               np.zeros(part.weight_shape[0])) for part, gain in zip(chain, gains)]
    return Replacement(specs[layer], chain, arrays)


def _pass(job, stored, model, how, exclude, shapes, arrays):
    """Callable: a pass of the network in an engine and precision, `how`."""
    engine, precision = how
    if engine != engines.DEFAULT:
        examples = {name: array.asnumpy() for name, array in arrays.items()}
        return in_engine.network_call(engine, model, shapes, examples, job.threads, precision)
    is_held = model is stored.model and how == _FLOAT
    network = held.network(stored, shapes, job.batch_size) if is_held else BoundNetwork(
        converted(model, precision, exclude), shapes, job.batch_size)
    return passes.of_network(network, [arrays[name] for name in network.inputs])


def _ratios(results):
    """list of Sample: of every plan, how many times faster it is than the network, round by round."""
    return [ratios(results[0].seconds, result.seconds) for result in results[1:]]


def _unsure(results):
    """All, as long as any ratio is uncertain, or of a network on its own its time beside the reference."""
    enough = sum(sum(result.seconds.values) for result in results) > _PATIENCE
    at_once, later = (_KNOWN, _LATER) if len(results) > 1 else (_ALONE, _BARELY)
    samples = _ratios(results) or [results[0].relative]
    known = all(sample.uncertainty <= (later if enough else at_once) for sample in samples)
    return () if known else range(len(results))


def _described(results):
    baseline = results[0]
    return {"reference_ms": 1e3 * baseline.reference.median,
            "baseline": dict(described_seconds(baseline.seconds), **_relative(baseline)),
            "plans": [dict(described_seconds(result.seconds), **_relative(result),
                           measured=dict(described_ratio(measured), uncertainty=measured.uncertainty))
                      for result, measured in zip(results[1:], _ratios(results))]}


def _relative(result):
    return {"relative": result.relative.median, "uncertainty": result.relative.uncertainty}

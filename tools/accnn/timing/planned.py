"""A network and what plans would make of it, timed in turns before anything is decomposed."""
from functools import partial
from itertools import zip_longest
from math import ceil

import numpy as np

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, operators_of
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.graph.specs import layer_specs
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
_NEARLY = 0.01  # the same where limits are asked for: the plan is good enough, or the next budget is
_PLAIN = 0.0125  # the same of a speed-up that plainly lies between the limits, or plainly does not
_SURE = 2.0  # so many uncertainties to both sides of a ratio
_ALONE, _BARELY = 0.015, 0.028  # the same of a network on its own beside the reference
_FEWEST, _MORE = 5, 3  # rounds, and times the rounds that were asked for, to begin with
_LONG, _SHORT = 6.0, 1.5  # seconds that the rounds to begin with are to take, at most and at least
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
        calls = _calls(job, stored, shapes, rng)
        with released([stored]):  # in their first passes memory is allocated, and weights are read and rearranged
            seconds = passes.seconds_of(calls[::-1])[::-1]
        if sum(seconds) < _LONG:
            seconds = passes.seconds_of(calls)
        _, reference = chain_call(REFERENCE, 1, job.seed)
        rounds = _rounds(sum(seconds), job.rounds)
        return _described(time_interleaved(
            calls, reference, rounds, _LONGEST * max(rounds, job.rounds), partial(_unsure, job.asked), warm_up=0,
            mirrored=True, untimed=passes.own_passes(seconds, job.precision != FP32),
            tell=teller("timing the network")))


def _calls(job, stored, shapes, rng):
    """list of callable: a pass of the network itself, and of what each plan makes of it."""
    networks = [stored.model] + [planned(stored.model, shapes, plan, rng) for plan in job.plans]
    arrays = {name: passes.random_array(rng, (job.batch_size,) + tuple(shape)) for name, shape in shapes.items()}
    how = [job.baseline] + [(job.engine, job.precision)] * len(job.plans)
    left = [()] + [left_out([*job.exclude, *in_fp32], plan)
                   for plan, in_fp32 in zip_longest(job.plans, job.in_fp32, fillvalue=())]
    # The network that runs first stays some percent slower, wherever its memory lies: let that be no baseline.
    return [_pass(job, stored, *one, shapes, arrays) for one in zip(networks[::-1], how[::-1], left[::-1])][::-1]


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
    spec = specs[layer]
    gains = [1] * (len(chain) - 1) + [held.norm(model, spec.weight) / np.sqrt(spec.part.weight_shape[0])]
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


def _unsure(asked, results):
    """list of int: plans whose ratio is uncertain, and the network itself, or that alone beside the reference."""
    enough = sum(sum(result.seconds.values) for result in results) > _PATIENCE
    if len(results) == 1:
        return [] if results[0].relative.uncertainty <= (_BARELY if enough else _ALONE) else [0]
    going_on = [place for place, (measured, limits) in enumerate(zip_longest(_ratios(results), asked), 1)
                if measured.uncertainty > (_LATER if enough else _NEARLY if limits else _KNOWN)
                and not _is_plain(measured, limits)]
    return [0] + going_on if going_on else []


def _is_plain(measured, limits):
    """bool: whether a ratio plainly lies between two limits, or plainly does not; False where there are none."""
    error = measured.uncertainty
    if limits is None or error > _PLAIN:
        return False
    least, most = (measured.median * (1 + side * error) for side in (-_SURE, _SURE))
    return limits[0] <= least and most <= limits[1] or most < limits[0] or limits[1] < least


def _described(results):
    baseline = results[0]
    return {"reference_ms": 1e3 * baseline.reference.median,
            "baseline": dict(described_seconds(baseline.seconds), **_relative(baseline)),
            "plans": [dict(described_seconds(result.seconds), **_relative(result),
                           measured=dict(described_ratio(measured), uncertainty=measured.uncertainty))
                      for result, measured in zip(results[1:], _ratios(results))]}


def _relative(result):
    return {"relative": result.relative.median, "uncertainty": result.relative.uncertainty}

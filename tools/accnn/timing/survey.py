"""Many chains in isolation, each beside the reference, with the threads this process has."""
import contextlib
from functools import partial

import numpy as np

from accnn.compat import mx
from accnn.graph.ir import refusal
from accnn.spelling import parse
from accnn.timing import passes
from accnn.timing.beside import beside
from accnn.timing.chains import input_of, random_chain
from accnn.timing.memory import bytes_of, refuse_size
from accnn.timing.questions import REFERENCE, Timed

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
            calls[place] = chain_call(text, job.batch_size, job.seed)
        except Exception as error:  # MXNet raises several kinds; what is no refusal of its, or of the memory, goes on
            refused[place] = _sentence(error)
            if refused[place] is None:
                raise
    fewest = min(max(_FEWEST, job.rounds // 2), job.rounds)
    results = beside([once for _, once in calls.values()], reference, fewest, _LONGEST * job.rounds,
                     partial(_unsure, job.rounds), _EVERY, warm_up=0, before=[before for before, _ in calls.values()])
    found = dict(zip(calls, results))
    return [Timed(text, None, None, 0, None, refused[place]) if place in refused else _answer(text, found[place])
            for place, text in enumerate(group)]


def chain_call(text, batch_size, seed):
    """Return (before, once): callables that write the input of the chain of a key, and that are a pass of it, warm."""
    place, chain = parse(text)
    rng = np.random.RandomState(seed)
    data = input_of(rng, (batch_size * place.repeats,) + place.in_shape, inside=not place.plain)
    once = passes.of_part(random_chain(chain, rng), data)
    before = passes.rewriting(data)
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

"""Callables timed in turns beside one reference: their ratio stays when the machine changes its speed. No MXNet."""
import time
from dataclasses import dataclass

from accnn.timing.clock import Sample

_PASSES = 2  # of the reference, whenever it is its turn


@dataclass(frozen=True)
class Beside:
    """What one callable took.

    Attributes
    ----------
    seconds : Sample
    reference : Sample
        Seconds of the reference in the same rounds.
    """

    seconds: Sample
    reference: Sample

    @property
    def relative(self):
        """Sample: seconds over those of the reference, round by round."""
        return Sample(tuple(a / b for a, b in zip(self.seconds.values, self.reference.values)))


def beside(calls, reference, rounds, longest, unsure, every=1, warm_up=2, mirrored=False, untimed=0,
           before=None, clock=time.perf_counter, tell=None):
    """Time callables in turns, A B C A B C, with a reference in between.

    Parameters
    ----------
    calls : sequence of callable
        Each returns when its work is done.
    reference : callable
    rounds, longest : int
        Of each callable, at least and at most.
    unsure : callable
        ``unsure(results) -> iterable of int``, from `rounds` on, where `results` has a Beside for every callable: which
        of them take another round.
    every : int
        Callables between two passes of the reference, of which a round takes the median.
    warm_up : int
        Untimed rounds before.
    mirrored : bool
        Every other round runs backwards, A B C C B A: none has always the same before it, which counts where they are
        to be compared with each other.
    untimed : int
        Passes of each callable before its timed one, for those that are short and repeated when they are at work.
    before : sequence of callable, optional
        For each callable what happens just before its timed pass, and is not timed.
    clock : callable
        Seconds.
    tell : callable, optional
        ``tell(done, total)`` after each round.

    Returns
    -------
    list of Beside
    """
    for _ in range(warm_up):
        for once in calls:
            once()
    taken = [([], []) for _ in calls]
    before = before or [_nothing] * len(calls)
    going_on, done = list(range(len(calls))), 0
    while going_on and done < longest:
        order = going_on[::-1] if mirrored and done % 2 else going_on
        seconds, reference_seconds = _round([(before[place], calls[place]) for place in order], reference, every,
                                            untimed, clock)
        done += 1
        for place, value in zip(order, seconds):
            taken[place][0].append(value)
            taken[place][1].append(reference_seconds)
        if done >= rounds:
            going_on = list(unsure(_results(taken)))
        if tell:
            tell(done, max(rounds, done + bool(going_on)))
    return _results(taken)


def _results(taken):
    return [Beside(Sample(tuple(seconds)), Sample(tuple(reference))) for seconds, reference in taken]


def _round(calls, reference, every, untimed, clock):
    """Return seconds of every callable, and of the reference: the median of all its passes in this round."""
    seconds, references = [], []
    for place, (before, once) in enumerate(calls):
        if place % every == 0:
            references += _steady(reference, clock)
        for _ in range(untimed):
            once()
        before()
        seconds.append(_seconds(once, clock))
    references += _steady(reference, clock)
    return seconds, Sample(tuple(references)).median


def _steady(reference, clock):
    """list of float: seconds of passes of the reference that do not depend on what was in the caches before."""
    reference()
    return [_seconds(reference, clock) for _ in range(_PASSES)]


def _nothing():
    pass


def _seconds(once, clock):
    start = clock()
    once()
    return clock() - start

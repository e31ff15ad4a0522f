"""Timing callables in turns, and what is said of the seconds they took. Knows nothing of MXNet."""
import math
import statistics
import time
from dataclasses import dataclass
from math import ceil, isinf
from typing import Optional, Tuple

from accnn.core.text import percent

# What became of a layer of the baseline in the new network.
REPLACED, UNCHANGED, NOT_COMPARED = "replaced", "unchanged", "not compared"


def counted_threads(number):
    """str: so many threads."""
    return "%d thread%s" % (number, "" if number == 1 else "s")


def conditions(threads, batch_size):
    """str: so many threads, and so many images in a pass."""
    return "%s, batch %d" % (counted_threads(threads), batch_size)


def described_seconds(sample, every_round=False):
    """dict: median, quartiles and number of rounds of a Sample of seconds, in milliseconds."""
    described = {"median_ms": 1e3 * sample.median, "quartiles_ms": [1e3 * value for value in sample.quartiles],
                 "spread": sample.spread, "rounds": len(sample.values)}
    if every_round:
        described["ms"] = [1e3 * value for value in sample.values]
    return described


def described_ratio(sample):
    """dict: median and quartiles of a Sample of ratios, and the ``uncertainty`` of the median; None for few rounds."""
    return {"median": sample.median, "quartiles": list(sample.quartiles), "spread": sample.spread,
            "rounds": len(sample.values), "uncertainty": None if isinf(sample.uncertainty) else sample.uncertainty}


def known_to(uncertainty):
    """str: as in '1.3%', never less than it is; empty where nothing is known of it."""
    return "" if uncertainty is None or isinf(uncertainty) else percent(ceil(1000 * uncertainty - 1e-6) / 1000, 1)


NOISY = 0.2  # interquartile range over median from which a sample is measured longer, and then called noisy
_FEW = 3  # values, of which fewer say nothing of how they spread
_LONGEST = 4  # so many times the rounds that were asked for, at most


@dataclass(frozen=True)
class Sample:
    """One number a round: seconds, or ratios of seconds.

    Attributes
    ----------
    values : tuple of float
        In the order in which the rounds were run.
    """

    values: Tuple[float, ...]

    @property
    def median(self):
        """float: of all rounds, in the unit of the values."""
        return statistics.median(self.values)

    @property
    def quartiles(self):
        """(float, float): a quarter of the rounds lies below the first, a quarter above the second."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third

    @property
    def spread(self):
        """float: interquartile range over median."""
        first, third = self.quartiles
        return (third - first) / self.median if self.median else 0.0

    @property
    def uncertainty(self):
        """float: standard error of the median, over the median, if values are normal and each on its own.

        Infinite for a few values, which say nothing of how they spread.
        """
        return uncertainty(self.spread, len(self.values))


def uncertainty(spread, rounds):
    """float: of the median of so many values with this interquartile range over median."""
    return math.inf if rounds < _FEW else 0.93 * spread / math.sqrt(rounds)


@dataclass(frozen=True)
class Enough:
    """When rounds may end early: the ratio of the first callable to the last is known, or time is up.

    Attributes
    ----------
    known : float
        Uncertainty of the ratio, or of the seconds of the one callable there is.
    least, most : float
        Seconds of timed passes: before these the rounds go on although the ratio looks known, behind those they end
        although it is not.
    fewest : int
        Rounds in any case.
    """

    known: float
    least: float = 0.0
    most: float = math.inf
    fewest: int = _FEW

    def __call__(self, samples):
        """bool: whether these Samples are enough."""
        if len(samples[0].values) < self.fewest:
            return False
        seconds = sum(sum(sample.values) for sample in samples)
        ratio = ratios(samples[0], samples[-1]) if len(samples) > 1 else samples[0]
        return seconds >= self.most or (seconds >= self.least and ratio.uncertainty <= self.known)


def alternate(passes, rounds=20, warm_up=3, clock=time.perf_counter, tell=None, noisy=NOISY, enough=None, untimed=0,
              mirrored=False):
    """Time callables in turns, A B A B.

    What slows the machine down for a while then slows all of them down, and their ratio within a round stays.

    Parameters
    ----------
    passes : sequence of callable
        Each returns when its work is done.
    rounds : int
        Of each callable. While the interquartile range of any is wider than `noisy`, as many again are run, up to
        four times as many altogether.
    warm_up : int
        Untimed rounds before: the first passes of a network allocate memory and rearrange its weights.
    clock : callable
        Seconds.
    tell : callable, optional
        ``tell(done, total)`` after each round.
    noisy : float
        Interquartile range over median.
    enough : callable, optional
        ``enough(samples)`` after each round, whether to stop; then rounds go on until it says so, up to four times
        `rounds`, whatever is noisy.
    untimed : int or sequence of int
    mirrored : bool
        See :func:`time_interleaved`.

    Returns
    -------
    list of Sample
        Seconds, one Sample for each callable, all of as many rounds.
    """
    def unsure(results):
        samples, done = [result.seconds for result in results], len(results[0].seconds.values)
        over = enough(samples) if enough else done % rounds == 0 and all(one.spread <= noisy for one in samples)
        return () if over else range(len(passes))

    results = time_interleaved(passes, None, rounds, _LONGEST * rounds, unsure, warm_up=warm_up, clock=clock, tell=tell,
                               asked_from=1 if enough else rounds, untimed=untimed, mirrored=mirrored)
    return [result.seconds for result in results]


def ratios(before, after):
    """How many times faster `after` is, round by round.

    Returns
    -------
    Sample
        Its median is less disturbed by a machine that changes its speed than the ratio of the medians.
    """
    return Sample(tuple(a / b for a, b in zip(before.values, after.values) if b > 0))


_PASSES = 2  # of the reference, whenever it is its turn


@dataclass(frozen=True)
class PairedSample:
    """What one callable took.

    Attributes
    ----------
    seconds : Sample
    reference : Sample or None
        Seconds of the reference in the same rounds, where there is one.
    """

    seconds: Sample
    reference: Optional[Sample]

    @property
    def relative(self):
        """Sample: seconds over those of the reference, round by round."""
        return Sample(tuple(a / b for a, b in zip(self.seconds.values, self.reference.values)))


def time_interleaved(calls, reference, rounds, longest, unsure, every=1, warm_up=2, mirrored=False, untimed=0,
                     before=None, clock=time.perf_counter, tell=None, asked_from=None):
    """Time callables in turns, A B C A B C, with a reference in between.

    Parameters
    ----------
    calls : sequence of callable
        Each returns when its work is done; one that times a part of that itself returns its seconds.
    reference : callable or None
    rounds, longest : int
        Of each callable, at least and at most.
    unsure : callable
        ``unsure(results) -> iterable of int``, from `rounds` on, where `results` has a PairedSample for every
        callable: which of them take another round.
    every : int
        Callables between two passes of the reference, of which a round takes the median.
    warm_up : int
        Untimed rounds before.
    mirrored : bool
        Every other round runs backwards, A B C C B A: none has always the same before it, which counts where they are
        to be compared with each other.
    untimed : int or sequence of int
        Passes of each callable before its timed one, for those that are short and repeated when they are at work: then
        caches hold what is theirs.
    before : sequence of callable, optional
        For each callable what happens just before its timed pass, and is not timed.
    clock : callable
        Seconds.
    tell : callable, optional
        ``tell(done, total)`` after each round.
    asked_from : int, optional
        The round from which `unsure` is asked, where that may end the rounds early.

    Returns
    -------
    list of PairedSample
    """
    for _ in range(warm_up):
        for once in calls:
            once()
    taken = [([], []) for _ in calls]
    before = before or [_nothing] * len(calls)
    untimed = [untimed] * len(calls) if isinstance(untimed, int) else untimed
    going_on, done = list(range(len(calls))), 0
    while going_on and done < longest:
        order = going_on[::-1] if mirrored and done % 2 else going_on
        seconds, reference_seconds = _round([(before[place], calls[place], untimed[place]) for place in order],
                                            reference, every, clock)
        done += 1
        for place, value in zip(order, seconds):
            taken[place][0].append(value)
            taken[place][1].append(reference_seconds)
        if done >= (rounds if asked_from is None else asked_from):
            going_on = list(unsure(_results(taken)))
        if tell:
            tell(done, max(rounds, done + 1) if going_on and done < longest else done)
    return _results(taken)


def _results(taken):
    return [PairedSample(Sample(tuple(seconds)), None if None in reference else Sample(tuple(reference)))
            for seconds, reference in taken]


def _round(calls, reference, every, clock):
    """Return seconds of every callable, and of the reference: the median of its passes in this round, if there are."""
    seconds, references = [], []
    for place, (before, once, untimed) in enumerate(calls):
        if reference and place % every == 0:
            references += _steady(reference, clock)
        for _ in range(untimed):
            once()
        before()
        seconds.append(_seconds(once, clock))
    if reference is None:
        return seconds, None
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
    told = once()
    return clock() - start if told is None else told

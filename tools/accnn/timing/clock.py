"""Timing callables in turns, and what is said of the seconds they took. Knows nothing of MXNet."""
import math
import statistics
import time
from dataclasses import dataclass
from typing import Tuple

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


def alternate(passes, rounds=20, warm_up=3, clock=time.perf_counter, tell=None, noisy=NOISY, enough=None):
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

    Returns
    -------
    list of Sample
        Seconds, one Sample for each callable, all of as many rounds.
    """
    for _ in range(warm_up):
        for once in passes:
            once()
    taken, asked = [[] for _ in passes], rounds
    while len(taken[0]) < asked:
        for once, seconds in zip(passes, taken):
            start = clock()
            once()
            seconds.append(clock() - start)
        done, samples = len(taken[0]), [Sample(tuple(seconds)) for seconds in taken]
        over = enough(samples) if enough else done == asked and all(sample.spread <= noisy for sample in samples)
        if done == asked and not over:
            asked = min(asked + rounds, _LONGEST * rounds)
        if over:
            asked = done
        if tell:
            tell(done, asked)
    return samples


def ratios(before, after):
    """How many times faster `after` is, round by round.

    Returns
    -------
    Sample
        Its median is less disturbed by a machine that changes its speed than the ratio of the medians.
    """
    return Sample(tuple(a / b for a, b in zip(before.values, after.values) if b > 0))

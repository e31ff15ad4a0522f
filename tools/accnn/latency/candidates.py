"""Rank grids: which ranks of a candidate are timed, and when times in between are interpolated. Times nothing."""
import numpy as np

from accnn.core.layers import macs
from accnn.timing.keys import chain_key

MULTIPLES = (64, 32, 16, 8, 4, 2, 1)  # of which ranks may be multiples
_PROBED = (64, 32, 16, 8, 4)  # the first in low precisions only: a kernel's block holds 64 bytes
_SHARES = (0.12, 0.2, 0.3, 0.45)  # of the layer's MACs: where multiples are compared
_AS_FAST = 0.85  # of the best rate: multiples that reach it are fine enough
_FEWEST = 4  # ranks of a grid; where a multiple leaves fewer, a smaller one is taken
_FEWEST_LOW = 6  # the same in low precisions, where kernels may like multiples of 64: the least of these is large
_DEAREST = 0.8  # of the layer's MACs: what saves less is not looked at
_STEP = 1.08  # the least ratio of MACs between ranks that are looked at
_ALL = 16  # grids of no more ranks are measured rank by rank
_SOUND = 0.06  # relative error of an interpolated time, up to which times are interpolated


def probes(candidate, low=False):
    """dict of int to list of rank: some ranks that are multiples of a number, and not of twice as much.

    `low`: for a precision of fewer bytes a number than float32, whose kernels may like larger multiples.
    """
    spec = candidate.spec
    whole = macs((spec.part,), spec.in_shape)
    found = {}
    multiples = _PROBED if low else _PROBED[1:]
    for multiple in multiples:
        coarser = set(candidate.ranks(2 * multiple)) if multiple < multiples[0] else ()
        own = [rank for rank in candidate.ranks(multiple) if rank not in coarser]
        if own:
            shares = np.array([candidate.macs(rank) for rank in own]) / whole
            found[multiple] = list(dict.fromkeys(own[int(np.argmin(np.abs(shares - share)))] for share in _SHARES))
    return found


def preferred_multiple(candidate, probed, ms):
    """int: the smallest of the probed multiples at which chains run about as many MACs in a millisecond as at the best.

    Parameters
    ----------
    candidate : Candidate
    probed : dict
        See :func:`probes`.
    ms : callable
        ``ms(rank)``: milliseconds, or None where that is not known.
    """
    rates = {}
    for multiple, ranks in probed.items():
        known = [(candidate.macs(rank), ms(rank)) for rank in ranks]
        rates[multiple] = np.median([cost / time for cost, time in known if time] or [0])
    best = max(rates.values(), default=0)
    return min((multiple for multiple, rate in rates.items() if rate >= _AS_FAST * best), default=1)


def candidate_ranks(candidate, multiple, least=1, low=False):
    """list of rank: multiples of `multiple`, or of a smaller one where these are few, in ascending order of MACs.

    `least`: of which they are multiples in any case. `low`: as of :func:`probes`.

    Those that save next to nothing are left out, and of those that cost about the same the multiple of the highest
    power of two is kept, at which kernels tend to be fastest.
    """
    for smaller in [multiple] + [one for one in MULTIPLES if one < multiple and one % least == 0]:
        ranks = _cheaper(candidate, smaller)
        if len(ranks) >= (_FEWEST_LOW if low else _FEWEST):
            break
    if len(ranks) <= _ALL:
        return ranks
    round_to = [set(candidate.ranks(smaller * times)) for times in (4, 2)]
    costs = [candidate.macs(rank) for rank in ranks]
    kept, place = [ranks[0]], 0
    while True:
        dearer = [i for i in range(place + 1, len(ranks)) if costs[i] >= _STEP * costs[place]]
        if not dearer:
            return kept
        near = [i for i in dearer if costs[i] < _STEP * costs[dearer[0]]]
        place = next((i for wanted in round_to for i in near if ranks[i] in wanted), dearer[0])
        kept.append(ranks[place])


def known_ranks(candidate, place, ms, least=1):
    """list of rank: all multiples of `least` whose milliseconds ``ms(key)`` knows, in ascending order of MACs."""
    multiples = [least] + [multiple for multiple in MULTIPLES if multiple % least == 0]
    ranks = dict.fromkeys(rank for multiple in multiples for rank in candidate.ranks(multiple))
    return sorted((rank for rank in ranks if ms(chain_key(place, candidate, rank)) is not None), key=candidate.macs)


def _cheaper(candidate, multiple):
    spec = candidate.spec
    whole = macs((spec.part,), spec.in_shape)
    priced = {rank: candidate.macs(rank) for rank in candidate.ranks(multiple)}
    return sorted((rank for rank, cost in priced.items() if cost <= _DEAREST * whole), key=priced.get)


class RankGrid:
    """The ranks of one candidate that may be chosen, and how long their chains take.

    First a coarse grid is measured, and one rank between each two of it. Where all of these are as linear interpolation
    says, the others are interpolated too; where one is not, every rank is measured.

    Parameters
    ----------
    candidate : Candidate
    place : Place
    multiple, least : int
        See :func:`candidate_ranks`.
    """

    def __init__(self, candidate, place, multiple, least=1):
        self.candidate = candidate
        ranks = candidate_ranks(candidate, multiple, least, place.numbers is not None)
        self._keys = {rank: chain_key(place, candidate, rank) for rank in ranks}
        self._macs = {rank: candidate.macs(rank) for rank in ranks}
        self._coarse, self._between = _coarse_grid(ranks)

    def first(self):
        """list of str: keys of the coarse grid's chains and of those that check interpolation between them."""
        return [self._keys[rank] for rank in sorted(self._coarse + self._between, key=self._macs.get)]

    def refine(self, ms):
        """list of str: keys of the chains to be measured besides, once ``ms(key)`` knows the first."""
        return [] if self._is_linear(ms) else list(self._keys.values())

    def times(self, ms, refused=()):
        """dict of str to float: milliseconds by key, measured or interpolated; without the keys that are `refused`."""
        known = {rank: ms(key) for rank, key in self._keys.items()}
        found = {rank: time for rank, time in known.items() if time is not None}
        if len(found) > 1 and self._is_linear(ms):
            for rank in [rank for rank, key in self._keys.items() if known[rank] is None and key not in refused]:
                found[rank] = self._interpolated(rank, found)
        return {self._keys[rank]: time for rank, time in found.items()}

    def ranks(self, times):
        """list of rank: those whose chains are in `times`, in ascending order of MACs."""
        return [rank for rank, key in self._keys.items() if key in times]

    def _is_linear(self, ms):
        """True where the ranks in between take what interpolation says."""
        coarse = {rank: ms(self._keys[rank]) for rank in self._coarse}
        if None in coarse.values():
            return False
        for rank in self._between:
            time = ms(self._keys[rank])
            if time is None or abs(self._interpolated(rank, coarse) - time) > _SOUND * time:
                return False
        return bool(self._between)

    def _interpolated(self, rank, known):
        order = sorted(known, key=self._macs.get)
        return float(np.interp(self._macs[rank], [self._macs[one] for one in order], [known[one] for one in order]))


def _coarse_grid(ranks):
    """Return the ranks of the coarse grid, and one between each two of them."""
    if len(ranks) <= _ALL:
        return list(ranks), []
    places = sorted({int(round(place)) for place in np.linspace(0, len(ranks) - 1, _ALL // 2)})
    between = [(a + b) // 2 for a, b in zip(places, places[1:]) if b - a > 1]
    return [ranks[place] for place in places], [ranks[place] for place in between]

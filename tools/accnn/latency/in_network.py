"""In-network factors: how long layers and chains take inside a network, over what each takes alone.

Alone a chain finds other things in the caches than between its neighbours, and is started by itself. So a few trial
plans are timed as networks, each of one method that could replace a good part of it, and a least-squares regression
tells the factors of the methods and the rest, which no plan changes; for that one method has trials at two speed-ups.
"""
from dataclasses import dataclass, field
from math import log
from typing import Mapping

import numpy as np

from accnn.timing.machine import machine_bytes

# What is expected before any network is timed, and by how much that is off: the large layers of a network take a little
# longer inside it than alone, and chains as long, unless layers take less.
_LAYERS, _REST_OFF = 1.05, 0.04
_CHAINS_OFF = 0.05
_METHODS_OFF = 0.05  # of methods, from one to the other
_SUM_OFF = 0.03  # of a network, because ranks differ too
_WORTH = 0.05  # of the layers' time, that a method is to have before it gets a trial of its own
_HIGH, _LOW = 3.0, 2.0  # above the one the other speed-up of a trial is the other, below it twice as much
_MEMORY = 0.4  # of the machine's memory: what the parameters and activations of all networks may take, counted once
# What is beyond was learnt of a machine that was disturbed: of factors, over what is expected, and of the rest.
SOUND, RESTS = (0.4, 1.6), (-0.1, 1.0)


@dataclass(frozen=True)
class InNetworkFactors:
    """What times of parts, each alone, become in a network.

    Attributes
    ----------
    rest : float
        Share of the untouched network's time that is in none of its layers; below 0 where each part takes some time to
        be started alone that it does not take in the network.
    typical : float
        What times of chains are multiplied by.
    methods : mapping of str to float
        The same, by method.
    """

    rest: float
    typical: float
    methods: Mapping[str, float] = field(default_factory=dict)

    def of(self, method):
        """float: what times of a method's chains are multiplied by."""
        return self.methods.get(method, self.typical)

    def layers(self, share):
        """float: what times of layers are multiplied by, which alone add up to a share of the untouched network's."""
        return (1 - self.rest) / share if share else 1.0


@dataclass(frozen=True)
class Trial:
    """A network that was timed, in shares of the untouched network's time.

    Attributes
    ----------
    left : float
        Layers that are not replaced, alone.
    chains : mapping of str to float
        By method, alone.
    whole, uncertainty : float
        Of the network; relative.
    """

    left: float
    chains: Mapping[str, float]
    whole: float
    uncertainty: float


def trial_plans(candidates, ranks, chain_ms, layer_ms, ratio):
    """list of dict of str to (Candidate, rank): for methods that could replace a good part of the network a plan each.

    It is of about the speed-up of `ratio` for every layer. The method that could replace most has one of quite another
    speed-up besides.

    Parameters
    ----------
    candidates : list of Candidate
    ranks : callable
        ``ranks(candidate)``: those that may be chosen.
    chain_ms, layer_ms : callable
        ``chain_ms(candidate, rank)``, ``layer_ms(candidate)``: milliseconds alone.
    ratio : float
    """
    methods = {}
    for candidate in candidates:
        whole = layer_ms(candidate)
        faster = {rank: ms / whole for rank, ms in ((rank, chain_ms(candidate, rank)) for rank in ranks(candidate))
                  if ms < whole}
        if faster:
            methods.setdefault(candidate.method.name, []).append((candidate, faster))
    weights = {name: sum(layer_ms(candidate) for candidate, _ in found) for name, found in methods.items()}
    least = _WORTH * sum({candidate.name: layer_ms(candidate) for candidate in candidates}.values())
    chosen = [methods[name] for name in sorted(weights, key=lambda name: -weights[name]) if weights[name] >= least]
    first = max(ratio, 1.0)
    other = _LOW if first > _HIGH else 2 * first
    plans = [_plan(found, first) for found in chosen] + [_plan(found, other) for found in chosen[:1]]
    return [plan for place, plan in enumerate(plans) if plan not in plans[:place]]


def _plan(found, ratio):
    return {candidate.name: (candidate, min(shares, key=lambda rank: abs(log(shares[rank] * ratio))))
            for candidate, shares in found}


def fitting_memory(plans, held):
    """Yield lists of plans, so few that their networks and the untouched one fit into the memory beside each other.

    `held`: bytes of the parameters and activations of one; what runs it holds some of these twice.
    """
    most = max(1, int(_MEMORY * machine_bytes() / max(held, 1)) - 1)
    for first in range(0, len(plans), most):
        yield plans[first:first + most]


def fit(trials, share, methods):
    """InNetworkFactors: what explains the trials best, and is near to what is expected where they do not tell.

    A network is the rest, layers that stay, and chains, ``whole = rest + (1 - rest) left / share + factors chains``:
    linear in the rest and the factors, and solved as least squares, where each expectation is one more row.

    Parameters
    ----------
    trials : list of Trial
    share : float
        What all planned layers take, each alone, of the untouched network's time.
    methods : list of str
    """
    rows = [_prior_of_rest(share), _prior_of_chains(share)]
    rows += [({name: 1, None: -1}, 0, _METHODS_OFF) for name in methods]
    for trial in trials:
        left = trial.left / share
        off = trial.whole * np.hypot(trial.uncertainty, _SUM_OFF)
        rows.append(({"": 1 - left, **trial.chains}, trial.whole - left, off))
    rest = float(np.clip(_solved(rows, ["", None, *methods])[""], *_sound_rests(share)))
    rows = [(coefficients, right - rest * coefficients.get("", 0.0), off) for coefficients, right, off in rows]
    least, most = (expected(share) * bound for bound in SOUND)
    factors = {name: float(np.clip(value, least, most)) for name, value in _solved(rows, [None, *methods]).items()}
    return InNetworkFactors(rest, factors[None], {name: factors[name] for name in methods})


def expected(share):
    """float: what times of chains are multiplied by, as far as what layers take alone of the network's time tells."""
    return min(1.0, 1 / share) if share else 1.0


def _sound_rests(share):
    """(float, float): with which what times of layers are multiplied by is sound too, where they are a small share."""
    least, most = (1 - bound * expected(share) * share for bound in SOUND[::-1])
    return max(RESTS[0], least), min(RESTS[1], most)


def _prior_of_rest(share):
    return {"": 1}, max(0.0, 1 - _LAYERS * share), _REST_OFF * min(1.0, share) or _REST_OFF


def _prior_of_chains(share):
    return {None: 1}, expected(share), _CHAINS_OFF


def _solved(rows, names):
    """dict: numbers by name; rows are (dict of coefficients, right side, standard deviation)."""
    weighed = np.array([[coefficients.get(name, 0.0) / off for name in names] for coefficients, _, off in rows])
    return dict(zip(names, np.linalg.lstsq(weighed, np.array([right / off for _, right, off in rows]), rcond=None)[0]))

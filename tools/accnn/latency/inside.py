"""How long the chains of a method take inside a network, over what they take alone.

Alone a chain finds other things in the caches than between its neighbours, which matters more to the chains of some
methods than to others', and more where the whole planned network fits. So one plan for each method is timed as a
network: what its chains take together there tells the factor.
"""
from math import log

from accnn.latency.remembered import SOUND
from accnn.timing.memory import machine_bytes

_DIFFERENT = 0.05  # what factors are expected to differ from 1 by: one that is known less well than that counts less
_SHARE = 0.4  # of the machine's memory: what the parameters and activations of all networks may take, counted once


def trial_plans(candidates, ranks, chain_ms, layer_ms, ratio):
    """dict of str to dict of str to (Candidate, rank): for every method a plan of about a speed-up for every layer.

    Parameters
    ----------
    candidates : list of Candidate
    ranks : callable
        ``ranks(candidate)``: those that may be chosen.
    chain_ms, layer_ms : callable
        ``chain_ms(candidate, rank)``, ``layer_ms(candidate)``: milliseconds alone.
    ratio : float
    """
    plans = {}
    for candidate in candidates:
        whole = layer_ms(candidate)
        priced = {rank: chain_ms(candidate, rank) for rank in ranks(candidate)}
        faster = {rank: ms for rank, ms in priced.items() if ms < whole}
        if faster:
            rank = min(faster, key=lambda rank: abs(log(faster[rank] * max(ratio, 1.0) / whole)))
            plans.setdefault(candidate.method.name, {})[candidate.name] = candidate, rank
    return plans


def together(plans, held):
    """Yield lists of plans, so few that their networks and the untouched one are not too large for the memory.

    `held`: bytes of the parameters and activations of one; what runs it holds some of these twice.
    """
    most = max(1, int(_SHARE * machine_bytes() / max(held, 1)) - 1)
    for first in range(0, len(plans), most):
        yield plans[first:first + most]


def factor(measured, whole_ms, replaced_ms, chains_ms):
    """float: what times of chains that were measured alone are to be multiplied by.

    The better it is known, beside how much factors differ at all, the more of it counts.

    Parameters
    ----------
    measured : dict
        ``median`` and ``uncertainty`` of the speed-up of the whole network.
    whole_ms, replaced_ms : float
        Of the untouched network, and of those of its layers that are replaced.
    chains_ms : float
        Sum of the chains, alone.
    """
    after = whole_ms / measured["median"]
    found = (after - (whole_ms - replaced_ms)) / chains_ms
    error = measured["uncertainty"] * after / chains_ms
    return 1 + (min(max(found, SOUND[0]), SOUND[1]) - 1) * _DIFFERENT ** 2 / (_DIFFERENT ** 2 + error ** 2)

"""In-network factors: how long layers and chains take inside a network, over what each takes alone.

Alone a chain finds other things in the caches than between its neighbours, and is started by itself. What that makes of
a plan is told by timing it: the search corrects its budget by that. Here is what is expected before.
"""
from dataclasses import dataclass

_LAYERS = 1.05  # times what they take alone, of large layers
_CHAINS = 0.97  # times what they take alone, where layers take no less: found on VGG-16, batch 1, one thread


@dataclass(frozen=True)
class InNetworkFactors:
    """What times of parts, each alone, become in a network.

    Attributes
    ----------
    rest : float
        Share of the untouched network's time that is in none of its layers.
    layers, chains : float
        What times of layers, and of chains in their place, are multiplied by.
    """

    rest: float
    layers: float
    chains: float


def factors(share):
    """InNetworkFactors: large layers take a little longer in a network than alone, and chains a little less.

    Where layers take more alone than the whole network does, each takes some time to be started alone that it does not
    take in the network, and so do chains.

    Parameters
    ----------
    share : float
        What all planned layers take, each alone, of the untouched network's time.
    """
    rest = max(0.0, 1 - _LAYERS * share)
    if not share:
        return InNetworkFactors(1.0, 1.0, 1.0)
    return InNetworkFactors(rest, (1 - rest) / share, _CHAINS * min(1.0, 1 / share))

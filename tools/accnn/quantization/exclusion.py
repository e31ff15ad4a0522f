"""Layers that stay in float32 because INT8 would cost the network's outputs too much: as few as possible."""
import math
from collections import namedtuple

Exclusion = namedtuple("Exclusion", "layer reason error")
Exclusion.__doc__ = """A layer that stays in float32; `reason` and the number `error` say what it alone would cost."""


def exclude(layers, error, limit, most=None):
    """Choose the layers that have to stay in float32.

    Every layer alone in INT8 tells its own contribution; the largest are left out, as many as the limit needs if
    contributions are independent, then more while the network as a whole is beyond the limit; at last each of them is
    put back if the limit allows.

    Parameters
    ----------
    layers : sequence of str
        That could be INT8.
    error : callable
        ``error(names) -> float``: the error of the outputs when these layers stay in float32.
    limit : float
    most : int, optional
        Layers left out, at most. Default: all of them.

    Returns
    -------
    kept : list of Exclusion
    reached : float
        The error with these.
    """
    layers = list(layers)
    reached = error(())
    if reached <= limit:
        return [], reached
    own = {name: error([other for other in layers if other != name]) for name in layers}
    ranked = sorted(layers, key=own.get, reverse=True)[:most]
    count = _expected(own, ranked, limit)
    reached = error(ranked[:count])
    while reached > limit and count < len(ranked):
        count = min(count + max(1, count // 4), len(ranked))
        reached = error(ranked[:count])
    out, reached = _put_back(ranked[:count], error, limit, reached)
    return [Exclusion(name, "alone in INT8 it costs the outputs %.2g%%" % (100 * own[name]), own[name])
            for name in out], reached


def _expected(own, ranked, limit):
    """How many of the largest contributions to leave out, if their squares add up."""
    left = sum(value ** 2 for value in own.values())
    for count, name in enumerate(ranked):
        if left <= limit ** 2:
            return count
        left -= own[name] ** 2
    return len(ranked)


def _put_back(chosen, error, limit, reached):
    if reached > limit:
        return chosen, reached
    for name in chosen[::-1]:
        fewer = [other for other in chosen if other != name]
        now = error(fewer)
        if now <= limit and math.isfinite(now):
            chosen, reached = fewer, now
    return chosen, reached

"""Layers that stay in float32 because INT8 would cost the network's outputs too much: as few as possible."""
import math
from collections import namedtuple

import numpy as np

Exclusion = namedtuple("Exclusion", "layer reason error")
Exclusion.__doc__ = """A layer that stays in float32; `reason` and the number `error` say what it alone would cost."""


def exclude(layers, errors, limit):
    """Choose the layers that have to stay in float32.

    Every layer alone in INT8 tells what it contributes to the error of each output. As if the squares of contributions
    added up, that layer is left out, again and again, which takes most off what is beyond the limit, of all outputs
    together; then more while the network itself is beyond the limit; at last those that alone are within the limit are
    put back if that holds. So the network is looked at once or twice for every layer, whatever the limit.

    Parameters
    ----------
    layers : sequence of str
        That could be INT8.
    errors : callable
        ``errors(names) -> dict of str to float``: the error of every output when these layers stay in float32.
    limit : float
        Of every output.

    Returns
    -------
    kept : list of Exclusion
    reached : float
        The largest error with these.
    """
    layers = list(layers)

    def error(names):
        return max(errors(names).values())

    reached = error(())
    if reached <= limit:
        return [], reached
    own = {name: errors([other for other in layers if other != name]) for name in layers}
    ranked, count = _ranked(own, limit)
    reached = error(ranked[:count])
    while reached > limit and count < len(ranked):
        count = min(count + max(1, count // 4), len(ranked))
        reached = error(ranked[:count])
    out, reached = _put_back(ranked[:count], own, error, limit, reached)
    return [_exclusion(name, own[name]) for name in out], reached


def _exclusion(name, errors):
    output = max(errors, key=errors.get)
    return Exclusion(name, "alone in INT8 it costs %s up to %.2g%%" % (
        "the output %r" % output if len(errors) > 1 else "the outputs", 100 * errors[output]), errors[output])


def _ranked(own, limit):
    """Return layers in the order in which they are left out, and how many have to be if squares add up."""
    names, count = list(own), None
    shares = np.square([list(own[name].values()) for name in names]) / limit ** 2  # layers x outputs
    shares, order = np.nan_to_num(shares, nan=1e12, posinf=1e12), []
    while len(order) < len(names):
        rest = [place for place in range(len(names)) if place not in order]
        beyond = np.maximum(shares[rest].sum(0) - 1, 0)
        if count is None and not beyond.any():
            count = len(order)
        gains = np.minimum(shares[rest], beyond) if beyond.any() else shares[rest]
        order.append(rest[np.lexsort((-shares[rest].sum(1), -gains.sum(1)))[0]])
    return [names[place] for place in order], len(order) if count is None else count


def _put_back(chosen, own, error, limit, reached):
    """Layers and error without those that turn out not to be needed; what alone costs more than the limit is."""
    if reached > limit:
        return chosen, reached
    for name in [name for name in chosen[::-1] if max(own[name].values()) <= limit]:
        fewer = [other for other in chosen if other != name]
        now = error(fewer)
        if now <= limit and math.isfinite(now):
            chosen, reached = fewer, now
    return chosen, reached

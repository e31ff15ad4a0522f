"""What the latency cache keeps of one network: its time, in-network factors, and corrections of the budget."""
from math import log

from accnn.latency.in_network import RESTS, SOUND, InNetworkFactors

_FACTORS = 0.01, SOUND[1]  # where starting parts is all that takes time, chains count little
_CORRECTION = 0.7, 1.4  # what is beyond was learnt of a machine that was disturbed


class NetworkCache:
    """One network's part of a latency table; whoever owns the table saves it.

    Parameters
    ----------
    table : LatencyTable
    mark : str
        Of the network's shapes: see :func:`accnn.graph.fingerprint.mark_of_shapes`.
    request_key : str
        Shared by requests that are alike but for their speed-up: of these factors and corrections are kept.
    """

    def __init__(self, table, mark, request_key):
        self._table, self._mark, self._request_key = table, mark, request_key

    @property
    def ms(self):
        """float: milliseconds of the untouched network, or None where it was never timed."""
        relative = (self._table.network(self._mark) or {}).get("relative")
        return relative * self._table.reference_ms if relative else None

    def keep_relative(self, relative):
        """Keep the time of the untouched network, over that of the reference."""
        self._table.set_network(self._mark, dict(self._table.network(self._mark) or {}, relative=relative))

    def correction(self, ratio):
        """float: how much more than `ratio` a budget has to ask for; that of the nearest speed-up, 1 where none is."""
        kept = self._kept("corrections")
        sound = {float(text): value for text, value in (kept.items() if isinstance(kept, dict) else ())
                 if _is_ratio(text) and _is_within(value, *_CORRECTION)}
        return sound[min(sound, key=lambda one: abs(log(one / ratio)))] if sound else 1.0

    def keep_correction(self, ratio, value):
        """Keep how much more than `ratio` a budget had to ask for."""
        kept = self._kept("corrections")
        self._keep("corrections", dict(kept if isinstance(kept, dict) else {}, **{"%g" % ratio: value}))

    def factors(self):
        """InNetworkFactors, or None where none are kept, or what people have edited into something else."""
        kept = self._kept("inside")
        if not isinstance(kept, dict):
            return None
        methods = kept.get("methods")
        sound = (_is_within(kept.get("rest"), *RESTS) and _is_within(kept.get("typical"), *_FACTORS) and
                 isinstance(methods, dict) and all(_is_within(value, *_FACTORS) for value in methods.values()))
        return InNetworkFactors(kept["rest"], kept["typical"], methods) if sound else None

    def keep_factors(self, found):
        """Keep InNetworkFactors."""
        self._keep("inside", {"rest": found.rest, "typical": found.typical, "methods": dict(found.methods)})

    def _kept(self, kind):
        found = (self._table.network(self._mark) or {}).get(kind)
        return found.get(self._request_key) if isinstance(found, dict) else None

    def _keep(self, kind, value):
        known = self._table.network(self._mark) or {}
        others = known.get(kind) if isinstance(known.get(kind), dict) else {}
        self._table.set_network(self._mark, dict(known, **{kind: dict(others, **{self._request_key: value})}))


def _is_ratio(text):
    try:
        return 1e-9 < float(text) < 1e9
    except ValueError:
        return False


def _is_within(number, least, most):
    return type(number) in (int, float) and least <= number <= most

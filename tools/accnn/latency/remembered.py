"""What earlier plans of a network taught, beside its milliseconds in the table."""
from math import log

from accnn.latency.inside import RESTS, SOUND, Inside

_FACTORS = 0.01, SOUND[1]  # where starting parts is all that takes time, chains count little
_CORRECTION = 0.7, 1.4  # what is beyond was learnt of a machine that was disturbed


class Remembered:
    """What requests learnt that are alike but for their speed-up.

    Parameters
    ----------
    table : LatencyTable
    mark : str
        Of the network's shapes.
    wish : str
        What is alike in the requests.
    """

    def __init__(self, table, mark, wish):
        self._table, self._mark, self._wish = table, mark, wish

    def correction(self, ratio):
        """float: what was kept for the speed-up nearest to `ratio`; 1 where nothing was."""
        kept = self._kept("corrections")
        sound = {float(text): value for text, value in (kept.items() if isinstance(kept, dict) else ())
                 if _is_ratio(text) and _is_within(value, *_CORRECTION)}
        return sound[min(sound, key=lambda one: abs(log(one / ratio)))] if sound else 1.0

    def keep_correction(self, ratio, value):
        """Keep a number; whoever owns the table saves it."""
        kept = self._kept("corrections")
        self._keep("corrections", dict(kept if isinstance(kept, dict) else {}, **{"%g" % ratio: value}))

    def inside(self):
        """Inside: what was kept; None where nothing was, or what people have edited into something else."""
        kept = self._kept("inside")
        if not isinstance(kept, dict):
            return None
        methods = kept.get("methods")
        sound = (_is_within(kept.get("rest"), *RESTS) and _is_within(kept.get("typical"), *_FACTORS) and
                 isinstance(methods, dict) and all(_is_within(value, *_FACTORS) for value in methods.values()))
        return Inside(kept["rest"], kept["typical"], methods) if sound else None

    def keep_inside(self, found):
        """Keep an Inside; whoever owns the table saves it."""
        self._keep("inside", {"rest": found.rest, "typical": found.typical, "methods": dict(found.methods)})

    def _kept(self, kind):
        found = (self._table.network(self._mark) or {}).get(kind)
        return found.get(self._wish) if isinstance(found, dict) else None

    def _keep(self, kind, value):
        known = self._table.network(self._mark) or {}
        others = known.get(kind) if isinstance(known.get(kind), dict) else {}
        self._table.set_network(self._mark, dict(known, **{kind: dict(others, **{self._wish: value})}))


def _is_ratio(text):
    try:
        return 1e-9 < float(text) < 1e9
    except ValueError:
        return False


def _is_within(number, least, most):
    return type(number) in (int, float) and least <= number <= most

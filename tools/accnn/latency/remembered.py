"""What earlier plans of a network taught, beside its milliseconds in the table."""
from math import log

SOUND = 0.7, 1.4  # what is beyond was learnt of a machine that was disturbed


class Remembered:
    """Numbers by kind and speed-up, for requests that are alike but for that.

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

    def nearest(self, kind, ratio, within=float("inf")):
        """Return what was kept for the speed-up nearest to `ratio`, at most so many times it; None where nothing was.

        Numbers, or dicts of names to numbers. What people have edited into something else is nothing, and so is what
        only a disturbed machine can have said.
        """
        kept = self._kept(kind).get(self._wish)
        sound = {float(text): value for text, value in (kept.items() if isinstance(kept, dict) else ())
                 if _is_ratio(text) and _is_sound(value)}
        best = min(sound, key=lambda one: abs(log(one / ratio)), default=None)
        return sound[best] if best is not None and abs(log(best / ratio)) <= log(within) else None

    def keep(self, kind, ratio, value):
        """Keep a number, or a dict of names to numbers; whoever owns the table saves it."""
        kept = {wish: found for wish, found in self._kept(kind).items() if isinstance(found, dict)}
        kept.setdefault(self._wish, {})["%g" % ratio] = value
        self._table.set_network(self._mark, dict(self._table.network(self._mark) or {}, **{kind: kept}))

    def _kept(self, kind):
        found = (self._table.network(self._mark) or {}).get(kind)
        return found if isinstance(found, dict) else {}


def _is_ratio(text):
    try:
        return 1e-9 < float(text) < 1e9
    except ValueError:
        return False


def _is_sound(value):
    numbers = value.values() if isinstance(value, dict) else [value]
    return all(type(number) in (int, float) and SOUND[0] <= number <= SOUND[1] for number in numbers)

"""What earlier plans of a network taught, beside its milliseconds in the table."""
from math import log

SOUND = 0.7, 1.4  # what is beyond was learnt of a machine that was disturbed


class Remembered:
    """Corrections and factors by speed-up, for requests that are alike but for that.

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
        return self._nearest("corrections", ratio, _is_sound) or 1.0

    def keep_correction(self, ratio, value):
        """Keep a number; whoever owns the table saves it."""
        self._keep("corrections", ratio, value)

    def factors(self, ratio, within=None):
        """dict of str to float: by method, kept for the speed-up nearest to `ratio`; empty where nothing was.

        `within`: so many times the ratio it may be off, at most.
        """
        return self._nearest("methods", ratio, _are_sound, within) or {}

    def keep_factors(self, ratio, values):
        """Keep numbers by method; whoever owns the table saves them."""
        self._keep("methods", ratio, values)

    def _nearest(self, kind, ratio, is_sound, within=None):
        """What people have edited into something else is nothing, and so is what only a disturbed machine says."""
        kept = self._kept(kind).get(self._wish)
        sound = {float(text): value for text, value in (kept.items() if isinstance(kept, dict) else ())
                 if _is_ratio(text) and is_sound(value)}
        best = min(sound, key=lambda one: abs(log(one / ratio)), default=None)
        off = best is None or within is not None and abs(log(best / ratio)) > log(within)
        return None if off else sound[best]

    def _keep(self, kind, ratio, value):
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


def _is_sound(number):
    return type(number) in (int, float) and SOUND[0] <= number <= SOUND[1]


def _are_sound(values):
    return isinstance(values, dict) and all(map(_is_sound, values.values()))

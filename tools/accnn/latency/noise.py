"""How far measured times spread: said of chains, refused of whole networks."""
from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.core.text import percent
from accnn.timing.clock import known_to

_WIDE = 0.35  # interquartile range over median, from which a chain is called noisy
_SHARE = 0.005  # of the whole network's time: what spreads by less does no harm


def refuse_noise(sample, what, most, best_effort=False):
    """Refuse what cannot be told from noise; with `best_effort` say so instead, and go on.

    Parameters
    ----------
    sample : dict
        With ``uncertainty`` and ``rounds``.
    what : str
    most : float
        Uncertainty that is accepted.
    best_effort : bool

    Raises
    ------
    AccnnError
    """
    if sample["uncertainty"] > most:
        known = known_to(sample["uncertainty"])
        sentence = ("this machine is too noisy to measure %s: after %d rounds %s, where %g%% is needed, and half "
                    "of them spread over %s of the median; stop what else runs, or give more `repeats`"
                    % (what, sample["rounds"], "its time is known to %s only" % known if known else
                       "nothing says how well its time is known", 100 * most, percent(sample["spread"], 0)))
        if not best_effort:
            raise AccnnError(sentence)
        say(sentence)


def report_noise(table, keys, whole_ms):
    """Say how many of some chains could not be measured well, of those that take a share of the network's time.

    Parameters
    ----------
    table : LatencyTable
    keys : iterable of str
        Of chains; those that the table does not know are passed over.
    whole_ms : float
        Of the whole network.
    """
    keys = {key for key in keys if table.ms(key) is not None}
    found = [(table.entry(key)["spread"], key) for key in keys if _spreads(table, key, whole_ms)]
    if found:
        say("noisy: %d of %d chains; the worst, %s, has an interquartile range of %s of its median; the whole "
            "network is measured in the end" % (len(found), len(keys), max(found)[1], percent(max(found)[0], 0)))


def _spreads(table, key, whole_ms):
    spread = table.entry(key)["spread"]
    return spread > _WIDE and spread * table.ms(key) > _SHARE * whole_ms

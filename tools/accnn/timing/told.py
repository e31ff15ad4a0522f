"""Samples as dicts for machines: milliseconds, never seconds."""
from math import ceil, isinf

# What became of a layer of the baseline in the new network.
REPLACED, UNCHANGED, NOT_COMPARED = "replaced", "unchanged", "not compared"


def counted_threads(number):
    """str: so many threads."""
    return "%d thread%s" % (number, "" if number == 1 else "s")


def conditions(threads, batch_size):
    """str: so many threads, and so many images in a pass."""
    return "%s, batch %d" % (counted_threads(threads), batch_size)


def described_seconds(sample, every_round=False):
    """dict: median, quartiles and number of rounds of a Sample of seconds, in milliseconds."""
    described = {"median_ms": 1e3 * sample.median, "quartiles_ms": [1e3 * value for value in sample.quartiles],
                 "spread": sample.spread, "rounds": len(sample.values)}
    if every_round:
        described["ms"] = [1e3 * value for value in sample.values]
    return described


def described_ratio(sample):
    """dict: median and quartiles of a Sample of ratios, and the ``uncertainty`` of the median; None for few rounds."""
    return {"median": sample.median, "quartiles": list(sample.quartiles), "spread": sample.spread,
            "rounds": len(sample.values), "uncertainty": None if isinf(sample.uncertainty) else sample.uncertainty}


def known_to(uncertainty):
    """str: as in '1.3%', never less than it is; empty where nothing is known of it."""
    return "" if uncertainty is None or isinf(uncertainty) else "%.1f%%" % (ceil(1000 * uncertainty - 1e-6) / 10)

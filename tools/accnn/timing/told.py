"""Samples as dicts for machines: milliseconds, never seconds."""

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
    """dict: median and quartiles of a Sample of ratios."""
    return {"median": sample.median, "quartiles": list(sample.quartiles), "spread": sample.spread,
            "rounds": len(sample.values)}

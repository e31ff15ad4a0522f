"""Work in portions, so that what is held at a time stays in bounds."""
from itertools import groupby


def portions(items, size_of, most, whole=id):
    """Yield lists of items, in order, whose sizes together are at most a bound; a list holds one group at least.

    Parameters
    ----------
    items : iterable
    size_of : callable
        ``size_of(item)``: in the unit of `most`.
    most : float
    whole : callable, optional
        ``whole(item)``: neighbours of the same value stay together. Default: every item is alone.
    """
    some, size = [], 0
    for _, group in groupby(items, whole):
        group = list(group)
        own = sum(map(size_of, group))
        if some and size + own > most:
            yield some
            some, size = [], 0
        some, size = some + group, size + own
    if some:
        yield some

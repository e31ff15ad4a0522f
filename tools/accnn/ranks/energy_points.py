"""Energy by rank of a layer and a method, as far as it is known or cheap to know."""
import numpy as np

_MOST_POINTS = 48
_MOST_LOOKED_AT = 400


def energy_points(candidate, may_decompose=True):
    """Tell what ranks keep of a kernel.

    Parameters
    ----------
    candidate : Candidate
    may_decompose : bool
        Make the decomposition where the method has singular values; else only what is known is told.

    Returns
    -------
    tuple of (rank, float)
        Smallest rank first, closer together there; empty where nothing is known.
    """
    if candidate.method.has_singular_values and (candidate.decomposed or may_decompose):
        values = candidate.decomposition.singular_values.astype(np.float64)
        values = np.square(values / (values[0] or 1))  # squares of large ones are beyond the largest number
        kept = np.cumsum(values) / (values.sum() or 1)
        return tuple((place + 1, float(kept[place])) for place in _spread(len(kept), _MOST_POINTS))
    ranks = candidate.ranks()
    known = ((rank, candidate.known_energy(rank)) for rank in (
        ranks[place] for place in _spread(len(ranks), _MOST_LOOKED_AT)))
    return tuple((rank, float(value)) for rank, value in known if value is not None)


def _spread(count, most):
    """list of int: so many places at most, closer together at the beginning."""
    if count <= most:
        return list(range(count))
    return sorted({int(round(place)) for place in np.geomspace(1, count, most) - 1} | {count - 1})


def by_rank(rank):
    """tuple of int: what ranks are sorted by, be they numbers or tuples of some."""
    return tuple(rank) if isinstance(rank, (tuple, list)) else (rank,)

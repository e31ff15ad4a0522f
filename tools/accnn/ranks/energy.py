"""What ranks keep of kernels, for methods with singular values and without."""
import contextlib

import numpy as np

from accnn.core.threads import one_blas_thread, side_by_side
from accnn.ranks.curve import Curve, measured_ranks

_POINTS = 6  # ranks at which methods without singular values are tried
_LEAST = 1e-12  # of which a logarithm is taken


def log_energies(candidates, ranks, progress):
    """Natural logarithms of the shares of squared norm that ranks keep.

    Exact for methods with singular values. Others are decomposed at a few ranks, iterative ones with less effort, and
    the share that is lost is interpolated between these.

    Parameters
    ----------
    candidates : list of Candidate
    ranks : list of list
        The ranks of every candidate that are asked for.
    progress : callable
        See :class:`accnn.planning.accelerator.Accelerator`.

    Returns
    -------
    list of ndarray
        For every candidate one number a rank.
    """
    places = range(len(candidates))
    found = [None] * len(candidates)

    def look(place):
        found[place] = np.log(np.maximum(_energies(candidates[place], ranks[place]), _LEAST))

    heavy_first = sorted(places, key=lambda place: -np.prod(candidates[place].spec.part.weight_shape))
    with one_blas_thread(), contextlib.closing(progress("weighing what ranks keep", len(candidates))) as tell:
        side_by_side(look, heavy_first, lambda done, place: tell(done, candidates[place].name))
    return found


def _energies(candidate, ranks):
    if not ranks:
        return np.zeros(0)
    if candidate.method.has_singular_values:
        return [candidate.energy(rank) for rank in ranks]
    trial = candidate.hasty()
    curve = Curve(candidate, [(rank, 1 - trial.energy(rank)) for rank in measured_ranks(candidate, _POINTS)
                              or ranks[:1]])
    trial.forget()
    return [1 - curve.at(rank) for rank in ranks]

"""What ranks keep of kernels, remembered between runs: iterative methods take seconds to tell it."""
import hashlib
import weakref

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.json_store import Damaged, JsonStore, finite

FILE = "energies.json"  # in the folder of the cache
_WHAT = "list of energies"  # to be changed when a method is, so that lists made before count as damaged

_ROUNDING = 1e-6  # by which a quotient of two sums of the same squares may be above 1


class Energies:
    """Energies by kernel, method, effort and rank.

    Parameters
    ----------
    path : str, optional
        The file, which need not be there, and may be shared by several runs; one that is damaged is said, and written
        anew. Default: nothing is kept.
    """

    def __init__(self, path=None):
        self._file, self._new = JsonStore(path, _WHAT, _parse), {}
        self._marks = weakref.WeakKeyDictionary()  # by Candidate
        try:
            self._known = self._file.read() or {}
        except (Damaged, AccnnError) as error:
            self._file.warn_once("%s: ignoring it" % error)
            self._known = {}

    def energy(self, candidate, rank):
        """float: the share of its kernel that a candidate keeps at `rank`, or None where that is not known."""
        return self._known.get(self._key(candidate, rank))

    def add(self, candidate, rank, value):
        """Keep an energy; to the last digit, so that a run that remembers chooses what one that computes does.

        One that is no share, as of terms that cancel each other until rounding is all that is left, is not kept.
        """
        key, value = self._key(candidate, rank), float(value)
        if _is_share(value) and self._known.get(key) != value:
            self._known[key] = self._new[key] = value

    def save(self):
        """Write what is new, beside what other runs wrote; where that fails it is said, once, and is no error."""
        new = dict(self._new)
        if new and self._file.save(lambda known: _document({**self._known, **(known or {}), **new}), replace=True):
            self._new = {}

    def _key(self, candidate, rank):
        if candidate not in self._marks:
            self._marks[candidate] = _mark(candidate)
        return self._marks[candidate], _how(candidate), _rank_text(rank)


def _mark(candidate):
    """str: what another kernel hardly shares, or the same numbers read as another layer's."""
    weight, spec = candidate.weight(), candidate.spec
    read_as = "%s %s groups %s maps %s" % (weight.dtype.str, list(weight.shape), spec.part.groups,
                                           spec.maps and list(spec.maps))
    mark = hashlib.blake2b(read_as.encode(), digest_size=16)
    mark.update(np.ascontiguousarray(weight).reshape(-1).view(np.uint8))
    return mark.hexdigest()


def _how(candidate):
    """str: the method, and how hard it tries where that may change the answer.

    Methods that count as not iterative may still stop at a tolerance; one SVD tells all singular values.
    """
    method, effort = candidate.method, candidate.effort
    if method.has_singular_values:
        return method.name
    return "%s seed %d restarts %d iterations %d tolerance %r" % (
        method.name, effort.seed, effort.restarts, effort.iterations, float(effort.tolerance))


def _rank_text(rank):
    return ",".join("%d" % one for one in (rank if isinstance(rank, tuple) else (rank,)))


def _document(energies):
    kernels = {}
    for (mark, how, rank), value in energies.items():
        kernels.setdefault(mark, {}).setdefault(how, {})[rank] = value
    return {"kernels": kernels}


def _parse(written):
    energies = {(mark, how, rank): finite(value) for mark, methods in written["kernels"].items()
                for how, ranks in methods.items() for rank, value in ranks.items()}
    if not all(map(_is_share, energies.values())):
        raise ValueError("an energy is below 0 or above 1")
    return energies


def _is_share(value):
    return 0 <= value <= 1 + _ROUNDING

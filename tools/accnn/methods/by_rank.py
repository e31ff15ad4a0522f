"""Kernels whose factors an iteration finds for each rank anew, the last ones kept."""
from abc import abstractmethod

from accnn.methods.base import Decomposition
from accnn.methods.hooi import places_first, squared_norm


class ByRank(Decomposition):
    """A kernel as a tensor, what was found of it at the last rank, and what is told of every rank that was asked for.

    Parameters
    ----------
    weight : ndarray of shape (N, C, kh, kw)
    effort : Effort
    """

    def __init__(self, weight, effort):
        self._kernel, self._effort = weight.shape[2:], effort
        self._tensor, self._scale = places_first(weight)  # kept, so that energies need no kernel
        self._norm = squared_norm(self._tensor)
        self._last, self._told = (None, None), {}  # (rank, what was found); by rank (energy, how it ended)

    @abstractmethod
    def _solve(self, rank):
        """(what factors are made of, energy from 0 to 1, how the iteration ended), for the tensor (P, N, C)."""

    def energy(self, rank):
        """Share of the squared norm of the kernel that its factors at `rank` keep."""
        if rank not in self._told:
            self._solved(rank)
        return self._told[rank][0]

    def _solved(self, rank):
        if self._last[0] != rank:
            found, energy, ended = self._solve(rank)
            self._last, self._told[rank] = (rank, found), (energy, ended)
        return self._last[1]

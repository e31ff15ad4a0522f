"""The systems of equations that the parts of a chain are solved from."""
from dataclasses import dataclass
from typing import List

import numpy as np
from scipy import linalg

_STEPS = 6  # of conjugate gradients: preconditioned, these systems need no more before the next part's turn
_GROUPED_STEPS = 12  # groups are coupled, which the preconditioner does not know
_DENSE = 5000  # unknowns of a part with groups that are solved for at once, from a matrix of 0.2 GB
_JITTER = 1e-9  # of a matrix's mean diagonal, where it is singular


@dataclass(frozen=True, eq=False)
class Seen:
    """What a part sees of a target at the offsets that the parts behind it look at.

    Attributes
    ----------
    grams : list of list of ndarray, shape (m, m)
        F_o S F_p^T for all pairs of offsets, m values being read at each.
    cross : list of ndarray, shape (N, m)
        T F_o^T for every one.
    """

    grams: List[List[np.ndarray]]
    cross: List[np.ndarray]


def solve_part(couplings, seen, goal, start, taps=1, groups=1):
    """The part X with ``sum over o and p of C_op X S_po = goal``, or nearer to it than `start`.

    Exact where there is one offset and one group, and where a part with groups has few values; else some steps of
    conjugate gradients.

    Parameters
    ----------
    couplings : list of list of ndarray, shape (out, out)
        C_op = L_o^T G L_p, for all pairs of offsets.
    seen : Seen
        S_po are its grams.
    goal, start : ndarray of shape (out, m)
        In the order of :func:`accnn.reconstruction.fitting.as_matrix`.
    taps, groups : int
        At every one of so many taps X is 0 outside of so many blocks on its diagonal.

    Returns
    -------
    ndarray of shape (out, m)
    """
    offsets = range(len(couplings))
    rows, columns = _blocks(start.shape, taps, groups)
    if groups > 1 and rows.size * columns.shape[1] <= _DENSE:
        return _at_once(couplings, seen, goal, rows, columns)
    outer = [sum(couplings[o][o][np.ix_(some, some)] for o in offsets) for some in rows]
    inner = [sum(seen.grams[o][o][np.ix_(some, some)] for o in offsets) / len(offsets) for some in columns]
    factors = [(factored(one), factored(other)) for one, other in zip(outer, inner)]

    def kept(part):
        return [part[np.ix_(some, others)] for some, others in zip(rows, columns)]

    def spread(blocks):
        part = np.zeros(start.shape)
        for some, others, block in zip(rows, columns, blocks):
            part[np.ix_(some, others)] = block
        return part

    def apply(part):
        made = sum(couplings[o][p] @ (part @ seen.grams[p][o]) for o in offsets for p in offsets)
        return made if groups == 1 else spread(kept(made))

    def precondition(part):
        """A Kronecker product of the means over the offsets: the whole system where there is a single one."""
        return spread(solved(one[1], solved(one[0], block).T).T for one, block in zip(factors, kept(part)))

    if groups == 1 and len(offsets) == 1:
        return precondition(goal)
    goal = goal if groups == 1 else spread(kept(goal))
    return _conjugate_gradients(apply, precondition, start, goal, _STEPS if groups == 1 else _GROUPED_STEPS)


def _blocks(shape, taps, groups):
    """(rows, columns) of the blocks of a part that are no zeros: ndarrays of shapes (groups, ..)."""
    columns = np.arange(shape[1]).reshape(taps, groups, -1)
    return np.arange(shape[0]).reshape(groups, -1), columns.transpose(1, 0, 2).reshape(groups, -1)


def _at_once(couplings, seen, goal, rows, columns):
    """Solve for all values of the blocks: one equation each."""
    row = np.repeat(rows, columns.shape[1], axis=1).ravel()
    column = np.tile(columns[:, None], (1, rows.shape[1], 1)).ravel()
    matrix = sum(coupling[np.ix_(row, row)] * gram[np.ix_(column, column)]
                 for some, others in zip(couplings, seen.grams) for coupling, gram in zip(some, others))
    found = np.zeros(goal.shape)
    found[row, column] = solve_positive(matrix, goal[row, column])
    return found


def solve_positive(matrix, right):
    """Solve ``matrix @ x = right`` for a symmetric positive matrix that may be singular."""
    return solved(factored(matrix), right)


def factored(matrix):
    """Cholesky factor of a positive matrix; of a singular one after a little was added to its diagonal."""
    lifted_by = _JITTER * (np.trace(matrix) / len(matrix) or 1.0)
    while True:
        try:
            return linalg.cho_factor(matrix + lifted_by * np.eye(len(matrix)), overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            lifted_by *= 100


def solved(factor, right):
    """Solve with the factor of :func:`factored`."""
    return linalg.cho_solve(factor, right, check_finite=False)


def _conjugate_gradients(apply, precondition, found, goal, steps):
    rest = goal - apply(found)
    direction = precondition(rest)
    size = first = float(np.vdot(rest, direction))
    for _ in range(steps):
        image = apply(direction)
        curvature = float(np.vdot(direction, image))
        if not (curvature > 0 and size > 1e-12 * first):
            break
        found = found + size / curvature * direction
        rest = rest - size / curvature * image
        step = precondition(rest)
        size, before = float(np.vdot(rest, step)), size
        direction = step + size / before * direction
    return found

"""Factors of a chain of linear parts, fitted to responses one part after the other, the others held.

A chain is linear, so at one place of its output it is a dense kernel W' applied to a patch. How far its answers are
from the true ones is therefore a quadratic form of W', with the moments of the patches as its matrix: no sample is
looked at again, whatever the method and the number of parts.
"""
from itertools import product as pairs

import numpy as np
from scipy import linalg

_STEPS = 6  # of conjugate gradients: preconditioned, these systems need no more before the next part's turn
_JITTER = 1e-9  # of a matrix's mean diagonal, where it is singular


class Target:
    """What a chain is fitted to: moments of the samples, and a pull towards the layer's own kernel.

    Attributes
    ----------
    gram : ndarray of float64, shape (D, D)
        S = Cov(x) + r I.
    cross : ndarray of float64, shape (N, D)
        T = Cov(y, x) + r W: where the samples say nothing the kernel itself is what is approximated.
    importance : ndarray of shape (N,)
        Weight of every output's squared error.

    Parameters
    ----------
    moments : Moments
    kernel : ndarray of shape (N, D)
        The layer's own, W.
    ridge : float
        r as a share of the mean variance of x.
    importance : ndarray of shape (N,), optional
        Default: all the same.
    """

    def __init__(self, moments, kernel, ridge, importance=None):
        ridge = ridge * np.trace(moments.xx) / len(moments.xx)
        self.gram = moments.xx.copy()
        self.gram[np.diag_indices_from(self.gram)] += ridge
        self.cross = moments.yx + ridge * kernel
        self.importance = np.ones(len(kernel)) if importance is None else importance


class ChainFit:
    """The parts of a chain, and what they are fitted to.

    Improves ``tr(G (W' S W'^T - 2 T W'^T))``, W' being the kernel of the whole chain, S and T the target's moments and
    G the diagonal matrix of its importances, over one part at a time.

    Parameters
    ----------
    lifts : list of ndarray
        The kernels of the parts, see :func:`lifted`. Of every spatial axis one part at most is longer than 1.
    target : Target
    """

    def __init__(self, lifts, target):
        self.lifts = [lift.astype(np.float64) for lift in lifts]
        self.target = target
        self._blocks = {}

    def kernel(self):
        """ndarray of shape (N, D): the chain as one dense kernel, in the order of ``weight.reshape(N, -1)``."""
        return flat_kernel(self.lifts)

    def solve_last(self):
        """Put the best last part for the others: exact, a linear regression on what that part reads."""
        features = seen_by_last(self.lifts)
        gram, cross = features @ self.target.gram @ features.T, self.target.cross @ features.T
        self.lifts[-1] = unrolled(solve_positive(gram, cross.T).T, self.lifts[-1].shape)

    def sweep(self):
        """Improve every part once, from the one before the last to the first, and solve the last anew."""
        for place in range(len(self.lifts) - 2, -1, -1):
            self._improve(place)
        self.solve_last()

    def _improve(self, place):
        """Solve for one part; by conjugate gradients where the parts behind it look at several places.

        Over the offsets o that the parts behind look at, W' is the sum of L_o X F_o, where X is the part, L_o what
        is behind it and F_o the values it reads there. The preconditioner, a Kronecker product of the means over o, is
        the whole system where there is a single offset.
        """
        behind = product(self.lifts[place + 1:])
        offsets = list(pairs(range(behind.shape[0]), range(behind.shape[1])))
        left = [behind[offset] for offset in offsets]
        weighed = [(self.target.importance[:, None] * side).T for side in left]
        grams, cross = self._seen_at(place, offsets)
        start = rolled(self.lifts[place])
        goal = sum(side @ part for side, part in zip(weighed, cross))
        couplings = [[one @ other for other in left] for one in weighed]
        outer = factored(sum(couplings[o][o] for o in range(len(offsets))))
        inner = self._inner(place, grams)

        def apply(part):
            return sum(couplings[o][p] @ (part @ grams[p][o]) for o in range(len(offsets)) for p in range(len(offsets)))

        def precondition(part):
            return solved(inner, solved(outer, part).T).T

        found = precondition(goal) if len(offsets) == 1 else _conjugate_gradients(apply, precondition, start, goal)
        self.lifts[place] = unrolled(found, self.lifts[place].shape)

    def _seen_at(self, place, offsets):
        """(grams, cross): F_p S F_o^T for all pairs of offsets, and T F_o^T for every one."""
        if place == 0 and 0 in self._blocks:  # nothing before it, so nothing changed
            return self._blocks[0][:2]
        reads = [self._reads(place, offset, offsets) for offset in offsets]
        if place == 0:
            grams = [[self.target.gram[np.ix_(one, other)] for other in reads] for one in reads]
            cross = [self.target.cross[:, one] for one in reads]
            self._blocks[0] = grams, cross, None
            return grams, cross
        halves = [one @ self.target.gram for one in reads]
        return [[half @ other.T for other in reads] for half in halves], [self.target.cross @ one.T for one in reads]

    def _inner(self, place, grams):
        mean = sum(grams[o][o] for o in range(len(grams))) / len(grams)
        if place > 0:
            return factored(mean)
        grams, cross, inner = self._blocks[0]
        if inner is None:
            inner = factored(mean)
            self._blocks[0] = grams, cross, inner
        return inner

    def _reads(self, place, offset, offsets):
        """F_o: which values of a patch the first part reads at an offset, or how a later one reads them (m, D)."""
        kernel = np.broadcast_shapes(*(lift.shape[:2] for lift in self.lifts))
        channels = self.lifts[0].shape[3]
        seen = np.arange(channels * kernel[0] * kernel[1]).reshape((channels,) + kernel)
        own = self.lifts[place].shape[:2]
        fixed = [max(offsets)[axis] > 0 for axis in (0, 1)]
        rows = [offset[0]] if fixed[0] else range(kernel[0])
        columns = [offset[1]] if fixed[1] else range(kernel[1])
        if place == 0:
            return seen[:, rows][:, :, columns].transpose(1, 2, 0).ravel()
        before = product(self.lifts[:place])
        found = np.zeros(own + (before.shape[2], seen.size))
        for i, j in pairs(rows, columns):
            at = min(i, before.shape[0] - 1), min(j, before.shape[1] - 1)
            found[min(i, own[0] - 1), min(j, own[1] - 1)][:, seen[:, i, j]] = before[at]
        return found.reshape(-1, seen.size)


def lifted(weight, groups=1):
    """The kernel of a part with its spatial axes in front, so that parts in sequence multiply as matrices.

    Parameters
    ----------
    weight : ndarray of shape (out, in/groups, kh, kw) or (out, in)
    groups : int
        More than one give blocks on the diagonal of a dense kernel.

    Returns
    -------
    ndarray of float64, shape (kh, kw, out, in)
    """
    weight = np.asarray(weight, np.float64).reshape(weight.shape + (1,) * (4 - weight.ndim))
    if groups > 1:
        out, within = weight.shape[0] // groups, weight.shape[1]
        dense = np.zeros((weight.shape[0], within * groups) + weight.shape[2:])
        for group in range(groups):
            rows = slice(group * out, (group + 1) * out)
            dense[rows, group * within:(group + 1) * within] = weight[rows]
        weight = dense
    return np.ascontiguousarray(weight.transpose(2, 3, 0, 1))


def lowered(lift):
    """The inverse of :func:`lifted` without groups: ndarray of shape (out, in, kh, kw)."""
    return np.ascontiguousarray(lift.transpose(2, 3, 0, 1))


def product(lifts):
    """The kernel of parts in sequence, lifted."""
    whole = lifts[0]
    for lift in lifts[1:]:
        whole = np.matmul(lift, whole)
    return whole


def flat_kernel(lifts):
    """ndarray of shape (N, D): the kernel of parts in sequence, in the order of ``weight.reshape(N, -1)``."""
    return lowered(product(lifts)).reshape(lifts[-1].shape[2], -1)


def seen_by_last(lifts):
    """What the last part reads, as a function of the patch.

    Parameters
    ----------
    lifts : list of ndarray

    Returns
    -------
    ndarray of shape (m, D)
        m = taps of the last part x its inputs, in the order of :func:`rolled`.
    """
    last = lifts[-1]
    if len(lifts) == 1:
        order = np.arange(lowered(last)[0].size).reshape((last.shape[3],) + last.shape[:2]).transpose(1, 2, 0)
        return np.eye(order.size)[order.ravel()]
    kernel = np.broadcast_shapes(*(lift.shape[:2] for lift in lifts))
    before = product(lifts[:-1])
    found = np.zeros(last.shape[:2] + (last.shape[3], before.shape[3]) + kernel)
    for i, j in pairs(*map(range, kernel)):
        at = min(i, before.shape[0] - 1), min(j, before.shape[1] - 1)
        found[min(i, last.shape[0] - 1), min(j, last.shape[1] - 1)][:, :, i, j] = before[at]
    return found.reshape(last.shape[0] * last.shape[1] * last.shape[3], -1)


def solve_positive(matrix, right):
    """Solve ``matrix @ x = right`` for a symmetric positive matrix that may be singular."""
    return solved(factored(matrix), right)


def solved(factor, right):
    """Solve with the factor of :func:`factored`."""
    return linalg.cho_solve(factor, right, check_finite=False)


def _conjugate_gradients(apply, precondition, found, goal):
    rest = goal - apply(found)
    direction = precondition(rest)
    size = first = float(np.vdot(rest, direction))
    for _ in range(_STEPS):
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


def factored(matrix):
    """Cholesky factor of a positive matrix; of a singular one after a little was added to its diagonal."""
    lifted_by = _JITTER * (np.trace(matrix) / len(matrix) or 1.0)
    while True:
        try:
            return linalg.cho_factor(matrix + lifted_by * np.eye(len(matrix)), overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            lifted_by *= 100


def rolled(lift):
    """ndarray of shape (out, m): the kernel of a part as a matrix that multiplies what it reads, (kh, kw, in)."""
    return lift.transpose(2, 0, 1, 3).reshape(lift.shape[2], -1)


def unrolled(rows, shape):
    """The inverse of :func:`rolled`, for a lifted kernel of `shape`."""
    return rows.reshape((shape[2],) + shape[:2] + (shape[3],)).transpose(1, 2, 0, 3)

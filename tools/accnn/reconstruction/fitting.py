"""Factors of a chain of linear parts, fitted to responses one part after the other, the others held.

A chain is linear, so at one place of its output it is a dense kernel W' applied to a patch. How far its answers are
from the true ones is therefore a quadratic form of W', with the moments of the patches as its matrix: no sample is
looked at again, whatever the method and the number of parts.
"""
from copy import copy
from itertools import product as pairs

import numpy as np

from accnn.reconstruction.quadratic import Seen, solve_part, solve_positive

_BALANCING = 20  # rounds over all parts, at most: with four of them imbalances halve in each
_BALANCED = 1e-3


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

    def seen_through(self, lift, groups, window):
        """The target of what is behind a first part.

        Parameters
        ----------
        lift : ndarray
            The part, see :func:`to_spatial_first`.
        groups : int
        window : tuple of int
            The kernel (kh, kw) of the whole chain.

        Returns
        -------
        Target
        """
        through = copy(self)
        through.cross = _read_through(self.cross, lift, groups, window)
        half = _read_through(self.gram, lift, groups, window)
        through.gram = _read_through(half.T, lift, groups, window)
        return through


class ChainFit:
    """The parts of a chain, and what they are fitted to.

    Improves ``tr(G (W' S W'^T - 2 T W'^T))``, W' being the kernel of the whole chain, S and T the target's moments and
    G the diagonal matrix of its importances, over one part at a time.

    Parameters
    ----------
    lifts : list of ndarray
        The kernels of the parts, see :func:`to_spatial_first`. Of every spatial axis one part at most is longer than 1.
    target : Target
    groups : sequence of int, optional
        How many blocks on its diagonal every part has; the last one has 1. Default: 1 each.
    """

    def __init__(self, lifts, target, groups=None):
        self.lifts = [lift.astype(np.float64) for lift in lifts]
        self.target = target
        self._groups = tuple(groups or (1,) * len(lifts))
        self._seen = None

    def kernel(self):
        """ndarray of shape (N, D): the chain as one dense kernel, in the order of ``weight.reshape(N, -1)``."""
        return flat_kernel(self.lifts)

    def widest(self):
        """int: the most values that any part reads at one place of the output; a sweep holds their Gram matrix."""
        widths, (height, width) = [], self._window()
        for lift in self.lifts:
            widths.append(lift.shape[3] * height * width)
            height, width = height // lift.shape[0], width // lift.shape[1]
        return max(widths)

    def solve_last(self):
        """Put the best last part for the others: exact, a linear regression on what that part reads."""
        features = seen_by_last(self.lifts)
        gram, cross = features @ self.target.gram @ features.T, self.target.cross @ features.T
        self.lifts[-1] = from_matrix(solve_positive(gram, cross.T).T, self.lifts[-1].shape)

    def sweep(self):
        """Improve every part once, from the first to the last.

        What is behind a part that was improved is a shorter chain, whose target is this one's as that part sees it.
        """
        if len(self.lifts) == 1:
            self.solve_last()
            return
        self._improve_first()
        rest = ChainFit(self.lifts[1:], self.target.seen_through(self.lifts[0], self._groups[0], self._window()),
                        self._groups[1:])
        rest.sweep()
        self.lifts[1:] = rest.lifts

    def _window(self):
        return np.broadcast_shapes(*(lift.shape[:2] for lift in self.lifts))

    def _improve_first(self):
        """Solve for the first part; by conjugate gradients where that is no small system.

        Over the offsets o that the parts behind look at, W' is the sum of L_o X F_o, where X is the part, L_o what
        is behind it and F_o picks the values it reads there.
        """
        behind = self._behind_first()
        offsets = list(pairs(range(behind.shape[0]), range(behind.shape[1])))
        left = [behind[offset] for offset in offsets]
        weighed = [(self.target.importance[:, None] * side).T for side in left]
        couplings = [[one @ other for other in left] for one in weighed]
        seen = self._seen_at(offsets)
        goal = sum(side @ part for side, part in zip(weighed, seen.cross))
        first = self.lifts[0]
        found = solve_part(couplings, seen, goal, as_matrix(first), first.shape[0] * first.shape[1], self._groups[0])
        self.lifts[0] = from_matrix(found, first.shape)

    def _behind_first(self):
        """The kernel of all parts but the first; from the last one, which has the fewest rows, and group by group."""
        whole = self.lifts[-1]
        for lift, groups in zip(self.lifts[-2:0:-1], self._groups[-2:0:-1]):
            whole = _times_blocks(whole, lift, groups)
        return whole

    def _seen_at(self, offsets):
        """What the first part sees of the target at every offset; it stays the same whatever the parts are."""
        if self._seen is None:
            window = self._window()
            values = np.arange(self.lifts[0].shape[3] * window[0] * window[1]).reshape((-1,) + window)
            fixed = [max(offsets)[axis] > 0 for axis in (0, 1)]
            reads = []
            for i, j in offsets:
                rows, columns = ([i] if fixed[0] else range(window[0])), ([j] if fixed[1] else range(window[1]))
                reads.append(values[:, rows][:, :, columns].transpose(1, 2, 0).ravel())
            self._seen = Seen([[self.target.gram[np.ix_(one, other)] for other in reads] for one in reads],
                              [self.target.cross[:, one] for one in reads])
        return self._seen


def to_spatial_first(weight, groups=1):
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


def from_spatial_first(lift, groups=1):
    """The inverse of :func:`to_spatial_first`: ndarray of shape (out, in/groups, kh, kw)."""
    weight = lift.transpose(2, 3, 0, 1)
    if groups > 1:
        out, within = weight.shape[0] // groups, weight.shape[1] // groups
        weight = np.concatenate([weight[group * out:(group + 1) * out, group * within:(group + 1) * within]
                                 for group in range(groups)])
    return np.ascontiguousarray(weight)


def _times_blocks(whole, lift, groups):
    """``np.matmul(whole, lift)`` for a kernel of so many blocks of one shape on its diagonal, spatial axes first."""
    outputs, inputs = lift.shape[2] // groups, lift.shape[3] // groups
    number = np.arange(groups)
    blocks = lift.reshape(lift.shape[:2] + (groups, outputs, groups, inputs))[:, :, number, :, number]
    blocks = blocks.transpose(1, 2, 0, 3, 4)  # the axis of groups came out in front
    rows = whole.reshape(whole.shape[:3] + (groups, outputs)).transpose(0, 1, 3, 2, 4)
    made = rows * blocks if outputs == inputs == 1 else np.matmul(rows, blocks)
    return made.transpose(0, 1, 3, 2, 4).reshape(made.shape[:2] + (whole.shape[2], groups * inputs))


def _read_through(rows, lift, groups, window):
    """What rows that multiply patches of a chain's input are when they multiply what its first part makes of them.

    Parameters
    ----------
    rows : ndarray of shape (n, C kh kw)
    lift : ndarray of shape (1 or kh, 1 or kw, out, C)
    groups : int
    window : tuple of int
        (kh, kw)

    Returns
    -------
    ndarray of shape (n, out kh' kw')
        kh' is 1 where the part has all kh taps, else kh; likewise kw'.
    """
    (own_h, own_w, outputs, inputs), (height, width) = lift.shape, window
    left = height // own_h, width // own_w  # taps of what is behind
    weight = from_spatial_first(lift, groups).reshape(groups, outputs // groups, -1)  # rows (in/groups, own_h, own_w)
    # One of (own_h, left_h) is 1, so that their product is the axis itself.
    split = rows.reshape(len(rows), groups, inputs // groups, own_h, left[0], own_w, left[1])
    split = split.transpose(1, 2, 3, 5, 0, 4, 6).reshape(groups, weight.shape[2], -1)
    made = np.matmul(weight, split).reshape(outputs, len(rows), left[0] * left[1])
    return made.transpose(1, 0, 2).reshape(len(rows), -1)


def product(lifts):
    """The kernel of parts in sequence, to_spatial_first."""
    whole = lifts[0]
    for lift in lifts[1:]:
        whole = np.matmul(lift, whole)
    return whole


def flat_kernel(lifts):
    """ndarray of shape (N, D): the kernel of parts in sequence, in the order of ``weight.reshape(N, -1)``."""
    return from_spatial_first(product(lifts)).reshape(lifts[-1].shape[2], -1)


def balanced(lifts):
    """The same chain with every channel between two parts as large behind the one as in front of the other.

    Parameters
    ----------
    lifts : list of ndarray

    Returns
    -------
    list of ndarray
        Their product is the same. Fits leave channels on any scale, and a gradient step is as much too large for the
        parts behind a small one as it is too small for it.
    """
    squares = [np.square(lift).sum((0, 1)) for lift in lifts]  # all that scales depend on, and what they are tried on
    scales = [np.ones(len(one)) for one in squares]
    for _ in range(_BALANCING):
        off = 0.0
        for place in range(len(lifts) - 1):
            made, read = squares[place].sum(1), squares[place + 1].sum(0)
            scale = np.divide(read, made, out=np.ones_like(made), where=(made > 0) & (read > 0)) ** 0.25
            squares[place:place + 2] = squares[place] * np.square(scale)[:, None], squares[place + 1] / np.square(scale)
            scales[place] *= scale
            off = max(off, np.abs(np.log(scale)).max(initial=0))
        if off <= _BALANCED:
            break
    return [lifts[0] * scales[0][:, None]] + [lift * scale[:, None] / before for lift, scale, before in
                                             zip(lifts[1:], scales[1:], scales)]


def seen_by_last(lifts):
    """What the last part reads, as a function of the patch.

    Parameters
    ----------
    lifts : list of ndarray

    Returns
    -------
    ndarray of shape (m, D)
        m = taps of the last part x its inputs, in the order of :func:`as_matrix`.
    """
    last = lifts[-1]
    if len(lifts) == 1:
        order = np.arange(from_spatial_first(last)[0].size).reshape((last.shape[3],) + last.shape[:2]).transpose(1, 2,
                                                                                                                 0)
        return np.eye(order.size)[order.ravel()]
    kernel = np.broadcast_shapes(*(lift.shape[:2] for lift in lifts))
    before = product(lifts[:-1])
    found = np.zeros(last.shape[:2] + (last.shape[3], before.shape[3]) + kernel)
    for i, j in pairs(*map(range, kernel)):
        at = min(i, before.shape[0] - 1), min(j, before.shape[1] - 1)
        found[min(i, last.shape[0] - 1), min(j, last.shape[1] - 1)][:, :, i, j] = before[at]
    return found.reshape(last.shape[0] * last.shape[1] * last.shape[3], -1)


def as_matrix(lift):
    """ndarray of shape (out, m): the kernel of a part as a matrix that multiplies what it reads, (kh, kw, in)."""
    return lift.transpose(2, 0, 1, 3).reshape(lift.shape[2], -1)


def from_matrix(rows, shape):
    """The inverse of :func:`as_matrix`, for a kernel of `shape`, spatial axes first."""
    return rows.reshape((shape[2],) + shape[:2] + (shape[3],)).transpose(1, 2, 0, 3)

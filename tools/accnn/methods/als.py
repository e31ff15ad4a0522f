"""Canonical polyadic (CP) decomposition of a kernel by alternating least squares, kept from degenerating.

A kernel (N, C, kh, kw) becomes a sum of R rank-one terms a_r o b_r o ... o d_r: a over the C channels, d over the N
filters, one vector for every spatial mode in between. Modes are (kh, kw), or (kh kw,) where space is kept whole.
Own code, since TensorLy's ``parafac`` forms Khatri-Rao products of the kernel's own size and unfolds it anew in every
step, which takes several times as long to a larger error.
"""
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from scipy import linalg

from accnn.methods.svd import BalancedSVD

# What a unit of sum ||term||^2 / ||W||^2 must save at least of the squared error, as a share of it. At 0.003 the
# terms of VGG's, SqueezeNet's and ResNet's kernels have 2 to 10 of these in all, instead of hundreds to thousands,
# and the error after 200 sweeps is the same or less, because the swamps of ALS are where terms cancel.
PRICE = 0.003
_FLOOR = 1e-9  # of the squared error: float32 products tell no smaller one
_RIDGE = 1e-10  # keeps systems of parallel terms positive definite; columns have unit length
_WINDOW = 10  # sweeps over which a gain is averaged: with momentum a single one says little


@dataclass(frozen=True)
class Terms:
    """R rank-one terms whose sum is near the kernel.

    Attributes
    ----------
    channels : ndarray of shape (C, R)
    space : tuple of ndarray
        One for every spatial mode, of shapes (kh, R) and (kw, R), or (kh kw, R).
    filters : ndarray of shape (N, R)
    """

    channels: np.ndarray
    space: Tuple[np.ndarray, ...]
    filters: np.ndarray

    def balanced(self, scale=1.0):
        """Terms times `scale`, in float32, with the length of each shared equally among its factors."""
        factors = (self.channels,) + tuple(self.space) + (self.filters,)
        lengths = [_lengths(factor) for factor in factors]
        share = np.prod([length ** (1 / len(factors)) for length in lengths], axis=0) * scale ** (1 / len(factors))
        channels, *space, filters = ((factor * (share / length)).astype(np.float32)
                                     for factor, length in zip(factors, lengths))
        return Terms(channels, tuple(space), filters)

    def squared_norms(self):
        """float: the sum of the squared norms of the terms; large against the kernel's where they cancel."""
        factors = (self.channels,) + tuple(self.space) + (self.filters,)
        return float(np.prod([np.square(np.asarray(f, np.float64)).sum(axis=0) for f in factors], axis=0).sum())

    def normalised(self):
        """The same terms with the whole length of each in its filters."""
        return Terms(_unit(self.channels), tuple(map(_unit, self.space)), self.filters * np.prod(
            [_lengths(f) for f in (self.channels,) + tuple(self.space)], axis=0))


@dataclass(frozen=True)
class Fit:
    """Terms, and how they came about.

    Attributes
    ----------
    terms : Terms
    error : float
        Squared error, as a share of the kernel's squared norm, as float32 products tell it.
    sweeps : int
    gain : float or None
        Of fitness by sweep, at the end, where iterations ran out; None where that was less than the tolerance.
    """

    terms: Terms
    error: float
    sweeps: int = 0
    gain: Optional[float] = None

    @property
    def objective(self):
        """float: what sweeps minimise, see :func:`fit`."""
        return np.log(max(self.error, _FLOOR)) + PRICE * self.terms.squared_norms()


class Tensor:
    """A kernel of unit norm as matrix products want it: places first, both ways round.

    Parameters
    ----------
    weight : ndarray of shape (N, C, kh, kw)
    modes : tuple of int
        (kh, kw), or (kh kw,); a mode of 1 may be left out.

    Attributes
    ----------
    norm : float
        Of the weight.
    places : ndarray of float32, shape (kh kw, C, N)
    turned : ndarray of float32, shape (kh kw, N, C)
    """

    def __init__(self, weight, modes):
        # In two steps, because squares of float64 weights could overflow.
        largest = float(np.abs(weight).max()) or 1.0
        scaled = np.asarray(weight, np.float64) / largest
        length = float(np.linalg.norm(scaled)) or 1.0
        self.norm, self.modes = largest * length, tuple(modes)
        kernel = (scaled / length).astype(np.float32).reshape(weight.shape[:2] + (-1,))
        self.places = np.ascontiguousarray(kernel.transpose(2, 1, 0))
        self.turned = np.ascontiguousarray(kernel.transpose(2, 0, 1))

    def error(self, terms):
        """float: squared distance of the sum of `terms` from the tensor; by what is left, so small ones are right."""
        space = spatial(terms.space)
        return float(sum(np.square(place - (terms.channels * row) @ terms.filters.T, dtype=np.float64).sum()
                         for place, row in zip(self.places, space)))


class Slices:
    """Starts for ALS: the kernel's places rotated, and each of these slices taken apart by its SVD.

    Rotated places (kh kw matrices C x N, one for every product of spatial basis vectors) are orthogonal to each
    other, and so are all terms of all slices. The R largest of all are a start that needs no luck: its squared error
    is what the other singular values have, falls with every term, reaches zero with kh kw min(C, N) of them, and
    nothing cancels.

    Parameters
    ----------
    tensor : Tensor
    rng : RandomState or None
        Draws the spatial bases; None takes the singular vectors of the unfoldings by space, which gather most.
    """

    def __init__(self, tensor, rng=None):
        self._bases = [_basis(tensor, mode, rng) for mode in range(len(tensor.modes))]
        self._svds = [BalancedSVD(place) for place in self._rotated(tensor)]
        self._values = np.array([svd.singular_values for svd in self._svds])

    def start(self, tensor, rank):
        """Return the Fit of the `rank` largest terms."""
        # A stable order, so that equal values do not depend on the library.
        chosen = np.argsort(-self._values, axis=None, kind="stable")[:rank]
        counts = np.bincount(chosen // self._values.shape[1], minlength=len(self._svds))
        pairs = [svd.factors(place, count) for svd, place, count in zip(self._svds, self._rotated(tensor), counts)]
        where = np.unravel_index(np.repeat(np.arange(len(counts)), counts), tensor.modes)
        terms = Terms(np.concatenate([left for left, _ in pairs], axis=1),
                      tuple(basis[:, index] for basis, index in zip(self._bases, where)),
                      np.concatenate([right for _, right in pairs]).T).normalised()
        return Fit(terms, tensor.error(terms))

    def _rotated(self, tensor):
        """ndarray of float32, shape (kh kw, C, N)."""
        rotation = self._bases[0] if len(self._bases) == 1 else np.kron(*self._bases)
        return np.tensordot(rotation.T.astype(np.float32), tensor.places, 1)


def fit(tensor, start, effort):
    """Improve terms by sweeps of least squares over one factor after another, with momentum.

    Parameters
    ----------
    tensor : Tensor
    start : Fit
    effort : Effort
        At most its iterations; fewer, when ten of them gain less fitness than ten times its tolerance.

    Returns
    -------
    Fit
        Never worse than `start` in ``log(error) + PRICE * s``, with s the sum of the squared norms of the terms. So
        terms that cancel must pay: s exceeds that of the start by at most ``log(error before / error) / PRICE``.

    Notes
    -----
    The penalty is that of Phan et al. 2020, equations 8 to 11, who shrink s at the error that plain ALS has reached:
    for factors of unit length it is a ridge, here of ``PRICE * error``. Linearising the logarithm makes a sweep with
    this ridge lower the objective, and lets the ridge vanish with the error, so that kernels of exact low rank are
    found as exactly as float32 tells: to some 0.2% of their norm. Pricing terms from the start, rather than repairing
    what has degenerated, keeps ALS out of swamps.

    Momentum: the next sweep starts at x + beta (x - previous x), beta grows while that helps; a sweep after which the
    objective is higher is thrown away (Mitchell, Ye, De Sterck 2020; Ang et al. 2019). It gains what plain sweeps
    take two to five times as long for.

    References
    ----------
    Kolda, Bader, "Tensor decompositions and applications", 2009, section 3.4.
    Phan et al., "Stable low-rank tensor decomposition for compression of convolutional neural networks", ECCV 2020.
    """
    if start.error < _FLOOR:
        return start
    best, previous, momentum, fitness = start, start, _Momentum(), [1 - start.error ** 0.5]
    for sweeps in range(1, effort.iterations + 1):
        tried = _sweep(tensor, momentum.ahead(best, previous), best.error)
        better = tried.objective <= best.objective
        momentum.learn(better)
        best, previous = (tried if better else best), best
        fitness.append(1 - max(best.error, 0.0) ** 0.5)
        gain = (fitness[-1] - fitness[max(-1 - _WINDOW, -len(fitness))]) / min(_WINDOW, sweeps)
        if best.error < _FLOOR or sweeps >= _WINDOW and gain <= effort.tolerance:
            return Fit(best.terms, best.error, sweeps)
    return Fit(best.terms, best.error, effort.iterations, gain)


def spatial(space):
    """ndarray of shape (kh kw, R): what the terms have at every place, from one factor or the two of height, width."""
    if len(space) == 1:
        return space[0]
    height, width = space
    return (height[:, None] * width[None]).reshape(-1, height.shape[1])


class _Momentum:
    """How far to run ahead: as far as it has helped, growing slowly, halved where it did not."""

    def __init__(self):
        self._step, self._most = 0.5, 1.0

    def ahead(self, best, previous):
        """Terms on the line from `previous` to `best`, beyond it; channels follow from the others, so are not moved."""
        if best is previous:
            return best.terms
        new, old, step = best.terms, previous.terms, self._step
        return Terms(new.channels, tuple(a + step * (a - b) for a, b in zip(new.space, old.space)),
                     new.filters + step * (new.filters - old.filters))

    def learn(self, helped):
        if helped:
            self._step, self._most = min(self._step * 1.05, self._most), self._most * 1.05
        else:
            self._step, self._most = self._step / 2, self._step


def _sweep(tensor, terms, error):
    """One pass over channels, space, filters; a Fit whose filters carry the length of the terms."""
    ridge = PRICE * error + _RIDGE
    space, filters = tuple(map(_unit, terms.space)), _unit(terms.filters)
    by_filters, gram_filters = _product(tensor.places, filters), _grams(filters)
    right = np.einsum("pcr,pr->cr", by_filters, _single(spatial(space)))
    channels = _unit(_solve(gram_filters * _grams(*space), right, ridge))
    gram_channels = _grams(channels)
    by_both = np.einsum("pcr,cr->pr", by_filters, _single(channels)).astype(np.float64)
    space = _space_step(tensor.modes, by_both, gram_channels * gram_filters, space, ridge)
    right = np.einsum("pnr,pr->nr", _product(tensor.turned, channels), _single(spatial(space))).astype(np.float64)
    filters = _solve(gram_channels * _grams(*space), right, ridge)
    # By the normal equations, as <filters gram, filters> = <right, filters> - ridge ||filters||^2.
    left = 1 - np.vdot(right, filters) - ridge * np.square(filters).sum()
    return Fit(Terms(channels, space, filters), max(left, 0.0))


def _space_step(modes, by_both, gram, space, ridge):
    """New spatial factors of unit length, from the tensor contracted with channels and filters (places, R)."""
    if len(modes) == 1:
        return (_unit(_solve(gram, by_both, ridge)),)
    by_both = by_both.reshape(modes + (-1,))
    height = _unit(_solve(gram * _grams(space[1]), np.einsum("ijr,jr->ir", by_both, space[1]), ridge))
    width = _unit(_solve(gram * _grams(height), np.einsum("ijr,ir->jr", by_both, height), ridge))
    return height, width


def _product(matrices, factor):
    """float32 (P, m, R): every matrix of (P, m, n) times `factor` (n, R), in one product of the memory as it lies."""
    places, rows, columns = matrices.shape
    return (matrices.reshape(-1, columns) @ _single(factor)).reshape(places, rows, -1)


def _solve(gram, right, ridge):
    """ndarray of float64: F of ``F (gram + ridge) = right``; gram (R, R) is overwritten."""
    gram.flat[::len(gram) + 1] += ridge
    factor = linalg.cho_factor(gram.T, overwrite_a=True, check_finite=False)
    return linalg.cho_solve(factor, np.asarray(right, np.float64).T, check_finite=False).T


def _grams(*factors):
    """ndarray of shape (R, R): the inner products of terms over some of their factors."""
    product = factors[0].T @ factors[0]
    for factor in factors[1:]:
        product *= factor.T @ factor
    return product


def _basis(tensor, mode, rng):
    """Orthogonal matrix of a spatial mode."""
    size = tensor.modes[mode]
    if rng is not None:
        return np.linalg.qr(rng.standard_normal((size, size)))[0]
    unfolded = np.moveaxis(tensor.places.reshape(tensor.modes + (-1,)), mode, 0).reshape(size, -1)
    return np.linalg.eigh((unfolded @ unfolded.T).astype(np.float64))[1][:, ::-1]


def _lengths(factor):
    """ndarray of shape (R,): norms of the columns, 1 where a column is zero."""
    lengths = np.linalg.norm(factor, axis=0)
    return np.where(lengths == 0, 1.0, lengths)


def _unit(factor):
    return factor / _lengths(factor)


def _single(array):
    return np.asarray(array, np.float32)

"""Channels, space and filters apart: the CP decomposition of the kernel (Lebedev et al., 2015)."""
from abc import abstractmethod
from math import prod

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import SubConv
from accnn.methods.als import Slices, Tensor, fit
from accnn.methods.base import Decomposition, Effort, Method, refused_by_shape, register

_CANCELLING = 30.0  # sum ||term||^2 / ||W||^2 from which people are told


class _Canonical(Method):
    """What both variants share; they differ in which spatial modes are taken apart.

    The best rank-R approximation is not nested, and where two terms grow and cancel it need not exist: see
    :func:`accnn.methods.als.fit`. There is no ``response_rank``: min(R, N) does bound the dimension of responses, but
    the best responses of that dimension are far better, so that rules weighing these would be misled.
    """

    op = "Convolution"
    iterative = transposed = True

    def refuse(self, spec):
        """Only plain convolutions that are larger than 1x1, from several channels to several."""
        return super().refuse(spec) or _refused(self.name, spec.part)

    def ranks(self, spec):
        """range: 1 to the full rank."""
        return range(1, self.full_rank(spec) + 1)

    def full_rank(self, spec):
        """int: kh kw min(C, N), one SVD for every place; there the factors are these SVDs."""
        filters, channels, height, width = spec.part.weight_shape
        return height * width * min(channels, filters)

    def chain(self, spec, rank):
        """tuple of SubConv: 1x1 to R, the depthwise parts, 1x1 to N."""
        part = spec.part
        # Nothing but the depthwise parts pads: as the first part has no bias, zeros before it are zeros behind it.
        return ((SubConv("_r", part.in_channels, rank, (1, 1), bias=False),)
                + tuple(self._space(part, rank))
                + (SubConv("_p", rank, part.out_channels, (1, 1), bias=part.bias),))

    @abstractmethod
    def _space(self, part, rank):
        """list of SubConv: the depthwise parts, with the stride, pad and dilation of `part`."""

    def decompose(self, weight, spec, effort=None):
        """Return the starts; terms are made when a rank is asked for, and kept.

        Raises
        ------
        AccnnError
            The kernel holds NaN or infinite values.
        """
        if not np.isfinite(weight).all():
            raise AccnnError("the weight of layer %r holds NaN or infinite values: %s needs a sound checkpoint"
                             % (spec.name, self.name))
        shapes = [part.kernel for part in self._space(spec.part, 1)]
        return _Canonically(weight, [prod(shape) for shape in shapes], shapes, effort or Effort())


@register
class CP(_Canonical):
    """The four parts of equations (6) to (9) of the two-pass paper.

    The kernel (N, C, kh, kw) becomes R rank-one terms: ``<layer>_r`` (R, 1, 1) without bias, ``<layer>_v`` (kh, 1) and
    ``<layer>_h`` (1, kw) depthwise over these R, ``<layer>_p`` (N, 1, 1). The vertical part takes the stride, pad and
    dilation of the height, the horizontal one those of the width. Kernels of one row or column have one such part.

    References
    ----------
    Lebedev, Ganin, Rakhuba, Oseledets, Lempitsky, "Speeding-up convolutional neural networks using fine-tuned
    CP-decomposition", ICLR 2015.
    "Accelerating convolutional neural networks using iterative two-pass decomposition", ICLR 2018 submission, eq. 2-9.
    """

    name = "cp"
    summary = "(R,1,1), depthwise (kh,1) and (1,kw), then (N,1,1) by CP-ALS"

    def _space(self, part, rank):
        if 1 in part.kernel:
            return [_depthwise(part, rank, "_v" if part.kernel[1] == 1 else "_h")]
        return [part.along((0,), "_v", rank, rank, rank), part.along((1,), "_h", rank, rank, rank)]


@register
class CP3(_Canonical):
    """Space kept whole: ``<layer>_r`` (R, 1, 1), ``<layer>_s`` (kh, kw) depthwise, ``<layer>_p`` (N, 1, 1).

    Every term of ``cp`` is one of these, so that at the same R the best error is no larger; R (C + kh kw + N)
    multiply-adds instead of R (C + kh + kw + N), and one layer less.
    """

    name = "cp3"
    summary = "(R,1,1), depthwise (kh,kw), then (N,1,1) by CP-ALS"

    def _space(self, part, rank):
        return [_depthwise(part, rank, "_s")]


class _Canonically(Decomposition):
    """Terms by rank, in float32. Each fit starts anew, so that no answer depends on what was asked before."""

    def __init__(self, weight, modes, shapes, effort):
        # The kernel is kept, as one of the model's own arrays: an energy is known only once terms have been fitted.
        self._weight, self._modes, self._shapes, self._effort = weight, modes, shapes, effort
        self._starts, self._fits = {}, {}

    def factors(self, weight, rank):
        terms = self._fit(rank)[0]
        return ([terms.channels.T[:, :, None, None]]
                + [factor.T.reshape((rank, 1) + tuple(shape)) for factor, shape in zip(terms.space, self._shapes)]
                + [terms.filters[:, :, None, None]])

    def energy(self, rank):
        """1 - ||W - W'||^2 / ||W||^2; runs ALS unless that rank was asked for before."""
        return self._fit(rank)[1]

    def remark(self, rank):
        """Iterations that ran out, terms that cancel."""
        if rank not in self._fits:
            return None
        _, _, gain, cancelling = self._fits[rank]
        said = []
        if gain is not None:
            said.append("stopped after %d iterations at fitness %.3f, still gaining %.0e an iteration: raise "
                        "`iterations`" % (self._effort.iterations, self.fitness(rank), gain))
        if cancelling > _CANCELLING:
            said.append("terms cancel each other (their squared norms are %.0f times the kernel's): fine-tune with a "
                        "small learning rate" % cancelling)
        return "; ".join(said) or None

    def _fit(self, rank):
        """(Terms, energy, gain of the last iterations or None, sum of squared norms)."""
        if rank not in self._fits:
            tensor = Tensor(self._weight, self._modes)
            fits = (fit(tensor, self._start(tensor, number).start(tensor, rank), self._effort)
                    for number in range(self._effort.restarts))
            best = min(fits, key=lambda each: each.objective)
            # Those of unit norm, rounded as they will be, tell the error; zeros have none.
            error = tensor.error(best.terms.balanced()) if tensor.places.any() else 0.0
            self._fits[rank] = (best.terms.balanced(tensor.norm), 1 - error, best.gain, best.terms.squared_norms())
        return self._fits[rank]

    def _start(self, tensor, number):
        """The start of that number; the first is not random."""
        if number not in self._starts:
            rng = np.random.RandomState([self._effort.seed, number]) if number else None
            self._starts[number] = Slices(tensor, rng)
        return self._starts[number]


def _depthwise(part, rank, suffix):
    return part.along((0, 1), suffix, rank, rank, rank)


def _refused(name, part):
    why = refused_by_shape(name, part)
    if why is None and 1 in (part.in_channels, part.out_channels):
        return "%s has nothing to take apart where there is one channel or one filter: vh has" % name
    return why

"""A fully connected layer that reads feature maps, as a convolution with a kernel as large as these."""
from dataclasses import replace

from accnn.core.layers import LayerSpec, SubConv, SubFC
from accnn.methods.base import Decomposition, Effort, Method, register
from accnn.methods.btd import BlockTerm
from accnn.methods.many_outputs import ManyOutputs
from accnn.methods.tucker import Tucker

_MANY = 2048  # outputs, from which on their eigenproblem takes longer than all the rest


class AsConvolution(Method):
    """Split a fully connected layer by a method for convolutions.

    The weight (N, C H W) is a kernel (N, C, H, W), and the one place where it is applied gives the layer's N outputs.
    A chain of convolutions that ends in one of 1x1 stands for it: that last part, with one pixel to read, becomes a
    fully connected layer again.

    Attributes
    ----------
    convolution : type
        The Method for convolutions. All parts of its chains but the last have no bias, and the last is a 1x1.

    References
    ----------
    Wang, Cheng, "Accelerating convolutional neural networks for mobile applications", ACM Multimedia 2016, 3.2: the
    first fully connected layer "can be treated as convolution with large filters".
    """

    op = "FullyConnected"
    convolution = None

    def __init__(self):
        self.inner = self.convolution()
        self.inner.name = self.name  # which its refusals tell people

    def refuse(self, spec):
        """Only layers that read feature maps larger than 1x1, and what the method for convolutions does not refuse."""
        return super().refuse(spec) or (
            "%s needs feature maps larger than 1x1: fc-svd splits layers that read a vector" % self.name
            if spec.maps is None else self.inner.refuse(_view(spec)))

    def ranks(self, spec):
        """As for the convolution."""
        return self.inner.ranks(_view(spec))

    def aligned(self, spec, align):
        """As for the convolution."""
        return self.inner.aligned(_view(spec), align)

    def full_rank(self, spec):
        """As for the convolution."""
        return self.inner.full_rank(_view(spec))

    def contains(self, spec, larger, smaller):
        """As for the convolution."""
        return self.inner.contains(_view(spec), larger, smaller)

    def check_rank(self, spec, rank):
        """As for the convolution."""
        self.inner.check_rank(_view(spec), rank)

    def chain(self, spec, rank):
        """tuple of SubConv and one SubFC: the first part sees what the layer reads as maps, the last one is 1x1."""
        *convolutions, last = self.inner.chain(_view(spec), rank)
        if tuple(spec.in_shape) != tuple(spec.maps):
            convolutions[0] = replace(convolutions[0], maps=spec.maps)
        return tuple(convolutions) + (SubFC(last.suffix, last.in_channels, last.out_channels, last.bias),)

    def decompose(self, weight, spec, effort=None):
        """The decomposition of the kernel (N, C, H, W)."""
        view = _view(spec)
        kernel = weight.reshape(view.part.weight_shape)
        return _Flattened(self.decompose_kernel(kernel, view, effort or Effort()), kernel.shape)

    def decompose_kernel(self, kernel, view, effort):
        """Decomposition: of the kernel (N, C, H, W) of the convolution that `view` describes."""
        return self.inner.decompose(kernel, view, effort)


@register
class FullyConnectedTucker(AsConvolution):
    """Tucker-2 of a fully connected layer: ``<layer>_r`` (s, 1, 1), ``<layer>_c`` (t, H, W), ``<layer>_p`` t to N.

    A rank is a pair (s, t), see the method ``tucker``.

    References
    ----------
    Kim et al., ICLR 2016, who split the first fully connected layer of VGG-16 as a convolution.
    """

    name = "fc-tucker"
    summary = "(s,1,1), (t,H,W), then N units by HOOI, where the layer reads C maps of HxW"
    convolution = Tucker
    iterative, estimates_ranks = Tucker.iterative, Tucker.estimates_ranks

    def decompose_kernel(self, kernel, view, effort):
        """As the method ``tucker`` does, but by another iteration where there are thousands of outputs."""
        return ManyOutputs(kernel, effort) if len(kernel) >= _MANY else super().decompose_kernel(kernel, view, effort)


@register
class FullyConnectedBlockTerm(AsConvolution):
    """Block terms of a fully connected layer: ``<layer>_r`` (S', 1, 1), ``<layer>_g`` (T', H, W) in R groups, then N.

    A rank is (S', T', R), see the method ``btd``. The paper's last column, 7.4x for VGG-16, has its first fully
    connected layer split so.
    """

    name = "fc-btd"
    summary = "(S',1,1), (T',H,W) in R groups, then N units by Principal Component Iteration, likewise"
    convolution = BlockTerm
    iterative, estimates_ranks = BlockTerm.iterative, BlockTerm.estimates_ranks


class _Flattened(Decomposition):
    """The decomposition of a kernel, its last part as a matrix."""

    def __init__(self, inner, shape):
        self._inner, self._shape = inner, shape
        self.singular_values = inner.singular_values

    def factors(self, weight, rank):
        *kernels, last = self._inner.factors(weight.reshape(self._shape), rank)
        return kernels + [last[:, :, 0, 0]]

    def wide(self, weight, rank):
        return self._inner.wide(weight.reshape(self._shape), rank)

    def energy(self, rank):
        return self._inner.energy(rank)

    def fitness(self, rank):
        return self._inner.fitness(rank)

    def estimated_rank(self):
        return self._inner.estimated_rank()

    def remark(self, rank):
        return self._inner.remark(rank)


def _view(spec):
    """LayerSpec: a fully connected layer that reads maps as the convolution that it is."""
    part = SubConv("", spec.maps[0], spec.part.out_units, tuple(spec.maps[1:]), bias=spec.part.bias)
    return LayerSpec(spec.name, part, tuple(spec.maps), spec.weight, spec.bias, part.op, spec.refusal, spec.repeats)

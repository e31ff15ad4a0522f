"""A fully connected layer as two thinner ones, by SVD."""
from accnn.core.layers import SubFC
from accnn.methods.base import Decomposition, Method, register
from accnn.methods.evbmf import estimated_rank
from accnn.methods.svd import BalancedSVD


@register
class FullyConnectedSVD(Method):
    """The original accnn's method for fully connected layers.

    The weight (N, D) becomes ``<layer>_red`` with K units and no bias, then ``<layer>_rec`` with N. The original left
    the singular values whole in ``_red``; here both halves carry their square root, as its convolutions do: the product
    is the same and gradients of both halves have the same scale.

    References
    ----------
    Denton et al., NIPS 2014; Eckart and Young, 1936.
    """

    name = "fc-svd"
    op = "FullyConnected"
    summary = "K units then N by SVD"
    has_singular_values = estimates_ranks = True

    def ranks(self, spec):
        """range: 1 to the full rank."""
        return range(1, self.full_rank(spec) + 1)

    def full_rank(self, spec):
        """int: min(N, D)."""
        return min(spec.part.weight_shape)

    def chain(self, spec, rank):
        """tuple of SubFC: reduction and recovery."""
        part = spec.part
        return (SubFC("_red", part.in_units, rank, False, part.flatten),
                SubFC("_rec", rank, part.out_units, part.bias, part.flatten))

    def decompose(self, weight, spec, effort=None):
        """Return the singular values and the factors at any rank."""
        return _FCDecomposition(weight)


class _FCDecomposition(Decomposition):
    def __init__(self, weight):
        self._svd = BalancedSVD(weight)
        self.singular_values = self._svd.singular_values

    def estimated_rank(self):
        """int: that of the matrix."""
        return estimated_rank(self.singular_values, self._svd.shape)

    def factors(self, weight, rank):
        recover, reduce = self._svd.factors(weight, rank)
        return [reduce, recover]

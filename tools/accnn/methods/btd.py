"""Several small Tucker-2 blocks side by side: 1x1, grouped kh x kw, 1x1 (Wang and Cheng, 2016)."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import SubConv
from accnn.methods import joint
from accnn.methods.base import Effort, Method, register
from accnn.methods.by_rank import ByRank
from accnn.methods.hooi import squared_norm
from accnn.methods.pci import PrincipalComponentIteration, starts
from accnn.methods.tucker import most, refused

_CRAWL = 1e-3  # of fitness a sweep: below this all factors together get on faster than one block after the other
_ALONE = 1 / 3  # of the tolerance, for a single block: a sweep goes only part of the way that a step of HOOI's goes
_WIDTHS = ((32, 8), (16, 4), (4, 2))  # channels of the narrower side, from which on blocks are so wide


@register
class BlockTerm(Method):
    """The kernel (N, C, kh, kw) as a sum of R blocks, each on s = S'/R combinations of its inputs and t = T'/R outputs.

    A rank is (S', T', R): ``<layer>_r`` (S', 1, 1), ``<layer>_g`` (T', kh, kw) in R groups with the layer's stride, pad
    and dilation, ``<layer>_p`` (N, 1, 1): the paper's eq. (2), whose factors side by side are these three parts.
    Found by Principal Component Iteration (its algorithm 1), then by improving all factors at once (L-BFGS), which
    from there on needs a fraction of the time for the same error.

    Notes
    -----
    Ranks that rules choose from are one path, dearer step by step. Blocks of 8 x 8 channels, which CPUs convolve
    fastest for what they hold, become more until one side of the layer is full; then they grow on the other side; then
    they become fewer and larger, until one block is the whole layer. Where sizes are powers of two they are joined two
    by two, and every chain can do what the one before can; elsewhere that need not be so. On kernels of
    VGG-16 and SqueezeNet a fixed number of groups, the paper's choice, is worse at most costs: few are too wide where
    the layer is to be much cheaper, many are too narrow where it is not.

    References
    ----------
    Wang, Cheng, "Accelerating convolutional neural networks for mobile applications", ACM Multimedia 2016.
    """

    name = "btd"
    op = "Convolution"
    summary = "(S',1,1), (T',kh,kw) in R groups, then (N,1,1) by Principal Component Iteration"
    iterative = transposed = True

    def refuse(self, spec):
        """Only plain convolutions that are larger than 1x1, not from one channel to one."""
        return super().refuse(spec) or refused(self.name, spec.part)

    def ranks(self, spec):
        """list of tuple of int: more blocks, then larger ones, then joined ones; the last is the full rank."""
        inputs, outputs, _ = self.full_rank(spec)
        places, narrow = spec.part.kernel[0] * spec.part.kernel[1], min(inputs, outputs)
        width = next((width for least, width in _WIDTHS if narrow >= least), narrow)
        count = narrow // width
        more = [(width * r, width * r, r) for r in range(1, count + 1)]
        # A core of s inputs has at most s kh kw independent outputs, and the other way round.
        widest = min(max(inputs, outputs) // count, width * places)
        larger = [(min(wide, inputs // count) * count, min(wide, outputs // count) * count, count)
                  for wide in range(width + 1, widest + 1)]
        joined = [(inputs, outputs, r) for r in range(count, 0, -1) if inputs % r == outputs % r == 0]
        return list(dict.fromkeys(more + larger + joined))

    def contains(self, spec, larger, smaller):
        """Whether so many blocks of that size can be laid into those of the larger rank."""
        (inner, outer, few), (s, t, many) = larger, smaller
        return few * min((inner // few) // (s // many), (outer // few) // (t // many)) >= many

    def full_rank(self, spec):
        """tuple of int: min(C, N kh kw), min(N, C kh kw) and 1, as one block."""
        return most(spec.part) + (1,)

    def check_rank(self, spec, rank):
        """See :meth:`Method.check_rank`; R divides both totals."""
        largest = self.full_rank(spec)
        alike = isinstance(rank, tuple) and len(rank) == 3 and all(type(k) is int and k >= 1 for k in rank)
        if not alike or any(k > top for k, top in zip(rank, largest[:2])):
            raise AccnnError("K=%s does not fit the layer %r: %s takes (1, 1, 1) to %s there, in R groups (R, R, R) to "
                             "(%d, %d, R), where R divides both numbers in front of it"
                             % (rank, spec.name, self.name, largest, largest[0], largest[1]))
        inputs, outputs, count = rank
        if inputs % count or outputs % count:
            fitting = tuple(max(k // count, 1) * count for k in (inputs, outputs)) + (count,)
            raise AccnnError("K=%s does not fit the layer %r: the R of %s, %d here, divides both numbers in front of it"
                             "%s" % (rank, spec.name, self.name, count,
                                     ", as in %s" % (fitting,) if fitting <= largest[:2] + (count,) else ""))

    def response_rank(self, spec, rank):
        """int: T'; the last 1x1 convolution adds no dimension."""
        return rank[1]

    def chain(self, spec, rank):
        """tuple of SubConv: the 1x1 convolution that reduces, the blocks' cores, the 1x1 convolution that restores."""
        part, (inputs, outputs, count) = spec.part, rank
        return (SubConv("_r", part.in_channels, inputs, (1, 1), bias=False),
                part.along((0, 1), "_g", inputs, outputs, count),
                SubConv("_p", outputs, part.out_channels, (1, 1), bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        """Return what keeps the kernel; everything else depends on the rank."""
        return _BlockTermDecomposition(weight, effort or Effort())


class _BlockTermDecomposition(ByRank):
    def factors(self, weight, rank):
        blocks = self._solved(rank)
        inputs, outputs, cores = blocks.inputs, blocks.outputs, blocks.cores * self._scale
        filters = cores.transpose(0, 2, 3, 1).reshape((rank[1], rank[0] // rank[2]) + self._kernel)
        return [inputs.transpose(0, 2, 1).reshape(rank[0], -1, 1, 1), filters,
                outputs.transpose(1, 0, 2).reshape(-1, rank[1], 1, 1)]

    def remark(self, rank):
        """Whether the iterations ran out."""
        if rank in self._told and not self._told[rank][1]:
            return ("the blocks had not settled after %d sweeps and as many joint steps, at fitness %.3f: raise "
                    "`iterations`" % (self._effort.iterations, self.fitness(rank)))
        return None

    def _solve(self, rank):
        tries = [self._start(rank, start) for start in range(self._effort.restarts if rank[2] > 1 else 1)]
        left, blocks, settled = min(tries, key=lambda one: one[0])
        return blocks, max(1 - left / self._norm, 0.0) if self._norm else 1.0, settled

    def _start(self, rank, number):
        """(squared norm of the residual, blocks, whether they settled); start 0 is HOSVD's."""
        rng = np.random.RandomState([self._effort.seed, number]) if number else None
        iteration = PrincipalComponentIteration(self._tensor, rank, starts(self._tensor, rank, rng))
        # A single block is a Tucker decomposition, whose own iteration goes on to the end.
        crawl = max(self._effort.tolerance, _CRAWL) if rank[2] > 1 else _ALONE * self._effort.tolerance
        settled = iterate(iteration, self._norm, self._effort.iterations, crawl)
        blocks = iteration.blocks
        if rank[2] > 1:
            blocks, done = joint.improve(blocks, self._tensor, self._effort)
            settled = settled and done
        return squared_norm(blocks.residual(self._tensor)), blocks, settled


def iterate(iteration, norm, most_sweeps, crawl):
    """Sweep until a sweep improves the fitness by less than `crawl`; return whether one did."""
    before = 0.0
    for _ in range(most_sweeps):
        fitness = 1 - np.sqrt(iteration.sweep() / norm) if norm else 1.0
        if fitness - before < crawl:
            return True
        before = fitness
    return not norm

"""Other ways to choose ranks and factors, written in NumPy from their descriptions; see peers.py."""
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from accnn import methods
from accnn.core.errors import TargetError
from accnn.core.layers import macs
from accnn.core.progress import Progress
from accnn.data.images import read_images
from accnn.graph.ir import Graph
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.runtime.predictor import Predictor

SHARES = [tenth / 10 for tenth in range(1, 10)]  # of a layer's multiply-adds: the candidates of the greedy search
SCORED = 1000  # calibration images by whose labels that search scores
STEPS = 60  # of bisection


@dataclass(frozen=True)
class Option:
    """A layer left alone (rank None) or at a rank: its multiply-adds and what is lost by it."""

    rank: object
    cost: float
    loss: float


class Peer(ABC):
    """Chooses a rank for every convolution and makes the factors.

    Parameters
    ----------
    accelerator : Accelerator
        Describes the layers.
    """

    method = None  # whose chain has the wanted shapes

    def __init__(self, accelerator):
        self._accelerator, self._method = accelerator, methods.get(self.method)
        every = [spec for spec in accelerator.layers if spec.op == "Convolution" and spec.part is not None]
        self._total = sum(self._cost((spec.part,), spec) for spec in every)
        self.specs = [spec for spec in every if not accelerator.refusal(spec, self._method)]
        self._fixed = self._total - sum(self._cost((spec.part,), spec) for spec in self.specs)
        self.options = {}

    @abstractmethod
    def prepare(self):
        """Fill :attr:`options` with the candidates of every layer."""

    @abstractmethod
    def factors(self, spec, rank):
        """list of ndarray: kernels of both parts of the chain."""

    @abstractmethod
    def picked(self, ratio):
        """dict of str to Option: one of every layer within the budget."""

    def model(self, ratio):
        """(Model, float): the split network and the ratio that it reaches."""
        picks = self.picked(ratio)
        reached = self._total / (self._fixed + sum(option.cost for option in picks.values()))
        if reached < ratio * 0.999:
            raise TargetError("%gx cannot be reached: the best is %.2fx" % (ratio, reached))
        return self._split({name: option.rank for name, option in picks.items()}), reached

    def _split(self, ranks):
        made = []
        for spec in self.specs:
            if ranks.get(spec.name):
                chain = self._method.chain(spec, ranks[spec.name])
                biases = np.zeros(chain[0].outputs) if chain[0].bias else None, self._accelerator.bias(spec)
                made.append(Replacement(spec, chain, list(zip(self.factors(spec, ranks[spec.name]), biases))))
        return replace_layers(self._accelerator.model, made)

    def _cost(self, chain, spec):
        return float(macs(chain, spec.in_shape) * spec.repeats)

    def _option(self, spec, rank, loss):
        return Option(rank, self._cost(self._method.chain(spec, rank) if rank else (spec.part,), spec), loss)

    def _budget(self, ratio):
        return self._total / ratio - self._fixed

    def _cheapest(self, ratio, picks_at, low, high):
        """The picks at the least severity between two at which the budget is met, by bisection."""
        for _ in range(STEPS):
            middle = (low + high) / 2
            met = sum(option.cost for option in picks_at(middle).values()) <= self._budget(ratio)
            low, high = (low, middle) if met else (middle, high)
        return picks_at(high)


class ActivationAware(Peer):
    """BALF: the best rank for the responses, and ranks by a Lagrange multiplier."""

    method = "channel"

    def __init__(self, accelerator, batches):
        super().__init__(accelerator)
        self._batches, self._parts = batches, {}

    def prepare(self):
        """Second moments of the patches, one SVD a layer, and what every rank loses."""
        for spec, moments in zip(self.specs, _moments(self._accelerator, self.specs, self._batches)):
            self._parts[spec.name] = found = _whitened_svd(self._accelerator.model.weight(spec.weight), moments)
            energy = found[1] ** 2
            lost = np.append(np.cumsum(energy[::-1])[::-1], 0.0) / energy.sum()
            self.options[spec.name] = [self._option(spec, None, 0.0)] + [
                self._option(spec, rank, float(lost[rank])) for rank in self._method.ranks(spec)]

    def factors(self, spec, rank):
        """The kernel's projection: M^+ U_r S_r V_r^T, shared out between both."""
        left, values, right = self._parts[spec.name]
        root = np.sqrt(values[:rank])
        _, channels, *window = self._accelerator.model.weight(spec.weight).shape
        return [(left[:, :rank] * root).T.reshape(rank, channels, *window),
                (root[:, None] * right[:rank]).T.reshape(-1, rank, 1, 1)]

    def picked(self, ratio):
        """Of every layer the least loss plus multiplier times cost."""
        def picks_at(power):
            weight = 10.0 ** power / self._total
            return {name: min(some, key=lambda one: one.loss + weight * one.cost)
                    for name, some in self.options.items()}
        return self._cheapest(ratio, picks_at, -6.0, 6.0)


class GreedySpatialSVD(Peer):
    """Spatial SVD with ranks by the whole network's accuracy."""

    method = "vh"

    def __init__(self, accelerator, scored):
        super().__init__(accelerator)
        self._scored, self._parts = scored, {}

    def prepare(self):
        """Score the network with one layer split at a time."""
        whole = self._scored.top1(self._accelerator.model)
        progress = Progress("greedy search", len(self.specs))
        for done, spec in enumerate(self.specs):
            progress(done, spec.name)
            kernel = self._accelerator.model.weight(spec.weight)
            filters, channels, height, width = kernel.shape
            self._parts[spec.name] = np.linalg.svd(kernel.transpose(1, 2, 3, 0).reshape(
                channels * height, width * filters).astype(float), full_matrices=False)
            self.options[spec.name] = _monotone([self._option(spec, None, 0.0)] + [
                self._option(spec, rank, whole - self._scored.top1(self._split({spec.name: rank})))
                for rank in self._candidates(spec)])
        progress.close()

    def _candidates(self, spec):
        """Ranks at which the layer costs about each of the shares."""
        ranks, whole = list(self._method.ranks(spec)), self._cost((spec.part,), spec)
        costs = np.array([self._cost(self._method.chain(spec, rank), spec) for rank in ranks])
        return sorted({ranks[int(np.abs(costs - share * whole).argmin())] for share in SHARES}, reverse=True)

    def factors(self, spec, rank):
        """V and H of Jaderberg et al., the singular values shared out between both."""
        left, values, right = self._parts[spec.name]
        root = np.sqrt(values[:rank])
        filters, channels, height, width = self._accelerator.model.weight(spec.weight).shape
        return [(left[:, :rank] * root).T.reshape(rank, channels, height, 1),
                (root[:, None] * right[:rank]).reshape(rank, width, filters).transpose(2, 0, 1)[:, :, None, :]]

    def picked(self, ratio):
        """Of every layer the cheapest that loses no more than all may."""
        def picks_at(allowed):
            return {name: min((one for one in some if one.loss <= allowed), key=lambda one: one.cost)
                    for name, some in self.options.items()}
        return self._cheapest(ratio, picks_at, 0.0, 1.0)


def _monotone(some):
    """Losses that never fall as the cost does: a cheaper split that scored better by chance is no better."""
    some = sorted(some, key=lambda one: -one.cost)
    worst = np.maximum.accumulate([max(one.loss, 0.0) for one in some])
    return [Option(one.rank, one.cost, float(loss)) for one, loss in zip(some, worst)]


class Scored:
    """Top-1 on a few labelled images that are kept in memory."""

    def __init__(self, records, how, shapes, seed, batch_size):
        self._shapes, self._size = shapes, batch_size
        drawn = np.random.RandomState(seed).permutation(len(records))[:SCORED]
        with records.chosen(np.sort(drawn)) as some:
            self._batches = [(batch.images[:batch.size].copy(), batch.labels.astype(int))
                             for batch in read_images(some, how, batch_size)]

    def top1(self, model):
        """float: share of right answers, 0..1."""
        predictor = Predictor(model, self._shapes, self._size)
        right = [(predictor.forward(images)[0].asnumpy().argmax(1) == labels) for images, labels in self._batches]
        return float(np.concatenate(right).mean())


def _moments(accelerator, specs, batches):
    """list of ndarray (C kh kw, C kh kw): sums of x x^T over all patches x that the layers read."""
    graph = accelerator.model.graph
    nodes = {node.name: node for node in graph.nodes}
    symbol = Graph(graph.nodes, tuple(nodes[spec.name].inputs[0] for spec in specs)).to_symbol()
    sums, predictor = [0.0] * len(specs), None
    for batch in batches:
        predictor = predictor or Predictor(accelerator.model, accelerator.input_shapes, len(batch), symbol=symbol)
        for place, (spec, maps) in enumerate(zip(specs, predictor.forward(batch))):
            patches = _patches(maps.asnumpy(), spec.part)
            sums[place] = sums[place] + (patches.T @ patches).astype(float)
    return sums


def _patches(maps, part):
    """ndarray (positions, C kh kw) of a batch (images, C, H, W)."""
    maps = np.pad(maps, ((0, 0), (0, 0)) + tuple((pad, pad) for pad in part.pad))
    windows = np.lib.stride_tricks.sliding_window_view(maps, part.kernel, axis=(2, 3))
    windows = windows[:, :, ::part.stride[0], ::part.stride[1]]
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(-1, maps.shape[1] * np.prod(part.kernel))


def _whitened_svd(kernel, moments):
    """(M^+ U, S, V^T) of M W, with M the square root of the moments and W the kernel as (C kh kw, N)."""
    values, vectors = np.linalg.eigh(moments)
    kept = values > values[-1] * 1e-10
    root = np.sqrt(values[kept])
    left, singular, right = np.linalg.svd(root[:, None] * (vectors[:, kept].T @ kernel.reshape(len(kernel), -1).T),
                                          full_matrices=False)
    return vectors[:, kept] @ (left / root[:, None]), singular, right

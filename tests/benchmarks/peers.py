"""python tests/benchmarks/peers.py -m vgg16_cifar10 --data-calib cifar10_train.rec --data-val cifar10_val_5000.rec \
--rgb-mean 125.3,123.0,113.9 --rgb-std 63.0,62.1,66.7

       [--calib-images 2000] [--ratio 4] [--only 'balf*']

Points of top-1 lost without training at equal multiply-adds of the convolutions, by accnn and by two other ways, both
written here from their descriptions in plain NumPy on the same weights, the same images and the same graph:

balf: activation-aware low rank (BALF, arXiv 2509.25136). The kernel is projected to the rank whose responses to the
calibration images are nearest, by an SVD behind the square root of the patches' second moments; a kxk convolution with
fewer filters and a 1x1. Ranks minimise the layers' shares of lost response energy under the budget, by a multiplier.
spatial-svd: (N,C,k,1) and (1,k) by SVD of the kernel, ranks by the accuracy of the whole network with one layer split
at a time, nine ratios each, all layers at the lowest accuracy that meets the budget (the search that AIMET documents).

Set OMP_NUM_THREADS to the number of cores.
"""
import argparse
import os
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "tools"))

from accnn import methods
from accnn.cli import main, options
from accnn.cli.data_options import add_preprocessing_options, preprocessing
from accnn.cli.types import positive
from accnn.core.errors import AccnnError, TargetError
from accnn.core.layers import macs
from accnn.core.progress import Progress, say
from accnn.core.text import ruled
from accnn.data.images import image_input, read_images
from accnn.data.records import open_records
from accnn.graph.ir import Graph
from accnn.graph.rewrite import Replacement, replace_layers
from accnn.planning.request import matches
from accnn.reconstruction.calibration import Calibrated, ReconstructionConfig
from accnn.reconstruction.images import record_images
from accnn.runtime.predictor import Predictor
from reconstruction import Scoring

RATIOS = 2.0, 3.0, 4.0
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


class Ours:
    """accnn's own rule: ranks by sensitivity, factors fitted to responses."""

    def __init__(self, accelerator, responses, method):
        self._accelerator, self._responses, self._method = accelerator, responses, method

    def prepare(self):
        """Nothing: sensitivities are looked at by the first plan and kept."""

    def model(self, ratio):
        """(Model, float): the accelerated network and the ratio that it reaches."""
        self._accelerator.responses = self._responses
        plan = self._accelerator.select_ranks(ratio, rank_selection="sensitivity", method=self._method, cost="macs")
        return self._accelerator.accelerate(plan), plan.made_by["reached"]


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


def parser():
    """argparse.ArgumentParser: the options."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_model_options(arguments)
    options.add_effort_options(arguments)
    add = arguments.add_argument
    add("--data-calib", required=True, metavar="REC", help="images that calibrate")
    add("--data-calib-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    add("--data-val", required=True, metavar="REC", help="images that are scored, all of them")
    add("--data-val-idx", metavar="IDX", help="its index (default: the .idx beside it)")
    add("--calib-images", type=positive, default=2000, metavar="N", help="default: %(default)s")
    add("--ratio", type=float, action="append", help="may be repeated (default: 2, 3 and 4)")
    add("--only", action="append", metavar="PATTERN", help="shell pattern of names of rows; may be repeated")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add_preprocessing_options(arguments, 100)
    return arguments


def contenders(accelerator, images, scored, seed):
    """dict of str to what plans by that name."""
    responses = Calibrated(accelerator, images, ReconstructionConfig(seed=seed), Progress)
    (name, _), = accelerator.input_shapes.items()
    return {"balf": lambda: ActivationAware(accelerator, (batch[name] for _, batch in images.batches())),
            "spatial-svd": lambda: GreedySpatialSVD(accelerator, scored),
            **{"accnn %s" % method: lambda method=method: Ours(accelerator, responses, method)
               for method in ("vh", "channel", "all")}}


def cells(peer, ratios, lost):
    """dict of float to str: what was lost at every ratio; and seconds in all."""
    found, started = {}, time.monotonic()
    peer.prepare()
    for ratio in ratios:
        try:
            model, reached = peer.model(ratio)
            found[ratio] = "%.2f" % lost(model) + ("" if reached < 1.02 * ratio else " (%.2fx)" % reached)
        except AccnnError as error:
            found[ratio] = str(error)
    return found, time.monotonic() - started


def run(argv=None):
    """Plan, score and print; return the exit code."""
    args = parser().parse_args(argv)
    accelerator = options.open_accelerator(args)
    (name, shape), = image_input(accelerator.model, accelerator.input_shapes).items()
    how, ratios = preprocessing(args, shape), list(args.ratio or RATIOS)
    scoring = Scoring(args, accelerator, how)
    original = scoring.right(accelerator.model)
    records = open_records(args.data_calib, args.data_calib_idx)
    scored = Scored(records, how, accelerator.input_shapes, args.seed, args.batch_size)
    rows = [("points lost", *("%gx" % ratio for ratio in ratios), "seconds, planning and scoring")]
    with record_images(records, how, name, args.calib_images, args.seed, args.batch_size) as images:
        for title, make in contenders(accelerator, images, scored, args.seed).items():
            if matches(title, args.only or ["*"]):
                found, seconds = cells(make(), ratios,
                                       lambda model: 100 * (original - scoring.right(model)) / scoring.images)
                rows.append((title, *(found[ratio] for ratio in ratios), "%.0f" % seconds))
                say("  ".join(rows[-1]))
    print("points of top-1 lost of %.2f%%, %d images" % (100 * original / scoring.images, scoring.images))
    print("\n".join(ruled(rows, "<" + ">" * (len(ratios) + 1), header=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main.run(run))

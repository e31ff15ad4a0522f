"""A layer with correlated inputs, what it should answer, and the samples of both; and methods with inner groups."""
from dataclasses import dataclass

import numpy as np

from accnn.core.layers import LayerSpec, SubConv
from accnn.graph.following import PostOps
from accnn.methods import Decomposition, Method
from accnn.reconstruction.patches import patches, responses
from accnn.reconstruction.samples import CalibrationSplit
from accnn.reconstruction.spool import Samples
from reference import run_chain


@dataclass(eq=False)
class Layer:
    """A layer, images it reads exactly and images it reads when layers before it were split."""

    spec: LayerSpec
    weight: np.ndarray
    bias: np.ndarray
    exact: np.ndarray
    read: np.ndarray
    answers: np.ndarray

    @property
    def images(self):
        return len(self.read)

    def post_ops(self, scale=1.0, shift=0.0, nonlinearity=None):
        outputs = self.spec.part.outputs
        return PostOps(np.ones(outputs) * scale, np.zeros(outputs) + shift, nonlinearity)

    def evidence(self, folder):
        """list of CalibrationSplit: all places of all images."""
        at = np.tile(np.arange(int(np.prod(self.answers.shape[2:]))), (self.images, 1))
        inputs = written(folder / "inputs", patches(self.read, self.spec, at))
        answered = written(folder / "responses", responses(self.answers, self.spec, at))
        groups = self.spec.part.groups
        return [CalibrationSplit(inputs, answered, self.images, group, groups) for group in range(groups)]

    def error(self, chain, arrays, scale=1.0, after=lambda y: y, held=slice(7, None, 8)):
        """Of a chain by plain convolutions, on every eighth image, as a share of the variance."""
        flat = [array[held].swapaxes(0, 1).reshape(array.shape[1], -1).T * scale
                for array in (run_chain(self.read, chain, arrays), self.answers)]
        made, true = after(flat[0]), after(flat[1])
        return np.square(made - true).sum() / np.square(true - true.mean(0)).sum()


def written(folder, rows):
    """Samples that hold some rows."""
    samples = Samples(str(folder), rows.shape[1:])
    samples.append(rows)
    return samples


def layer(part, images=24, side=7, seed=0, noise=0.3):
    """A Layer whose inputs lie near a few dimensions, as those of real networks do."""
    rng = np.random.RandomState(seed)
    shape = (part.in_channels, side, side) if part.op == "Convolution" else (part.in_units,)
    exact = np.maximum(rng.standard_normal((images,) + shape), 0)
    mixing = rng.standard_normal((shape[0], shape[0])) * 0.5 ** np.arange(shape[0])
    exact = np.moveaxis(np.tensordot(exact, mixing, (1, 1)), -1, 1).astype(np.float32) + 0.5
    read = (exact + noise * rng.standard_normal(exact.shape) * exact.std()).astype(np.float32)
    weight = (rng.standard_normal(part.weight_shape) / np.sqrt(np.prod(part.weight_shape[1:]))).astype(np.float32)
    bias = rng.standard_normal(part.outputs).astype(np.float32) if part.bias else None
    answers = run_chain(exact, (part,), [(weight, bias)])
    spec = LayerSpec("layer", part, shape, "layer_weight", "layer_bias" if part.bias else None, part.op)
    return Layer(spec, weight, bias, exact, read, answers)


class InnerGroups(Method):
    """1x1, a grouped k x k, 1x1: the block term shape. Crude factors, which images have to mend."""

    name = "inner-groups-for-tests"
    op = "Convolution"
    summary = "for tests"

    def refuse(self, spec):
        return super().refuse(spec) or ("grouped" if spec.part.groups > 1 else None)

    def ranks(self, spec):
        return [4, 8]

    def full_rank(self, spec):
        return 8

    def chain(self, spec, rank):
        part = spec.part
        return (SubConv("_in", part.in_channels, rank, (1, 1), bias=False),
                SubConv("_core", rank, rank, part.kernel, part.stride, part.pad, part.dilate, 2, bias=False),
                SubConv("_out", rank, part.out_channels, (1, 1), bias=part.bias))

    def decompose(self, weight, spec, effort=None):
        return _Random([part.weight_shape for part in self.chain(spec, 8)])


class _Random(Decomposition):
    def __init__(self, shapes):
        rng = np.random.RandomState(0)
        self._weights = [rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for shape in shapes]

    def factors(self, weight, rank):
        first, core, last = self._weights
        return [first[:rank], core[:rank, :rank // 2], last[:, :rank]]


class DepthwiseLast(Method):
    """1x1 to the outputs, then k x k for every output alone: the last part has groups of its own."""

    name = "depthwise-last-for-tests"
    op = "Convolution"
    summary = "for tests"

    def refuse(self, spec):
        return super().refuse(spec) or ("grouped" if spec.part.groups > 1 else None)

    def ranks(self, spec):
        return [1]

    def full_rank(self, spec):
        return 1

    def chain(self, spec, rank):
        part, outputs = spec.part, spec.part.out_channels
        return (SubConv("_p", part.in_channels, outputs, (1, 1), bias=False),
                SubConv("_d", outputs, outputs, part.kernel, part.stride, part.pad, part.dilate, outputs, part.bias))

    def decompose(self, weight, spec, effort=None):
        return _Separable()


class _Separable(Decomposition):
    def factors(self, weight, rank):
        filters, channels, height, width = weight.shape
        left, values, right = np.linalg.svd(weight.reshape(filters, channels, -1), full_matrices=False)
        taps = values[:, :1] * right[:, 0]
        return [left[:, :, 0, None, None], taps.reshape(filters, 1, height, width)]

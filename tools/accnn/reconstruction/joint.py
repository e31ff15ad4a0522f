"""All chains improved together against the outputs of the original network, after every layer was fitted alone.

Each layer's fit knows what lies before it, and of what lies behind only a metric. Here the gradients of the outputs
themselves lead a few hundred steps over all parts of all chains; images held aside say which of them are kept.
"""
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import log_softmax, logsumexp

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.progress import Silence, say
from accnn.graph.cut import count_macs
from accnn.graph.ir import Graph
from accnn.graph.labels import unlabelled
from accnn.graph.shapes import batch_for, output_shapes
from accnn.graph.specs import layer_specs
from accnn.reconstruction.divergence import CLASS_SCORES, Divergence, compared_as
from accnn.reconstruction.images import spread
from accnn.reconstruction.importance import differentiable, refusals_as_sentences
from accnn.reconstruction.samples import held_aside
from accnn.runtime.predictor import Predictor
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY, SCORE

_MOST_BYTES = 3e8     # of images in memory
_MOST_MACS = 1.2e13   # of the original's answers and the steps at one rate: five minutes on two cores
_STEPS = 500          # at most
_FEWEST = 20          # steps, or images held aside: fewer would tell nothing
_BATCH = 128
_RATES = 8e-4, 3e-4, 1e-4  # of a step, as shares of the root mean square of all it moves: the first that helps
_HARM = 1.3           # times the divergence, half of the steps made: then a rate is given up; all do harm at first
_WARM_UP = 20         # steps: the first of Adam are as long as any, whatever the gradient
_LOOKS = 4            # at the images held aside, while the steps are made
_PROBABLE = 1e-12
_BETA = 0.9, 0.999


@dataclass(frozen=True)
class JointOutcome:
    """What came of the steps.

    Attributes
    ----------
    before, after : float
        Divergence of the outputs on images held aside, see :class:`accnn.reconstruction.divergence.Divergence`.
    images, steps : int
        With how many images, those held aside left out, how many steps were made up to what is kept; where nothing is,
        how many there might have been.
    """

    before: float
    after: float
    images: int
    steps: int


def joint(model, original, images, input_shapes, names, seed=0, progress=None, mirrored=False):
    """Improve some parameters of a network so that its outputs come nearer to those of another.

    Adam on the outputs' divergence, BatchNorm as at inference, the rate falling as a cosine.

    Parameters
    ----------
    model : Model
        Not changed.
    original : Model
        With the same inputs and outputs.
    images : ArrayImages or RecordImages
        Every eighth is held aside. As many of the others are used as fit into some memory.
    input_shapes : dict of str to tuple of int
    names : list of str
        Parameters of `model`.
    seed : int
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.
    mirrored : bool
        Lead to the mean of the original's outputs for an image and for its mirror image, and show both.

    Returns
    -------
    dict of str to ndarray
        The parameters that are better, by name; empty where nothing is.
    JointOutcome or None
        None where there are too few images, or outputs have no rows of their own for each.

    Raises
    ------
    AccnnError
        MXNet cannot differentiate the network; or one of :func:`check_mirrored`, or an output tells no classes.
    """
    cost = _Cost(model, original, input_shapes, 1 + mirrored)
    count = min(images.count, cost.images)
    steps = min(_STEPS, cost.steps(count))
    if steps < _FEWEST:
        say("chains are not improved together: %s is so large that only %d steps would be made" % (model.prefix, steps))
        return {}, None
    seen = (_Mirrored if mirrored else _Seen)(original, images, input_shapes, count)
    by_image = all(len(output) % seen.count == 0 for output in seen.truth)
    if not names or not by_image or seen.held.sum() < _FEWEST:
        return {}, None
    with refusals_as_sentences(model, "leave out `joint`"):
        return _Search(model, seen, input_shapes, names, seed).best(steps, progress or Silence)


class _Cost:
    """How many images and steps some multiply-adds allow."""

    def __init__(self, model, original, input_shapes, passes):
        made, true = (max(count_macs(layer_specs(one, input_shapes)), 1) for one in (model, original))
        self._step, self._image = 3 * made * _BATCH, passes * true
        each = 4 * sum(int(np.prod(shape)) for shape in input_shapes.values())
        self.images = int(max(1, min(_MOST_BYTES // each, _MOST_MACS / 2 // self._image)))

    def steps(self, images):
        return int((_MOST_MACS - images * self._image) // self._step)


class _Seen:
    """Images in memory, and what the original answers."""

    even = 0.5  # weight of classes that is spread evenly: the rest is their probability

    def __init__(self, original, images, input_shapes, most):
        batches = [{name: array.asnumpy() for name, array in batch.items()} for batch in images.arrays(most)]
        self.arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        numbers = spread(images.count, most)
        self.count, self.held = len(numbers), held_aside(0, images.count, 1, images.count)[numbers]
        self._original = original
        self._predictor = Predictor(original, input_shapes, min(images.batch_size, self.count))
        self.truth = [np.concatenate(outputs) for outputs in zip(*map(self._answers, batches))]
        self.forms = compared_as(original, self.truth)

    def _answers(self, batch):
        """list of ndarray: the original's outputs for a batch."""
        return [output.asnumpy() for output in self._predictor.forward(*self._predictor.arranged(
            {name: mx.nd.array(array) for name, array in batch.items()}))]

    def shown(self, inputs, generator):
        """The inputs of a step."""
        return inputs

    def rows(self, numbers):
        """(dict of arrays, list of true outputs) of some images."""
        each = [len(output) // self.count for output in self.truth]
        return ({name: array[numbers] for name, array in self.arrays.items()},
                [output.reshape((self.count, one) + output.shape[1:])[numbers].reshape((-1,) + output.shape[1:])
                 for output, one in zip(self.truth, each)])


class _Mirrored(_Seen):
    """With their mirror images: the truth is the mean of the answers to both, a step shows either of them."""

    even = 0.0  # what a mean says of improbable classes is not what makes it better

    def __init__(self, original, images, input_shapes, most):
        check_mirrored(original, images.input_names, input_shapes)
        super().__init__(original, images, input_shapes, most)
        if SCORE in self.forms:
            raise AccnnError("an output of %s tells no probabilities of classes, for which alone pictures may be "
                             "mirrored: leave out `joint_mirror`" % original.prefix)

    def _answers(self, batch):
        straight, turned = super()._answers(batch), super()._answers(_turned(batch))
        return [_mean(form, *pair) for form, *pair in zip(compared_as(self._original, straight), straight, turned)]

    def shown(self, inputs, generator):
        """Every image as it is, or its mirror image."""
        chosen = generator.random(len(next(iter(inputs.values())))) < 0.5
        return {name: np.where(chosen.reshape((-1,) + (1,) * (array.ndim - 1)), turned, array)
                for (name, array), turned in zip(inputs.items(), _turned(inputs).values())}


def check_mirrored(model, names, input_shapes):
    """Refuse mirror images where they would be something else, or have their answers elsewhere.

    Parameters
    ----------
    model : Model
    names : list of str
        Of the inputs that images fill.
    input_shapes : dict of str to tuple of int

    Raises
    ------
    AccnnError
    """
    if any(len(input_shapes[name]) != 3 for name in names):
        raise AccnnError("%s reads more than pictures, which alone have mirror images: leave out `joint_mirror`"
                         % model.prefix)
    shapes = output_shapes(model, input_shapes, 2) or [()]
    if any(not shape or shape[0] != 2 or np.prod(shape[2:]) > 1 for shape in shapes):
        raise AccnnError("%s answers for places, which a mirror image has elsewhere: leave out `joint_mirror`"
                         % model.prefix)


def _turned(inputs):
    return {name: array[..., ::-1] for name, array in inputs.items()}


def _mean(form, first, second):
    """The mean of two answers to the same pictures: of the probabilities, where they tell such."""
    if form == LOG_PROBABILITY:
        return np.logaddexp(first, second) - np.log(2)
    if form == CLASS_SCORES:  # at the height of the first, or they would be taken for logarithms of probabilities
        height = logsumexp(first, axis=1, keepdims=True)
        return np.logaddexp(first - height, log_softmax(second, axis=1)) - np.log(2) + height
    return (first + second) / 2


class _Search:
    """The steps."""

    def __init__(self, model, seen, input_shapes, names, seed):
        self._seen, self._generator = seen, np.random.default_rng([seed, 1])
        self._size = batch_for(model, input_shapes, int(min(_BATCH, (~seen.held).sum())))
        self._bound = partial(_Net, model, input_shapes, names, self._size)
        self._net = self._bound()
        self._train, self._held = np.nonzero(~seen.held)[0], np.nonzero(seen.held)[0]
        self._held_inputs, truth = seen.rows(self._held)
        self._divergence = Divergence(model, truth)

    def best(self, steps, progress):
        """(parameters, JointOutcome): those with the least divergence on images held aside."""
        before = self._held_divergence()
        tell = progress("improving all chains together", steps)
        for rate in _RATES:
            found, least, made = self._tried(rate, steps, before, tell)
            if found:
                break
            self._net = self._bound()  # anew: MXNet does not write into weights that oneDNN keeps in its own layout
        tell.close()
        return found, JointOutcome(before, least, len(self._train), made if found else steps)

    def _tried(self, rate, steps, least, tell):
        """The best parameters at a rate, none where none are better, their divergence, and the steps up to there."""
        found, made, before, looks = {}, 0, least, set(np.linspace(0, steps, _LOOKS + 1).astype(int)[1:])
        for step, numbers in enumerate(self._batches(steps), 1):
            tell(step - 1, "")
            inputs, truth = self._seen.rows(numbers)
            self._net.step(self._seen.shown(inputs, self._generator), truth, self._seen,
                           rate * min(1, step / _WARM_UP) * (1 + np.cos(np.pi * step / steps)) / 2)
            if step in looks:
                now = self._held_divergence()
                if now < least:  # never where it is NaN
                    found, least, made = self._net.parameters(), now, step
                # Less settles as the rate falls, and so does what the first, largest steps do.
                if not np.isfinite(now) or 2 * step >= steps and now > _HARM * before:
                    break
        return found, least, made

    def _batches(self, steps):
        order = np.empty(0, int)
        for _ in range(steps):
            while len(order) < self._size:
                order = np.concatenate([order, self._generator.permutation(self._train)])
            yield order[:self._size]
            order = order[self._size:]

    def _held_divergence(self):
        return self._divergence.of(self._net.outputs(self._held_inputs, len(self._held)))


class _Net:
    """A network bound for gradients with respect to some of its parameters."""

    def __init__(self, model, input_shapes, names, size):
        nodes = tuple(map(differentiable, model.graph.nodes))
        known = {name: (size,) + tuple(shape) for name, shape in input_shapes.items()}
        bound = unlabelled(model, Graph(nodes, model.graph.heads).to_symbol(), known)
        arguments = bound.symbol.list_arguments()
        known = {name: shape for name, shape in dict(known, **bound.shapes).items() if name in arguments}
        self._names, self._size = [name for name in names if name in arguments], size
        wanted = {name: "write" if name in self._names else "null" for name in arguments}
        kinds = dict.fromkeys(known, np.float32) if bound.values else None
        self._executor = bound.symbol.simple_bind(mx.cpu(), grad_req=wanted, type_dict=kinds, **known)
        self._executor.copy_params_from(model.arg_params, model.aux_params, allow_extra_params=True)
        for name in set(bound.values) & set(arguments):
            self._executor.arg_dict[name][:] = bound.values[name]
        self._inputs = [name for name in input_shapes if name in arguments]
        arrays = self._executor.arg_dict
        self._scale = _size_of([arrays[name] for name in self._names])
        self._moments = {name: (arrays[name].zeros_like(), arrays[name].zeros_like()) for name in self._names}
        self._steps = 0

    def outputs(self, inputs, count):
        """list of ndarray: for any number of images."""
        found = []
        for first in range(0, count, self._size):
            rows = np.minimum(np.arange(first, first + self._size), count - 1)
            outputs = self._forward({name: array[rows] for name, array in inputs.items()}, False)
            share = min(count - first, self._size)
            found.append([output[:len(output) * share // self._size] for output in outputs])
        return [np.concatenate(arrays) for arrays in zip(*found)]

    def step(self, inputs, truth, seen, rate):
        """One step of Adam, `rate` being a share of the size of all arrays."""
        outputs = self._forward(inputs, True)
        self._executor.backward([mx.nd.array(_gradient(*one, seen.even)) for one in zip(seen.forms, truth, outputs)])
        self._steps += 1
        first, second = (1 - beta ** self._steps for beta in _BETA)
        for name in self._names:
            mean, spread_of = self._moments[name]
            weight, gradient = self._executor.arg_dict[name], self._executor.grad_dict[name]
            mx.nd.adam_update(weight, gradient, mean, spread_of, lr=rate * self._scale * second ** 0.5 / first,
                              beta1=_BETA[0], beta2=_BETA[1], epsilon=1e-12, out=weight)

    def parameters(self):
        """dict of str to ndarray: as they are by now."""
        return {name: self._executor.arg_dict[name].asnumpy() for name in self._names}

    def _forward(self, inputs, is_train):
        for name, array in inputs.items():
            if name in self._inputs:
                self._executor.arg_dict[name][:] = array
        return [output.asnumpy() for output in self._executor.forward(is_train=is_train)]


def _size_of(arrays):
    """The root mean square of the numbers of some arrays."""
    return float(np.sqrt(sum(np.square(array.asnumpy()).sum() for array in arrays) / sum(
        array.size for array in arrays)))


def _gradient(form, true, made, even):
    """That of the mean over a batch's images (and places) of what an output misses."""
    true, made = true.astype(np.float64), made.astype(np.float64)
    if form == PROBABILITY and made.ndim == 2:
        total = true.sum(1, keepdims=True)
        return _weighted(np.log(np.maximum(true / total, _PROBABLE)), np.log(np.maximum(
            made / made.sum(1, keepdims=True), _PROBABLE)), even) / np.maximum(made, _PROBABLE)
    if form == PROBABILITY:
        return -true / np.maximum(made, _PROBABLE) / true.sum()
    if form == CLASS_SCORES or form == LOG_PROBABILITY and made.ndim == 2:
        return _weighted(log_softmax(true, axis=1), log_softmax(made, axis=1), even)
    if form == LOG_PROBABILITY:
        return -np.exp(true) / np.exp(true).sum()
    return 2 * (made - true) / max(np.square(true).sum(), 1e-30)


def _weighted(true, made, even):
    """Gradient by the scores of a divergence, and of the variance of its logarithms over all classes alike."""
    change = made - true
    evenly = (change - change.mean(1, keepdims=True)) / true.shape[1]
    return ((np.exp(made) - np.exp(true)) * (1 - even) + even * evenly) / len(true)

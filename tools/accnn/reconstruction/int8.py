"""INT8 that costs little: every step is kept only where images held aside say that the outputs come nearer."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import FULLY_CONNECTED, INT8
from accnn.core.progress import Silence
from accnn.core.text import sizes
from accnn.graph.cut import count_macs
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.quantized import refuse_quantized
from accnn.graph.specs import layer_specs
from accnn.quantization import thresholds
from accnn.quantization.choice import choose, ranges
from accnn.quantization.equalisation import equalise
from accnn.quantization.exclusion import exclude
from accnn.quantization.histograms import histograms
from accnn.quantization.int8_graph import layer_precisions, quantize
from accnn.quantization.rotation import rotate
from accnn.reconstruction.images import ArrayImages, ImagesApart
from accnn.reconstruction.int8_config import Int8, Int8Config, Step
from accnn.reconstruction.int8_input import refuse_all_float, refuse_few, refuse_unlike, refuse_unusable
from accnn.reconstruction.int8_prefix import Settings, resolve
from accnn.reconstruction.judge import Judge

LIMIT = 0.02  # relative error of outputs that are no distribution over classes
_BATCH_SIZE = 64  # of images given as arrays
_MOST_TRIALS = 60  # thresholds of single tensors; the most promising come first
_HELD, _LEAST = 500, 16  # images held aside, at most, and at least where there are enough
_SHARE = 4  # of few images one in so many is held aside
_DENSE = 500000  # weights of all fully connected layers that may be stored as float32
_WORTH = 0.95  # share of the divergence that steps for every dense output, which make files larger, may leave
_PLACES = 8000  # at which responses are sampled at least, of all images
_JUDGED_MACS = int(6e11)  # that one look at the outputs may cost: INT8 makes about 2e11 a second
_MOST_SEEN = 3000
_SEEN_MACS = int(1e12)  # that a pass over the others may cost, in float32


def make_int8(model, images, input_shapes, original=None, config=None, progress=None):
    """Make the INT8 form of a float32 network.

    Parameters
    ----------
    model : Model
        Not changed.
    images : ArrayImages or RecordImages
        Some are held aside: these decide about every step.
    input_shapes : dict of str to tuple of int
        Without the batch.
    original : Model, optional
        The network that `model` was accelerated from: layers are solved anew for what it answers. Default: `model`.
    config : Int8Config, optional
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.

    Returns
    -------
    Int8

    Raises
    ------
    AccnnError
        There are too few images, or none of the layers can be INT8; the networks are no float32 ones, or do not belong
        together; tensors are not finite on these images.
    """
    original, config = original or model, config or Int8Config()
    refuse_few(images)
    refuse_unusable(model, original, config.exclude)
    maker = _Maker(model, images, input_shapes, original, config, progress or Silence)
    maker.run()
    return maker.made()


def int8_form(model, images, input_shapes=None, **options):
    """Make the INT8 form of a network, whatever its inputs are; as ``accnn.quantize`` at hand for everybody.

    Parameters
    ----------
    model : Model
        Of float32; not changed.
    images : dict of str to ndarray, or ArrayImages
        Examples of every input, as the network takes them: they say which ranges of numbers INT8 must tell apart. At
        least 16; some hundred are better.
    input_shapes : dict of str to tuple of int, optional
        Without the batch. Default: those of `images`, where it is a dict.
    **options
        Attributes of :class:`Int8Config`.

    Returns
    -------
    Model
        Saved by ``accnn.save_model`` it runs in plain MXNet.

    Raises
    ------
    AccnnError
        As :func:`make_int8`; the network is quantized already; the images have another shape.
    TargetError
        The limit leaves no layer in INT8.
    """
    refuse_quantized(model)
    if isinstance(images, dict):
        input_shapes = input_shapes or {name: array.shape[1:] for name, array in images.items()}
        images = ArrayImages(images, _BATCH_SIZE)
    refuse_few(images)
    shapes, _ = resolve_input_shapes(model, input_shapes)
    _, first = next(images.batches(1))
    for name, array in first.items():
        if tuple(array.shape[1:]) != tuple(shapes.get(name, array.shape[1:])):
            raise AccnnError("the images have the shape %s, but the input %r of %s has %s: give images of that shape"
                             % (sizes(tuple(array.shape[1:])), name, model.prefix, sizes(shapes[name])))
    made = make_int8(model, images, shapes, config=Int8Config(**options))
    refuse_all_float(made)
    return made.model


class _Maker:
    """The float32 network as it is by now, its thresholds, and what was done."""

    def __init__(self, model, images, input_shapes, original, config, progress):
        self._first, self._model, self._original, self._config = model, model, original, config
        self._shapes, self._progress = input_shapes, progress
        macs = max(count_macs(layer_specs(model, input_shapes)), 1)
        held = min(max(_JUDGED_MACS // macs, _LEAST), _HELD, max(images.count // _SHARE, 1))
        apart = ImagesApart(images, held, min(max(_SEEN_MACS // macs, _LEAST), _MOST_SEEN))
        self._images, self._held = apart, apart.held()
        if original is not model:
            refuse_unlike(model, original, input_shapes, min(self._held.batch_size, self._held.count))
        self._judge = Judge(model, self._held, input_shapes)
        self._scales, self._excluded, self._steps, self._unrounded = {}, [], [], None
        self._kinds, self._dense_channels = list(config.kinds or thresholds.names()), False

    def run(self):
        """Do all steps."""
        self._seen = self._histograms(self._model)
        self._judge.refuse_infinite()  # after the tensors inside, of which the first is named
        self._ranges, self._kind, self._cost = self._best_kind(self._model, self._seen)
        self._try_dense_channels()
        if self._config.equalise:
            self._try_network("scales across layers", equalise)
        if self._config.rotate:
            self._try_network("matrices inside chains", rotate)
        self._choose_thresholds()
        if self._config.resolve:
            self._resolve()
        self._exclude()

    def made(self):
        """Int8."""
        quantized, names = self._quantized(stored=True), self._names()
        judge = self._judge if self._original is self._first else Judge(self._original, self._held, self._shapes)
        return Int8(quantized, self._model, self._ranges, self._chosen, self._excluded,
                    layer_precisions(self._model, quantized, names), self._steps, judge.errors(quantized),
                    judge.divergence(quantized), self._held.count)

    def _names(self):
        return list(dict.fromkeys(list(self._config.exclude) + [one.layer for one in self._excluded]))

    def _quantized(self, ranges=None, more=(), model=None, stored=False):
        return quantize(model or self._model, ranges or self._ranges, self._names() + list(more), stored,
                        self._dense_channels)

    def _histograms(self, model):
        return histograms(model, self._images, self._shapes, self._config.exclude)

    def _best_kind(self, model, seen):
        """(thresholds, their kind, divergence): of the kind that is best for all tensors."""
        found = [(kind, ranges(seen, kind)) for kind in self._kinds]
        costs = [self._judge(self._quantized(one, model=model)) for _, one in found]
        best = int(np.argmin(costs))
        return found[best][1], found[best][0], costs[best]

    def _try_dense_channels(self):
        """A step for every output of fully connected layers, where their weights are few: files grow by it."""
        sizes = [spec.part.out_units * spec.part.in_units for spec in layer_specs(self._model, self._shapes)
                 if spec.op == FULLY_CONNECTED and spec.part]
        if not self._config.dense_channels or not sizes or sum(sizes) > _DENSE:
            return
        self._dense_channels = True
        cost = self._judge(self._quantized())
        self._dense_channels = cost < _WORTH * self._cost
        self._steps.append(Step("a step for every fully connected output", self._cost, cost, self._dense_channels))
        self._cost = min(cost, self._cost) if self._dense_channels else self._cost

    def _try_network(self, name, change):
        made, about = change(self._model, self._images, self._shapes, self._config.seed)
        if not about:
            return
        seen = self._histograms(made)
        found, kind, cost = self._best_kind(made, seen)
        better = cost < self._cost
        self._steps.append(Step(name, self._cost, cost, better))
        if better:
            self._model, self._seen, self._ranges, self._kind, self._cost = made, seen, found, kind, cost
            self._scales.update((layer, one.scales) for layer, one in about.items() if hasattr(one, "scales"))

    def _choose_thresholds(self):
        def judge(tried):
            return self._judge.each(self._quantized(tried))

        self._chosen = dict.fromkeys(self._seen, self._kind)
        if len(self._kinds) == 1:
            return
        found, chosen = choose(self._seen, judge, self._kinds, self._trials())
        cost = float(judge(found).mean())
        self._steps.append(Step("thresholds tensor by tensor", self._cost, cost, cost < self._cost))
        if cost < self._cost:
            self._ranges, self._chosen, self._cost = found, chosen, cost

    def _trials(self):
        """int: passes over the images held aside that may be made."""
        one = count_macs(layer_specs(self._model, self._shapes)) * self._held.count
        return int(min(_MOST_TRIALS, self._config.multiply_adds / max(one, 1)))

    def _exclude(self):
        limit = self._config.limit
        if limit is None and self._judge.is_classifier:
            return
        limit = LIMIT if limit is None else limit
        before, error = self._judge(self._quantized()), self._worst(())
        if error <= limit:
            return
        layers = [one.layer for one in layer_precisions(self._model, self._quantized(), self._names())
                  if one.precision == INT8]
        # Other tensors become INT8 where a layer does not.
        every = ranges(histograms(self._model, self._images, self._shapes, self._names(), every=True), self._kind)
        self._ranges = dict(every, **self._ranges)
        self._leave_out(layers, limit, error)
        self._steps.append(Step("%d layers left in float32" % len(self._excluded), before,
                                self._judge(self._quantized()), True))

    def _leave_out(self, layers, limit, error):
        """Leave out as few layers as the limit needs, `error` being that of the network without any."""
        # Layers in float32 must not have weights that were rounded for INT8: what that gains the others is gained after
        # the choice, which so may begin with less.
        self._model, known = self._unrounded or self._model, {}
        gain = self._worst(()) / error

        def known_errors(names):
            key = frozenset(names)
            if key not in known:
                known[key] = self._errors_without(names)
            return known[key]

        for factor in [gain] * (gain > 1) + [1.0]:
            self._excluded, plain = [], self._model
            self._excluded, reached = exclude(layers, known_errors, factor * limit)
            if self._rounded_for_others(reached) <= limit:
                return
            if factor != 1:
                self._model = plain

    def _rounded_for_others(self, reached):
        """float: the error that is reached, with the weights of the layers in INT8 rounded anew if that is better."""
        if self._unrounded is not None and self._excluded:
            made = self._solved(self._model, self._model, False, {})
            error = max(self._judge.errors_at_most(self._quantized(model=made)).values())
            if error <= reached:
                self._model, reached = made, error
        return reached

    def _errors_without(self, names):
        return self._judge.errors_at_most(self._quantized(more=names))

    def _worst(self, names):
        return max(self._errors_without(names).values())

    def _resolve(self):
        """Solve chains for what the original answers, then round all weights anew for what the network itself does."""
        if self._original is not self._first:
            self._try_solved("chains solved behind INT8", self._original, True, self._scales)
        self._try_solved("weights rounded anew, biases corrected", self._model, False, {})

    def _try_solved(self, name, truth, solve, scales):
        judge, before_it = Judge(truth, self._held, self._shapes), self._model
        judge.refuse_infinite()
        before, made = judge(self._quantized()), self._solved(self._model, truth, solve, scales)
        after = judge(self._quantized(model=made))
        self._steps.append(Step(name, before, after, after < before))
        if after < before:
            self._model = made
            if solve:
                self._judge = Judge(made, self._held, self._shapes)
            else:
                self._unrounded = before_it

    def _solved(self, model, truth, solve, scales):
        places = max(self._config.positions, _PLACES // self._images.count)
        settings = Settings(places, self._config.seed, solve, scales, self._dense_channels)
        return resolve(model, truth, self._images, self._shapes, self._ranges, self._names(), settings,
                       self._progress)[0]

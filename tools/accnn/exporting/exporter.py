"""A network converted, proved, and only then written."""
import os
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import temporary_folder, written_together
from accnn.core.libraries import loaded
from accnn.core.machine import give_back
from accnn.core.versions import VERSION
from accnn.exporting import file, parity, proof
from accnn.exporting.convert import convert
from accnn.exporting.session import Session
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.ir import prune
from accnn.graph.outputs import find_outputs
from accnn.graph.precision import in_full_precision, in_single_precision
from accnn.graph.quantized import in_int8
from accnn.graph.shapes import takes_batch

OPSET, OPSETS = 17, range(13, 22)
_AT_ONCE = 32  # real images, where there are so many
SECOND = ".data"  # what the name of a file with the constants ends in, where one is needed


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was proved.

    Attributes
    ----------
    path : str
    opset : int
    nodes : int
        Of the file.
    inputs, outputs : dict of str to tuple
        Shapes, with None for what grows with the batch.
    batches : tuple of int
        At which outputs were compared.
    differences : dict of str to float
        By output the largest difference from MXNet's, over its largest number.
    agreement : dict of str to dict, or None
        Of an INT8 network, by output: see :meth:`accnn.exporting.parity.Parity.report`. On real images, where there are
        any, else on random examples.
    images : int
        Real ones among the examples that were compared.
    bytes : int
        Of all that was written.
    """

    path: str
    opset: int
    nodes: int
    inputs: Dict[str, tuple]
    outputs: Dict[str, tuple]
    batches: Tuple[int, ...]
    differences: Dict[str, float]
    agreement: Optional[Dict[str, dict]]
    images: int
    bytes: int


def export_onnx(model, path, input_shapes=None, opset=OPSET, batch_size=None, outputs=(), images=None,
                preprocessing=None, round_sums=False):
    """Write a network as ONNX, once onnxruntime has computed from the file what MXNet computes from the checkpoint.

    Parameters
    ----------
    model : Model
        Not changed.
    path : str
        The file; constants of more than 2 GB go to ``PATH.data`` beside it.
    input_shapes : dict of str to tuple of int, optional
        Without the batch. Default: read from the checkpoint.
    opset : int
        Version of ONNX's operators, 13 to 21.
    batch_size : int, optional
        The only batch the file takes. Default: any, where the network takes any.
    outputs : sequence of str
        Export these outputs of the network or of its operators instead of its own, ``NAME:0`` the first of several.
    images : ArrayImages or RecordImages, optional
        Real examples, compared besides random ones.
    preprocessing : Preprocessing, optional
        What becomes of a picture before: stored in the file, and random pixels go the same way.
    round_sums : bool
        Of an INT8 network: round what a convolution gives before another tensor is added to it, as MXNet does not.
        onnxruntime computes such a convolution in INT8 then.

    Returns
    -------
    Exported

    Raises
    ------
    AccnnError
        An operator, attribute or shape that cannot be exported; outputs that differ by more than 1e-4, of an INT8
        network by more than the bounds of :mod:`accnn.exporting.parity`: names the first node whose output does.
        Nothing is written.
    """
    request = ExportRequest(os.fspath(path), input_shapes, opset, batch_size, tuple(outputs), preprocessing,
                            round_sums)
    return export(lambda: model, request, images)


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for: see :func:`export_onnx`."""

    path: str
    input_shapes: Optional[dict] = None
    opset: int = OPSET
    batch_size: Optional[int] = None
    outputs: Tuple[str, ...] = ()
    preprocessing: Optional[object] = None
    round_sums: bool = False


def export(load, request, images=None):
    """As :func:`export_onnx`, of a model that is loaded here and given up before onnxruntime takes as much memory.

    Parameters
    ----------
    load : callable
        Returns the model; called again where the outputs differ.
    request : ExportRequest
    images
        See :func:`export_onnx`.
    """
    check_request(request.opset)
    if request.batch_size is not None and request.batch_size < 1:
        raise AccnnError("`batch_size=%s` is no number of images: give 1 or more" % request.batch_size)
    subject = _Subject(load, request)
    trials = _trials(subject, images)
    expected = proof.Reference(subject.model).outputs(trials)
    with_second = file.needs_second_file(subject.converted)
    paths = [request.path] + ([request.path + SECOND] if with_second else [])
    with written_together(paths) as temporary:
        subject.write(*temporary)
        subject.release()
        compared = (_agreement if subject.is_int8 else _compared)(subject, temporary[0], trials, expected)
        if with_second:  # the same, but for the name of the second file
            file.rename_second(temporary[0], os.path.basename(paths[1]))
    return subject.result(trials, *compared, sum(map(os.path.getsize, paths)))


def check_request(opset):
    """Refuse what can be refused before any work: an opset out of range, packages that are not there.

    Raises
    ------
    AccnnError
    """
    if opset not in OPSETS:
        raise AccnnError("`opset=%s` is out of range: choose %d to %d" % (opset, OPSETS[0], OPSETS[-1]))
    for library in ("onnx", "onnxruntime"):
        loaded(library)


class _Subject:
    """A network that is exported, as it is in MXNet and as ONNX."""

    def __init__(self, load, request):
        self._load, self.request = load, request
        self.load()
        self.is_int8 = any(map(in_int8, self.model.graph.nodes))
        if request.round_sums and not self.is_int8:
            raise AccnnError("`round_sums` is for INT8 networks, and %s is none: leave it out, or export the INT8 "
                             "checkpoint" % self.prefix)
        self.batches = proof.trial_batches(self.converted, self.takes)
        self._shown = [{tensor.name: tuple(None if factor else size for size, factor in zip(
            tensor.shape, tensor.shape.factors)) for tensor in tensors}
            for tensors in (self.converted.inputs, self.converted.outputs)]
        self.names = list(self._shown[1])
        self._nodes = len(self.converted.builder.nodes)

    def takes(self, batch):
        """bool: whether the network, and the file, take a batch."""
        return takes_batch(self.model, self.shapes, batch) and (self.converted.is_open
                                                                or batch in self.converted.batches)

    def load(self):
        """Load and convert the network."""
        request, whole = self.request, self._load()
        self.model = in_single_precision(in_full_precision(_with_outputs(whole, request.outputs)))
        self.prefix, read = self.model.prefix, set(self.model.graph.variables())
        # What pins a size may lie behind the outputs that are exported.
        self.shapes = {name: shape for name, shape in resolve_input_shapes(whole, request.input_shapes)[0].items()
                       if name in read}
        self.converted = convert(self.model, self.shapes, request.opset, request.batch_size, request.round_sums)
        self.converted.builder.drop_unread_constants([tensor.name for tensor in self.converted.outputs])

    def release(self):
        """Let the arrays go."""
        self.model = self.converted = None
        give_back()

    def write(self, path, second=None, extra=()):
        """Write the file, and where there is one the second."""
        file.write(self.converted, self.request.opset, path,
                   _metadata(self.model, self.shapes, self.request.preprocessing), os.path.basename(self.prefix),
                   second, extra)

    def result(self, trials, differences, agreement, size):
        """Exported: what was written, `size` bytes of it."""
        images = sum(len(next(iter(trial.values()))) for trial in trials[len(self.batches):])
        return Exported(self.request.path, self.request.opset, self._nodes, *self._shown, tuple(self.batches),
                        differences, agreement, images, size)


def _with_outputs(model, names):
    if not names:
        return model
    found = [found for name in dict.fromkeys(names) for _, found in _single(model, name)]
    return replace(model, graph=prune(replace(model.graph, heads=tuple(tuple(entry) for entry in found))))


def _single(model, name):
    found = find_outputs(model, name)
    if len(found) > 1:
        raise AccnnError("%s has %d outputs that %r may mean: say which, with `outputs=%s`"
                         % (model.prefix, len(found), name, found[0][0]))
    return found


def _metadata(model, shapes, preprocessing):
    found = {"accnn_version": VERSION, "source": os.path.basename(model.prefix)}
    if model.epoch is not None:
        found["epoch"] = str(model.epoch)
    found.update(("input_shape:" + name, ",".join(map(str, shape))) for name, shape in shapes.items())
    if preprocessing is not None:
        found.update(channels="rgb", mean=_joined(preprocessing.mean), std=_joined(preprocessing.std),
                     resize=str(preprocessing.resize))
    return found


def _joined(numbers):
    return ",".join("%g" % number for number in numbers)


def _trials(subject, images):
    """list of dict of str to ndarray: random examples of every batch, then real ones."""
    found = [proof.random_examples(subject.model, subject.converted, size, _drawing(subject.request.preprocessing))
             for size in subject.batches]
    if images is not None:
        size = _AT_ONCE if images.count >= _AT_ONCE and subject.takes(_AT_ONCE) else subject.batches[-1]
        batches = (_as_arrays(batch) for _, batch in images.batches(size))
        found += [batch for batch in batches if subject.takes(len(next(iter(batch.values()))))]
    if not all(np.isfinite(array).all() for batch in found for array in batch.values()):
        raise AccnnError("%s: the images hold NaN or infinite values, which prove nothing" % subject.prefix)
    return found


def _drawing(preprocessing):
    """Callable that draws examples: normal numbers, or random pixels, preprocessed."""
    if preprocessing is None:
        return lambda rng, shape: rng.standard_normal(shape)
    mean, std = (np.reshape(numbers, (-1, 1, 1)) for numbers in (preprocessing.mean, preprocessing.std))
    return lambda rng, shape: (rng.randint(0, 256, shape) - mean) / std if len(shape) == 4 else \
        rng.standard_normal(shape)


def _as_arrays(batch):
    return {name: np.asarray(array.asnumpy() if hasattr(array, "asnumpy") else array, np.float32)
            for name, array in batch.items()}


def _compared(subject, path, trials, expected):
    """The largest difference of every output, a dict of str to float; None for what only INT8 networks tell."""
    session, worst = Session(path, subject.prefix), dict.fromkeys(subject.names, 0.0)
    for trial, wanted in zip(trials, expected):
        for name, found, array in zip(subject.names, session.run(trial), wanted):
            if not np.isfinite(array).any():
                raise AccnnError("%s: nothing is written, since no number of MXNet's output %r is finite, which proves "
                                 "nothing: look at the parameters, or give real images" % (subject.prefix, name))
            worst[name] = max(worst[name], proof.difference(found, array))
            if not worst[name] <= proof.TOLERANCE:
                raise _differing(subject, trial, proof.difference, proof.TOLERANCE,
                                 "the output %r of onnxruntime differs from MXNet's by %.1e of the largest number"
                                 % (name, worst[name]))
    return worst, None


def _agreement(subject, path, trials, expected):
    """The largest difference of every output of an INT8 network, and how well outputs agree, both by name."""
    session, bounds = Session(path, subject.prefix), _bounds(subject.request)
    random = len(subject.batches) if len(trials) > len(subject.batches) else 0  # of which nothing is told beside others
    worst, parities = parity.compare(subject.names, zip(map(session.run, trials), expected), random)
    for name, one in parities.items():
        if one.refusal(bounds):
            raise _differing(subject, trials[-1], parity.relative_error, bounds.relative_error,
                             "the output %r of onnxruntime %s" % (name, one.refusal(bounds)))
    return worst, {name: one.report() for name, one in parities.items()}


def _bounds(request):
    return parity.ROUNDED_SUMS if request.round_sums else parity.EXACT


def _differing(subject, trial, far, tolerance, what):
    """AccnnError: that an output differs, and where that begins."""
    subject.load()
    with temporary_folder() as folder:
        path = os.path.join(folder, "inner.onnx")
        second = path + SECOND if file.needs_second_file(subject.converted) else None
        subject.write(path, second, proof.inner_outputs(subject.converted))
        first = proof.first_difference(subject.model, subject.converted, Session(path, subject.prefix), trial,
                                       far, tolerance)
    said = "the first node whose output differs is %r (%s), by %.1e" % (first[0].name, first[0].op, first[1]) \
        if first else "no inner output does where all are computed"
    return AccnnError("%s: nothing is written, since %s: %s; export what it reads, with `outputs`, and report this"
                      % (subject.prefix, what, said))

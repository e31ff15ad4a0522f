"""A network converted, proved, and only then written."""
import os
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.files import temporary_folder, written_together
from accnn.core.libraries import loaded
from accnn.exporting import file, parity, proof
from accnn.exporting.session import Session
from accnn.exporting.subject import Subject

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
    subject = Subject(load, request)
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
    return _exported(subject, trials, *compared, sum(map(os.path.getsize, paths)))


def _exported(subject, trials, differences, agreement, size):
    images = sum(len(next(iter(trial.values()))) for trial in trials[len(subject.batches):])
    return Exported(subject.request.path, subject.request.opset, subject.nodes, subject.inputs, subject.outputs,
                    tuple(subject.batches), differences, agreement, images, size)


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
    session, worst = Session(path, subject.prefix), dict.fromkeys(subject.outputs, 0.0)
    for trial, wanted in zip(trials, expected):
        for name, found, array in zip(subject.outputs, session.run(trial), wanted):
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
    worst, parities = parity.compare(list(subject.outputs), zip(map(session.run, trials), expected), random)
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

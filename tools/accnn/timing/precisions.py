"""Networks compared in several precisions: converted when they are loaded, timed in turns, outputs compared."""
from collections import namedtuple

import numpy as np

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8
from accnn.quantization.conversion import precision_of
from accnn.timing.clock import alternate, described_ratio, described_seconds, ratios
from accnn.timing.stored import released


def compare(job, stored, shapes, batch_size, arrays, tell):
    """Time every network in every precision of a job.

    Parameters
    ----------
    job : Job
    stored : dict of str to StoredModel
        'baseline', where there is one, and 'model'.
    shapes : dict of str to tuple of int
        Of the inputs, without the batch.
    batch_size : int
    arrays : dict of str to mx.nd.NDArray
        The inputs.
    tell : callable
        See :func:`accnn.timing.clock.alternate`.

    Returns
    -------
    list of dict
        A row for each, in the order in which they were asked for: ``network``, ``precision``, ``ran``, ``engine``,
        milliseconds, ``images_per_second``; ``measured``, how many times faster than the first row it is; and
        ``difference``, the largest of its outputs from those of the same network in the first precision, over the
        largest of these. The last two are None where a row is compared with itself.

    Raises
    ------
    AccnnError
        A network cannot be converted.
    """
    engine = engines.get(engines.DEFAULT)
    if not job.random_thresholds:
        _refuse_without_ranges(job, stored)
    asked = [(side, precision) for side in stored for precision in job.precisions]
    loaded = {}
    with released(stored.values()):
        for side, precision in asked[::-1]:  # the network that runs first stays some percent slower
            loaded[side, precision] = _loaded(engine, job, stored[side].model, shapes, batch_size, precision, arrays)
    samples = dict(zip(asked, alternate([loaded[one].once for one in asked], job.repeats, max(0, job.warm_up - 1),
                                        tell=tell)))
    named = "%s %s" % (engine.name, engine.version)
    return [dict(_row(one, loaded, samples, batch_size, (one[0], job.precisions[0])), engine=named) for one in asked]


_Loaded = namedtuple("_Loaded", "network once outputs")


def _loaded(engine, job, model, shapes, batch_size, precision, arrays):
    """_Loaded: ready to run; its first pass is done."""
    examples = {name: array.asnumpy() for name, array in arrays.items()}
    network = engine.load(model, shapes, batch_size, job.threads[0], precision,
                          [examples] if job.random_thresholds else None)
    given = [arrays[name] for name in network.inputs]
    return _Loaded(network, network.once(*given), network(*given))


def _refuse_without_ranges(job, stored):
    for one in stored.values():
        if INT8 in job.precisions and precision_of(one.model) == FP32:
            raise AccnnError("%s is float32, and INT8 needs the range of every tensor: quantize it with images, or "
                             "give `random_thresholds` to time it with those of a random image" % one.model.prefix)


def _row(one, loaded, samples, batch_size, exact):
    """dict: of a (network, precision), compared with the first of all, and its outputs with those of `exact`."""
    sample, first = samples[one], next(iter(samples))
    return dict(described_seconds(sample, every_round=True), network=one[0], precision=one[1],
                ran=loaded[one].network.ran, images_per_second=batch_size / sample.median,
                measured=None if one == first else described_ratio(ratios(samples[first], sample)),
                difference=None if one == exact else difference(loaded[exact].outputs, loaded[one].outputs))


def difference(expected, found):
    """float: the largest difference of any output, over the largest number in that output.

    Parameters
    ----------
    expected, found : list of ndarray
    """
    return max((float(np.abs(two.astype(np.float64) - one).max() / max(np.abs(one).max(), np.finfo(np.float32).tiny))
                for one, two in zip(expected, found) if one.size), default=0.0)

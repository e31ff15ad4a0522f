"""Networks compared in several engines and precisions: converted when loaded, timed in turns, outputs compared."""
from collections import namedtuple

import numpy as np

from accnn import engines
from accnn.core.errors import AccnnError
from accnn.core.layers import FP32, INT8
from accnn.quantization.conversion import precision_of
from accnn.timing.clock import Sample, alternate, described_ratio, described_seconds, ratios
from accnn.timing.stored import released

_Row = namedtuple("_Row", "side engine precision")
_Loaded = namedtuple("_Loaded", "ran once outputs")
_CALIBRATED_AT_ONCE = 8  # examples, all of whose inner tensors are held


def compare(job, stored, shapes, batch_size, arrays, tell, enough=None):
    """Time every network in every engine and precision of a job.

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
    tell, enough : callable
        See :func:`accnn.timing.clock.alternate`.

    Returns
    -------
    list of dict
        A row for each, in the order in which they were asked for: ``network``, ``engine``, ``version``, ``precision``,
        ``ran``, milliseconds, ``images_per_second``; ``measured``, how many times faster than the first row that ran;
        and ``difference``, the largest of its outputs from those of the same network in MXNet as it is stored, over
        the largest of these. The last two are None where a row is compared with itself. A row that cannot run has
        ``refused``, why, and no figures.

    Raises
    ------
    AccnnError
        No row can run.
    """
    examples = {name: array.asnumpy() for name, array in arrays.items()}
    asked = [_Row(*row) for row in job.asked] or [_Row(side, *row) for side in stored for row in job.rows]
    found, refused = {}, {}
    with released(stored.values()):
        for row in asked[::-1]:  # the network that runs first stays some percent slower
            try:
                found[row] = _loaded(job, row, stored[row.side].model, shapes, batch_size, examples)
            except AccnnError as error:
                refused[row] = str(error)
        if not found:
            raise AccnnError(refused[asked[0]])
        exact = {side: _exact(job, side, one.model, shapes, batch_size, examples, found)
                 for side, one in stored.items()}
    running = [row for row in asked if row in found]
    untimed = int(any(row.precision != FP32 for row in running))  # as when a network and its original are compared
    samples = dict(zip(running, alternate([found[row].once for row in running], job.repeats, max(0, job.warm_up - 1),
                                          tell=tell, enough=enough, untimed=untimed)))
    return [_described(row, found[row], samples, batch_size, exact[row.side]) if row in found else
            dict(_named(row), refused=refused[row]) for row in asked]


def over_originals(rows):
    """list of dict: how many times faster the last row is than each of the others, which is named and described.

    Parameters
    ----------
    rows : list of dict
        Of :func:`compare`.

    Raises
    ------
    AccnnError
        One of them did not run.
    """
    refused = [row["refused"] for row in rows if "refused" in row]
    if refused:
        raise AccnnError(refused[0])
    *originals, model = rows
    return [dict({name: row[name] for name in ("engine", "version", "precision", "ran", "median_ms")},
                 measured=described_ratio(ratios(Sample(tuple(row["ms"])), Sample(tuple(model["ms"])))))
            for row in originals]


def _loaded(job, row, model, shapes, batch_size, examples):
    """_Loaded: ready to run; its first pass is done."""
    engine = engines.get(row.engine)
    engine.check(row.precision, precision_of(model))
    calibration = _calibration(job, examples) if row.precision == INT8 and precision_of(model) == FP32 else ()
    if calibration is None:
        raise AccnnError("%s is float32, and INT8 needs the range of every tensor: quantize it with images, give "
                         "`data_calib`, or `random_thresholds` to time it with those of a random image" % model.prefix)
    network = engine.load(model, shapes, batch_size, job.threads[0], row.precision, calibration)
    given = [examples[name] for name in network.inputs]
    return _Loaded(network.ran, network.once(*given), network(*given))


def _calibration(job, examples):
    """list of dict of str to ndarray, or None: batches that tell the ranges of INT8 tensors."""
    if job.calibration is None:
        return [examples] if job.random_thresholds else None
    with np.load(job.calibration) as stored:
        arrays = dict(stored)
    count = len(next(iter(arrays.values())))
    return [{name: array[first:first + _CALIBRATED_AT_ONCE] for name, array in arrays.items()}
            for first in range(0, count, _CALIBRATED_AT_ONCE)]


def _exact(job, side, model, shapes, batch_size, examples, found):
    """(_Row, list of ndarray): outputs in MXNet in the precision that the network is stored in."""
    row = _Row(side, engines.DEFAULT, precision_of(model))
    there = found.get(row) or _loaded(job, row, model, shapes, batch_size, examples)
    return row, there.outputs


def _named(row):
    engine = engines.get(row.engine)
    return {"network": row.side, "engine": row.engine, "precision": row.precision,
            "version": engine.version if engine.available() is None else None}


def _described(row, loaded, samples, batch_size, exact):
    """dict: of a row, compared with the first that ran, and its outputs with those of MXNet."""
    sample, first = samples[row], next(iter(samples))
    return dict(described_seconds(sample, every_round=True), **_named(row), ran=loaded.ran,
                images_per_second=batch_size / sample.median,
                measured=None if row == first else described_ratio(ratios(samples[first], sample)),
                difference=None if row == exact[0] else difference(exact[1], loaded.outputs))


def difference(expected, found):
    """float: the largest difference of any output, over the largest number in that output.

    Parameters
    ----------
    expected, found : list of ndarray
    """
    return max((float(np.abs(two.astype(np.float64) - one).max() / max(np.abs(one).max(), np.finfo(np.float32).tiny))
                for one, two in zip(expected, found) if one.size), default=0.0)

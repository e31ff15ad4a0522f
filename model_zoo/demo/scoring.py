"""Score and time checkpoints on a RecordIO file: as much as the demo needs, in one place to be replaced."""
import collections
import contextlib
import os
import time

import numpy as np

from accnn.compat import mx
from accnn.errors import AccnnError

Latency = collections.namedtuple("Latency", "baseline_ms accelerated_ms")
Latency.__doc__ = "Median milliseconds of one forward pass of either network, measured in turns."


def read_images(rec, image_shape, batch_size=100):
    """Yield every record of a RecordIO file exactly once, in the order of the file.

    Parameters
    ----------
    rec : str
        The ``.rec`` file.
    image_shape : tuple of int
        Channels, height, width.
    batch_size : int

    Yields
    ------
    images : ndarray of shape (batch_size, channels, height, width), float32
        Raw pixels 0..255. Rows after the last record are no images.
    labels : ndarray of shape (m,), int
        One for each row that is a record: m < `batch_size` in the last batch only.
    """
    left = count_records(rec)
    # round_batch=False and a new iterator a pass: no image twice. It leaves the tail's rows unset and says nothing
    # of them in `pad`, so the records are counted beforehand.
    iterator = mx.io.ImageRecordIter(path_imgrec=rec, data_shape=image_shape, batch_size=batch_size,
                                     round_batch=False, preprocess_threads=1, verbose=False)
    for batch in iterator:
        labels = batch.label[0].asnumpy()[:left].astype(np.int64)
        yield batch.data[0].asnumpy(), labels
        left -= len(labels)


def count_records(rec):
    """Return the number of records in the RecordIO file `rec`, by walking it."""
    if not os.path.isfile(rec):
        raise AccnnError(f"{rec} is no file: pack the digits first")
    with contextlib.closing(mx.recordio.MXRecordIO(rec, "r")) as reader:
        return sum(1 for _ in iter(reader.read, None))


def bind(prefix, epoch, image_shape, batch_size):
    """Load a checkpoint and bind it for forward passes on the CPU.

    Parameters
    ----------
    prefix : str
    epoch : int
    image_shape : tuple of int
    batch_size : int

    Returns
    -------
    mxnet.executor.Executor
    """
    symbol, arg_params, aux_params = mx.model.load_checkpoint(prefix, epoch)
    # Shape inference gives the label variable its shape; Module would warn that it gets no labels.
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=(batch_size,) + tuple(image_shape))
    executor.copy_params_from(arg_params, aux_params)
    return executor


def probabilities(executor, images):
    """Return the network's first output for one batch of `images`, as an ndarray."""
    return executor.forward(is_train=False, data=mx.nd.array(images))[0].asnumpy()


def predict(prefix, epoch, rec, image_shape, batch_size=100):
    """Run a checkpoint over every record.

    Returns
    -------
    predicted, labels : ndarray of shape (n,), int
        The class with the largest output, and the true one.
    """
    executor = bind(prefix, epoch, image_shape, batch_size)
    predicted, true = [], []
    for images, labels in read_images(rec, image_shape, batch_size):
        predicted.append(probabilities(executor, images)[:len(labels)].argmax(axis=1))
        true.append(labels)
    return np.concatenate(predicted), np.concatenate(true)


def compare_latency(baseline, accelerated, images, rounds=31, warm_up=3):
    """Time two bound networks in turns, A B A B, so that a drifting clock touches both alike.

    Parameters
    ----------
    baseline, accelerated : mxnet.executor.Executor
    images : ndarray
        One batch of the bound shape.
    rounds : int
        Timed passes of each network.
    warm_up : int
        Passes of each that are not counted.

    Returns
    -------
    Latency
    """
    times = ([], [])
    for turn in range(warm_up + rounds):
        for executor, passed in zip((baseline, accelerated), times):
            started = time.perf_counter()
            probabilities(executor, images)
            if turn >= warm_up:
                passed.append(1e3 * (time.perf_counter() - started))
    return Latency(*(float(np.median(passed)) for passed in times))

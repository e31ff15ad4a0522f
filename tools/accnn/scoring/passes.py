"""One pass over the images, and how fast its parts are alone."""
import itertools
import time

from accnn.data.images import read_images
from accnn.runtime.predictor import compute_errors_as_sentences

_MOST_SECONDS, _LEAST_SECONDS, _SHARE = 5.0, 0.5, 0.25
_WARM_UP = 2


def answers(predictors, batches):
    """Run networks over batches, decoding, computing and counting at the same time.

    Parameters
    ----------
    predictors : list of Predictor
    batches : iterable of Batch

    Yields
    ------
    batch : Batch
        Its `images` are no longer these.
    outputs : list of list of ndarray
        By predictor and output, cut to the images there are.
    """
    waiting = None
    for batch in batches:
        # Copies, since the next pass writes into the same arrays; nothing here waits for them to be computed.
        with compute_errors_as_sentences("the network"):
            started = batch, [_started(predictor, batch) for predictor in predictors]
        if waiting:
            yield _read(*waiting)
        waiting = started
    if waiting:
        yield _read(*waiting)


def first_outputs(predictor, records, preprocessing, batch_size):
    """list of ndarray: what a network makes of the first images of a file, at most a batch of them.

    Parameters
    ----------
    predictor : Predictor
    records : Records
    preprocessing : Preprocessing
    batch_size : int
    """
    return next(answers([predictor], read_images(records, preprocessing, batch_size, limit=batch_size)))[1][0]


def speeds(predictors, records, preprocessing, batch_size, seconds):
    """Images per second of decoding alone, and of every network alone.

    Parameters
    ----------
    predictors : list of Predictor
    records : Records
    preprocessing : Preprocessing
    batch_size : int
    seconds : float
        How long the pass over the data took; each measurement takes a quarter of that, from 0.5 to 5 s.

    Returns
    -------
    decoding : float
    networks : list of float
    """
    seconds = min(max(_SHARE * seconds, _LEAST_SECONDS), _MOST_SECONDS)
    # Over again where the file is small: the pass would end before the clock says much.
    batches = itertools.chain.from_iterable(
        read_images(records, preprocessing, batch_size) for _ in itertools.repeat(None))
    decoding = _rate(lambda: next(batches).size, seconds)
    images = next(read_images(records, preprocessing, batch_size)).images.copy()
    return decoding, [_rate(lambda predictor=predictor: _forward(predictor, images), seconds)
                      for predictor in predictors]


def _started(predictor, batch):
    # A last batch of few images is cut, so that no time goes into rows that are none.
    images = batch.images[:batch.size] if predictor.can_take(batch.size) else batch.images
    return [_cut(output, batch.size, len(images)) for output in predictor.forward(images)]


def _cut(output, size, computed):
    """A copy of the rows that are of images; an output may have several rows for each."""
    # MXNet cannot take a slice, not even all rows, of what oneDNN left in blocks of channels.
    return output.copy() if size == computed else output[:len(output) * size // computed].copy()


def _read(batch, outputs):
    with compute_errors_as_sentences("the network"):
        return batch, [[output.asnumpy() for output in some] for some in outputs]


def _forward(predictor, images):
    for output in predictor.forward(images):
        output.wait_to_read()
    return len(images)


def _rate(step, seconds):
    for _ in range(_WARM_UP):
        step()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += step()
    return done / (time.perf_counter() - started)

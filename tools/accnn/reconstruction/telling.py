"""Which images tell what a small change costs the outputs: those of which the network is not sure."""
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from accnn.reconstruction.divergence import CLASS_SCORES, compared_as
from accnn.reconstruction.images import ArrayImages
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY

_EVEN = 0.5  # of the mean uncertainty, added to every image's: large errors also move outputs that were certain


@dataclass(frozen=True)
class Chosen:
    """Some of many images, in memory, of which some were likelier to be chosen than others.

    Attributes
    ----------
    images : ArrayImages
    truth : list of ndarray
        The network's outputs for them.
    weights : ndarray of shape (images,)
        For how many of all each stands, with a mean of 1.
    """

    images: ArrayImages
    truth: list
    weights: np.ndarray


def chosen(model, images, count, outputs):
    """Choose images as likely as the network is uncertain of them.

    The Fisher information of the outputs, and with it the divergence by a small change, is nearly all in images to
    which the network gives no class a probability near 1. Of a network that was trained on these images they are few.

    Parameters
    ----------
    model : Model
    images : ArrayImages
    count : int
        How many to choose.
    outputs : callable
        ``outputs(images)`` is a list of ndarray, the first axis counting rows of the images.

    Returns
    -------
    Chosen
    """
    truth = outputs(images)
    if images.count <= count:
        return Chosen(images, truth, np.ones(images.count))
    likely = _likely(uncertainty(model, truth, images.count), count)
    # Systematic: evenly spaced in the sum, so that all parts of the file are among them.
    numbers = np.unique(np.searchsorted(np.cumsum(likely), np.arange(count) + 0.5).clip(max=images.count - 1))
    weights = 1 / likely[numbers]
    rows = [array.reshape((images.count, -1) + array.shape[1:])[numbers] for array in truth]
    return Chosen(images.some(numbers), [array.reshape((-1,) + array.shape[2:]) for array in rows],
                  weights / weights.mean())


def uncertainty(model, outputs, count):
    """The sum over classes of p (1 - p), the mean over places: zeros where no output holds probabilities.

    Parameters
    ----------
    model : Model
    outputs : list of ndarray
        The first axis counting rows, as many for every image.
    count : int
        Images.

    Returns
    -------
    ndarray of float64, shape (count,)
    """
    found = np.zeros(count)
    for form, array in zip(compared_as(model, outputs), outputs):
        if form == CLASS_SCORES:
            array = softmax(array.astype(np.float64), axis=1)
        elif form == LOG_PROBABILITY:
            array = np.exp(array.astype(np.float64))
        elif form != PROBABILITY:
            continue
        found += (array * (1 - array)).reshape(count, -1).sum(1) / array.sum() * count
    return np.maximum(np.nan_to_num(found, nan=0.0, posinf=0.0), 0)


def _likely(uncertain, count):
    """ndarray: how likely every image is chosen, at most 1, `count` in all."""
    weights = uncertain + (_EVEN * uncertain.mean() or 1.0)
    likely = np.zeros(len(weights))
    while True:
        sure = likely >= 1
        likely = np.where(sure, 1.0, weights * (count - sure.sum()) / max(weights[~sure].sum(), 1e-300))
        if not (likely > 1).any():
            return likely

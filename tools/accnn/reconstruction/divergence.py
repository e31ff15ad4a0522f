"""How far the outputs of an accelerated network are from the original's, without labels."""
import numpy as np
from scipy.special import log_softmax

from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY, SCORE, by_values, other_kind
from accnn.scoring.heads import output_forms

_TINY = 1e-12
CLASS_SCORES = "class scores"  # a form beside those of accnn.scoring.forms: one output of scores, a softmax left out
# What ends in these is no score that a softmax could follow: to that a shift of all outputs would mean nothing.
_NO_CLASS_SCORES = {"Activation", "L2Normalization"}


def compared_as(model, outputs):
    """list of str: the form in which every output of a model is compared, `outputs` being arrays of some images.

    Where the graph does not say that an output holds probabilities, its numbers do.
    """
    entries = model.graph.heads
    forms = [_by_values(array) if form == SCORE else form for form, array in zip(output_forms(model), outputs)]
    scores = len(forms) == 1 and forms[0] == SCORE and outputs[0].ndim == 2 and outputs[0].shape[1] > 1
    if scores and model.graph.nodes[entries[0][0]].op not in _NO_CLASS_SCORES and not other_kind(
            model.graph, entries[0][0]):
        return [CLASS_SCORES]
    return forms


def _by_values(array):
    """The form of an output of which the graph says nothing, whichever of its axes the classes are."""
    axes = [axis for axis in range(1, array.ndim) if array.shape[axis] > 1]
    found = (by_values(np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])) for axis in axes)
    return next((form for form in found if form), SCORE)


class Divergence:
    """What the outputs of a network are compared by.

    Every output that holds probabilities is compared by the Kullback-Leibler divergence of the original's from the
    other's, in nats, the mean over images and places. So is a single output of scores for classes, after a softmax.
    Others are compared by their squared relative error. Several outputs add up.

    Parameters
    ----------
    model : Model
    truth : list of ndarray
        The original's outputs for all images, the first axis counting rows.
    weights : ndarray of shape (images,), optional
        How much every image counts. Default: all the same.
    """

    def __init__(self, model, truth, weights=None):
        self._truth = truth
        self._weights = [1.0 if weights is None else _for_rows(weights, array) for array in truth]
        self._compare = [_COMPARE[form] for form in compared_as(model, truth)]

    def of(self, outputs):
        """float: of an accelerated network's outputs for the same images, in the same order."""
        return float(sum(compare(true.astype(np.float64), made.astype(np.float64), weights) for compare, true, made,
                         weights in zip(self._compare, self._truth, outputs, self._weights)))


def _for_rows(weights, array):
    """ndarray: the weights of images for the rows of an array, as many for every image."""
    return np.repeat(weights, len(array) // len(weights)).reshape((-1,) + (1,) * (array.ndim - 1))


def _divergence(true, made, weights):
    # As many places as probabilities add up to 1, whichever axis the classes are.
    counted = weights * true
    return np.sum(counted * (np.log(np.maximum(true, _TINY)) - np.log(np.maximum(made, _TINY)))) / counted.sum()


def _log_divergence(true, made, weights):
    probability = weights * np.exp(true)
    return np.sum(probability * (true - made)) / probability.sum()


def _score_divergence(true, made, weights):
    return _log_divergence(log_softmax(true, axis=1), log_softmax(made, axis=1), weights)


def _error(true, made, weights):
    return (weights * np.square(made - true)).sum() / max((weights * np.square(true)).sum(), _TINY)


_COMPARE = {PROBABILITY: _divergence, LOG_PROBABILITY: _log_divergence, CLASS_SCORES: _score_divergence, SCORE: _error}

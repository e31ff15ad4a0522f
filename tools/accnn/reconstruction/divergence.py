"""How far the outputs of an accelerated network are from the original's, without labels."""
import numpy as np

from accnn.scoring.heads import LOG_PROBABILITY, PROBABILITY, output_forms

_TINY = 1e-12


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
    """

    def __init__(self, model, truth):
        self._truth = truth
        self._compare = [_divergence if form == PROBABILITY else _log_divergence if form == LOG_PROBABILITY else
                         _score_divergence if len(truth) == 1 and array.ndim == 2 and array.shape[1] > 1 else _error
                         for form, array in zip(output_forms(model), truth)]

    def of(self, outputs):
        """float: of an accelerated network's outputs for the same images, in the same order."""
        return float(sum(compare(true.astype(np.float64), made.astype(np.float64))
                         for compare, true, made in zip(self._compare, self._truth, outputs)))


def _divergence(true, made):
    places = true.size / true.shape[1] if true.ndim > 1 else true.size
    return np.sum(true * (np.log(np.maximum(true, _TINY)) - np.log(np.maximum(made, _TINY)))) / places


def _log_divergence(true, made):
    return np.sum(np.exp(true) * (true - made)) / (true.size / true.shape[1])


def _score_divergence(true, made):
    return _log_divergence(_log_softmax(true), _log_softmax(made))


def _log_softmax(scores):
    scores = scores - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def _error(true, made):
    return np.square(made - true).sum() / max(np.square(true).sum(), _TINY)

"""What rounding does to a network's outputs, image by image: a measure that few images tell apart."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.reconstruction.divergence import CLASS_SCORES, Divergence, compared_as
from accnn.runtime.predictor import Predictor
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY

_TINY = 1e-12
_SURE = 2.0  # standard errors of the mean square error


class Judge:
    """How far the outputs of networks are from those of one, on some images.

    A single distribution over classes, or scores of classes, is compared by

    .. math:: \\tfrac12 \\sum_c w_c (\\delta_c - \\bar\\delta)^2, \\quad w_c = (p_c + 1/C) / 2

    with delta the change of the logarithm of p and its mean under w: with w = p this is the Kullback-Leibler
    divergence for small changes, which hangs on the few images that are nearly undecided; half of the weight spread
    evenly lets all of them tell how large the noise is. Other outputs are compared by their squared relative error.

    Parameters
    ----------
    model : Model
    images : ArrayImages
    input_shapes : dict of str to tuple of int
        Without the batch.

    Attributes
    ----------
    is_classifier : bool
        Whether the network has one output, a distribution over classes or scores of classes.
    """

    def __init__(self, model, images, input_shapes):
        self._images, self._shapes, self._prefix = images, input_shapes, model.prefix
        self._names = model.symbol.list_outputs()
        self._truth = self._outputs(model)
        forms = compared_as(model, self._truth)
        self.is_classifier = len(forms) == 1 and forms[0] in _LOGARITHMS and self._truth[0].ndim == 2
        self._logarithm, self._divergence = _LOGARITHMS.get(forms[0]), Divergence(model, self._truth)

    def refuse_infinite(self):
        """Raise an AccnnError where an output of the network itself holds NaN or infinite values."""
        for name, output in zip(self._names, self._truth):
            if not np.isfinite(output).all():
                raise AccnnError("the output %r of %s holds NaN or infinite values on these images: check the "
                                 "parameters, `rgb_mean` and `rgb_std`" % (name, self._prefix))

    def __call__(self, model):
        """float: the mean over the images."""
        return float(self.each(model).mean())

    def each(self, model):
        """ndarray of shape (images,): of every image; one number where outputs have no row for each."""
        outputs = self._outputs(model)
        if self.is_classifier:
            return _spread(self._logarithm(self._truth[0]), self._logarithm(outputs[0]))
        return sum(_squares(true, made, self._images.count) for true, made in zip(self._truth, outputs))

    def divergence(self, model):
        """float: see :class:`accnn.reconstruction.divergence.Divergence`."""
        return self._divergence.of(self._outputs(model))

    def errors(self, model):
        """dict of str to float: relative error of every output."""
        return {name: float(np.linalg.norm(made - true) / max(np.linalg.norm(true), 1e-30))
                for name, true, made in zip(self._names, self._truth, self._outputs(model))}

    def errors_at_most(self, model):
        """dict of str to float: of every output the relative error with two standard errors added.

        On other images it is rarely larger: a few images with large errors, which others may have more of, count as the
        uncertainty that they are.
        """
        return {name: _at_most(_squares(true, made, self._images.count))
                for name, true, made in zip(self._names, self._truth, self._outputs(model))}

    def _outputs(self, model):
        predictor = Predictor(model, self._shapes, min(self._images.batch_size, self._images.count))
        found = [[output.asnumpy() for output in predictor.forward(*predictor.arranged(batch))]
                 for _, batch in self._images.batches()]
        return [np.concatenate(arrays).astype(np.float64) for arrays in zip(*found)]


def _spread(true, made):
    probability = np.exp(true)
    weights = (probability / probability.sum(1, keepdims=True) + 1 / true.shape[1]) / 2
    change = made - true
    change = change - (weights * change).sum(1, keepdims=True)
    return (weights * np.square(change)).sum(1) / 2


def _squares(true, made, images):
    size = max(np.square(true).sum(), _TINY)
    if len(true) % images:
        return np.array([np.square(made - true).sum() / size])
    return np.square(made - true).reshape(images, -1).sum(1) * images / size


def _at_most(squares):
    return float(np.sqrt(squares.mean() + _SURE * squares.std() / np.sqrt(len(squares))))


def _of_scores(scores):
    scores = scores - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


_LOGARITHMS = {PROBABILITY: lambda array: np.log(np.maximum(array, _TINY)), LOG_PROBABILITY: lambda array: array,
               CLASS_SCORES: _of_scores}

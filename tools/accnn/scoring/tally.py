"""Answers of networks, counted batch by batch, so that memory does not grow with the number of images."""
from math import sqrt

import numpy as np
from scipy.special import log_softmax

from accnn.core.errors import AccnnError
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY

NORMAL_95 = 1.959963984540054  # the 97.5% point of the normal distribution


def drop_interval(only_before, only_after, images):
    """The 95% interval of a drop in accuracy, from paired answers.

    Wald's interval for the difference of paired proportions with half an image added to each of the four cells
    (both right, only the first, only the second, none), which keeps its coverage where few answers differ.

    Parameters
    ----------
    only_before, only_after : int
        Images that only the first or only the second network has right.
    images : int

    Returns
    -------
    low, high : float
        Of the share of images, first minus second.

    References
    ----------
    A. Agresti, Y. Min. Simple improved confidence intervals for comparing matched proportions. Statistics in Medicine
    24 (2005).
    """
    lost, gained, total = only_before + 0.5, only_after + 0.5, images + 2
    centre = (lost - gained) / total
    width = NORMAL_95 * sqrt((lost + gained) - (lost - gained) ** 2 / total) / total
    return max(centre - width, -1.0), min(centre + width, 1.0)


_SMALLEST = 1e-12  # what mx.metric.CrossEntropy adds to a probability before it takes the logarithm


class Tally:
    """What one network answered.

    Parameters
    ----------
    head : Head
    top_k : tuple of int
        An answer counts as right when the true class is among the k best.
    confusion : bool
        Count every pair of true and answered class.

    Attributes
    ----------
    images : int
    right : dict of int to int
        By k.
    loss : float
        Sum of the cross-entropies, in nats.
    of_class, right_of_class : ndarray of shape (classes,), int
        Images of every class, and those whose best answer was right.
    confusion : ndarray of shape (classes, classes), int, or None
        Rows are true classes, columns best answers.
    """

    def __init__(self, head, top_k=(1,), confusion=False):
        self.head, self.top_k = head, tuple(top_k)
        self.images, self.loss = 0, 0.0
        self.right = dict.fromkeys(self.top_k, 0)
        self.of_class, self.right_of_class = np.zeros((2, head.classes), np.int64)
        self.confusion = np.zeros((head.classes, head.classes), np.int64) if confusion else None

    def add(self, output, labels):
        """Count one batch.

        Parameters
        ----------
        output : ndarray of shape (n, classes, ...)
            Axes behind the classes are of length 1.
        labels : ndarray of shape (n,), int

        Returns
        -------
        ndarray of shape (n,), int
            The best answers.
        """
        output = output.reshape(len(output), self.head.classes)
        ranks, best = truth_ranks(output, labels), output.argmax(axis=1)
        self.images += len(labels)
        self.loss += float(cross_entropies(output, labels, self.head.form, self.head.total).sum())
        for k in self.top_k:
            self.right[k] += int((ranks < k).sum())
        self.of_class += np.bincount(labels, minlength=self.head.classes)
        self.right_of_class += np.bincount(labels[best == labels], minlength=self.head.classes)
        if self.confusion is not None:
            np.add.at(self.confusion, (labels, best), 1)
        return best

    def summed(self, job):
        """Return self, with the counts of all workers of `job`."""
        self.images, self.loss = job.total(self.images), job.total(self.loss)
        self.right = {k: job.total(count) for k, count in self.right.items()}
        self.of_class, self.right_of_class = job.sum(self.of_class), job.sum(self.right_of_class)
        if self.confusion is not None:
            self.confusion = job.sum(self.confusion)
        return self


class PairTally:
    """What two networks answered to the same images.

    Attributes
    ----------
    images, agree : int
        All, and those with the same best answer.
    only_first, only_second : int
        Images that one network has right and the other wrong.
    """

    def __init__(self):
        self.images = self.agree = self.only_first = self.only_second = 0

    def add(self, first, second, labels):
        """Count best answers of both networks to one batch."""
        self.images += len(labels)
        self.agree += int((first == second).sum())
        self.only_first += int(((first == labels) & (second != labels)).sum())
        self.only_second += int(((first != labels) & (second == labels)).sum())

    def summed(self, job):
        """Return self, with the counts of all workers of `job`."""
        for name in ("images", "agree", "only_first", "only_second"):
            setattr(self, name, job.total(getattr(self, name)))
        return self


def truth_ranks(scores, labels):
    """How many classes come before the true one; of equal scores the lower class comes first, as in argmax.

    Parameters
    ----------
    scores : ndarray of shape (n, classes)
    labels : ndarray of shape (n,), int

    Returns
    -------
    ndarray of shape (n,), int
        0 where the best answer is right.
    """
    own = scores[np.arange(len(labels)), labels][:, np.newaxis]
    earlier = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def cross_entropies(output, labels, form, total=1.0):
    """ndarray of shape (n,): minus the logarithm of the probability that each true class got, in nats.

    Probabilities add up to `total`.
    """
    if form == PROBABILITY:
        return -np.log(output[np.arange(len(labels)), labels].astype(np.float64) / total + _SMALLEST)
    logs = output.astype(np.float64)
    if form != LOG_PROBABILITY:
        logs = log_softmax(logs, axis=1)
    return -logs[np.arange(len(labels)), labels]


def check_finite(output, name, model, first):
    """Refuse an output with NaN or infinity; names it, the model and the record."""
    if not np.isfinite(output).all():
        row = int(np.argmin(np.isfinite(output).reshape(len(output), -1).all(axis=1)))
        raise AccnnError("the output %s of %s is not finite for record %d: check `mean` and `std`, else the "
                         "parameters are damaged" % (name, model.prefix, first + row))

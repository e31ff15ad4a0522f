"""How far the outputs of two networks are apart: for networks without classes, such as detectors."""
import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.progress import say
from accnn.graph.ir import Graph
from accnn.graph.labels import labels_read
from accnn.graph.outputs import distinct, find_outputs


class FidelityTally:
    """Relative error of every output against the baseline's, over all images.

    Parameters
    ----------
    outputs : list of str

    Attributes
    ----------
    squares : ndarray of shape (2, outputs), float64
        Sums of squares: of the difference, and of the baseline's output.
    """

    def __init__(self, outputs):
        self.outputs, self.images = list(outputs), 0
        self.squares = np.zeros((2, len(self.outputs)))

    def add(self, after, before, size):
        """Count one batch.

        Parameters
        ----------
        after, before : list of ndarray
            Outputs of the accelerated network and of the baseline.
        size : int
            Images in the batch.
        """
        self.images += size
        for position, (new, old) in enumerate(zip(after, before)):
            old = old.astype(np.float64)
            self.squares[:, position] += np.square(new - old).sum(), np.square(old).sum()

    def summed(self, job):
        """Return self, with the sums of all workers of `job`."""
        self.images, self.squares = job.total(self.images), job.sum(self.squares)
        return self

    def relative_errors(self):
        """dict: ||after - before|| / ||before|| by output; None where the baseline's is zero everywhere."""
        difference, size = np.sqrt(self.squares)
        return {name: float(d / s) if s else None for name, d, s in zip(self.outputs, difference, size)}


def compared_symbol(model, name=None):
    """mx.sym.Symbol: the outputs that are compared, all of them or those of one name.

    Says on stderr which of them are computed from a label.
    """
    every = list(zip(distinct(model.symbol.list_outputs()), model.graph.heads))
    entries = every if name is None else find_outputs(model, name)
    for called, entry in entries:
        labels = labels_read(model, entry)
        if labels:
            say("the output %s of %s is computed from the label %s, which no image has: the same one is taken for all"
                % (called, model.prefix, labels[0]))
    return Graph(model.graph.nodes, tuple(entry for _, entry in entries)).to_symbol()


def check_same_outputs(after, before, names):
    """Refuse two models whose outputs differ in name or shape.

    Parameters
    ----------
    after, before : Predictor
    names : tuple of str
        What to call them.
    """
    if after.output_shapes != before.output_shapes:
        raise AccnnError("%s has the outputs %s and %s has %s: `fidelity` compares a network with the one it was made "
                         "from" % (names[0], _listed(after), names[1], _listed(before)))


def _listed(predictor):
    return ", ".join("%s %s" % item for item in predictor.output_shapes.items())

"""How near a network's answers are to those of its teacher, where these are all that it learns."""
import numpy as np

from accnn.scoring.tally import Tally
from accnn.training.objective import training_head

_LEAST = 1e-12  # of a probability, for its logarithm


class MatchingTally(Tally):
    """A Tally whose true class is the teacher's best, and whose loss the divergence from its probabilities."""

    def add(self, output, labels):
        """Count one batch.

        Parameters
        ----------
        output, labels : ndarray of shape (n, classes)
            Probabilities of the network and of the teacher; the loss is the sum of q log(q / p) in nats.
        """
        mine, taught = (array.astype(np.float64) for array in (output, labels))
        best = taught.argmax(axis=1)
        self.images += len(mine)
        self.right[1] += int((mine.argmax(axis=1) == best).sum())
        self.loss += float((taught * (np.log(taught + _LEAST) - np.log(mine + _LEAST))).sum())


def tally_of(trainer, classes):
    """Tally or MatchingTally: what counts the answers of a Trainer."""
    return (MatchingTally if trainer.is_matching else Tally)(training_head(classes))


def counted(tally, answer):
    """Count an Answer of a Trainer; waits for MXNet to compute it."""
    output, labels = (array.asnumpy() for array in answer)
    tally.add(output, labels if labels.ndim > 1 else labels.astype(int))

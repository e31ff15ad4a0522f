"""Chains in the place of slow layers are timed with a part of the batch, and what that says of the whole batch.

An image takes about as long among few as among many once a pass is long. What is left of a difference is that of the
layer itself, which is timed with the whole batch and with the part.
"""
from dataclasses import dataclass, replace

from accnn.spelling import key, parse

_BRISK = 15.0  # milliseconds of a layer's pass with which its chains are timed well
_SLOW = 30.0  # from which on it is worth while to take fewer images


def portion(ms, batch_size):
    """int: images with which the chains of a layer are timed that takes `ms` milliseconds for the whole batch."""
    return max(1, int(batch_size * _BRISK / ms)) if ms >= _SLOW else batch_size


@dataclass
class Portion:
    """How the chains at one place are timed.

    Attributes
    ----------
    layer : str
        Key of the layer itself.
    relative : float
        Its time with the whole batch, over that of the reference.
    images, batch_size : int
        Of a pass of its chains, and of the whole batch.
    factor : float or None
        What a chain's time with so many images is to be multiplied by; None until :meth:`learn`.
    """

    layer: str
    relative: float
    images: int
    batch_size: int
    factor: float = None

    def question(self, text):
        """str: the key of a chain at this place, with the images of a part as rows of one example."""
        place, chain = parse(text)
        return key(replace(place, repeats=place.repeats * self.images), chain)

    def learn(self, timed):
        """Take what the layer itself takes with the part, a Timed; one that is refused says that batches are alike."""
        self.factor = self.batch_size / self.images if timed.relative is None else self.relative / timed.relative

    def whole(self, timed, text):
        """Timed: of the whole batch, for one of :meth:`question`; `text` is the key that was asked for."""
        return replace(timed, key=text, relative=None if timed.relative is None else self.factor * timed.relative)

"""Chains in the place of slow layers timed with a part of the batch, and their times scaled to the whole batch.

VGG-16 with a batch of 8 on one thread was planned for 4x in 153 s this way, and in 260 s with whole batches.
"""
from dataclasses import dataclass, replace
from typing import Optional

from accnn.timing.keys import key as chain_key
from accnn.timing.keys import parse

_ENOUGH_MS = 15.0  # of a layer's pass with which its chains are timed well
_SLOW_MS = 30.0  # from which on it is worth while to take fewer images


def partial_batch_size(ms, batch_size):
    """int: images with which the chains of a layer are timed that takes `ms` milliseconds for the whole batch."""
    return max(1, int(batch_size * _ENOUGH_MS / ms)) if ms >= _SLOW_MS else batch_size


@dataclass
class PartialBatch:
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
        What a chain's time with so many images is to be multiplied by; None until :meth:`calibrate`.
    """

    layer: str
    relative: float
    images: int
    batch_size: int
    factor: Optional[float] = None

    def partial_key(self, text):
        """str: the key of a chain at this place, with the images of a part as rows of one example."""
        place, chain = parse(text)
        return chain_key(replace(place, repeats=place.repeats * self.images), chain)

    def calibrate(self, timed):
        """Take the layer's own Timed with the part; where it is refused, batches are taken to be proportional."""
        self.factor = self.batch_size / self.images if timed.relative is None else self.relative / timed.relative

    def scaled(self, timed, text):
        """Timed: of the whole batch, for one of :meth:`partial_key`; `text` is the key that was asked for."""
        return replace(timed, key=text, relative=None if timed.relative is None else self.factor * timed.relative)

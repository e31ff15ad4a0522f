"""Batches whose images are blended in pairs: the same pictures for a network and for the teacher it is to match."""
import numpy as np

from accnn.core.compat import mx


def mixed(images, strength, random):
    """Return a batch of which every image is blended with another one, x_i' = s_i x_i + (1 - s_i) x_p(i).

    Parameters
    ----------
    images : mx.nd.NDArray of shape (batch, ...)
    strength : float
        Above 0. The shares s_i are drawn from Beta(strength, strength): uniform at 1, near 0 and 1 below.
    random : np.random.RandomState
        Draws the shares and the permutation p.

    Returns
    -------
    mx.nd.NDArray of the same shape
        MXNet may still be computing it; nothing is done image by image.

    References
    ----------
    H. Zhang et al. mixup: beyond empirical risk minimization. ICLR 2018. Equation 1, without labels.
    L. Beyer et al. Knowledge distillation: a good teacher is patient and consistent. CVPR 2022. Section 3.
    """
    order = random.permutation(len(images))
    shares = random.beta(strength, strength, len(images)).astype(np.float32)
    shares = mx.nd.array(shares.reshape((-1,) + (1,) * (len(images.shape) - 1)), ctx=images.context)
    partners = images.take(mx.nd.array(order, ctx=images.context), axis=0)
    blended = images - partners  # and then in place: memory for another batch costs more than what is computed
    mx.nd.broadcast_mul(blended, shares, out=blended)
    mx.nd.elemwise_add(blended, partners, out=blended)
    return blended

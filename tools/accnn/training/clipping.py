"""Gradients of all parameters together held to a length."""
from accnn.core.compat import mx

_AT_ONCE = 64  # arrays that one call sums


def clip_gradients(gradients, longest):
    """Multiply gradients by min(1, longest / norm), the norm being that of all of them together.

    MXNet's own ``clip_gradient`` cuts every number by itself, which turns the direction of the step. Nothing waits for
    the norm here: it is computed and used where the gradients are.

    Parameters
    ----------
    gradients : list of mx.nd.NDArray
        Changed in place.
    longest : float

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio. On the difficulty of training recurrent neural networks. ICML 2013. Algorithm 1.
    """
    parts = [gradients[start:start + _AT_ONCE] for start in range(0, len(gradients), _AT_ONCE)]
    squares = mx.nd.concat(*(mx.nd.multi_sum_sq(*part, num_arrays=len(part)) for part in parts), dim=0)
    # A norm of zero gives an infinite quotient, of which the minimum makes 1.
    scale = mx.nd.minimum(longest * mx.nd.rsqrt(squares.sum()), 1.0)
    for gradient in gradients:
        mx.nd.broadcast_mul(gradient, scale.reshape((1,) * len(gradient.shape)), out=gradient)

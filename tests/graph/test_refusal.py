"""Which exceptions are MXNet's refusals, and what they say."""
import pytest

from accnn.core.compat import mx
from accnn.graph.ir import refusal

X = mx.sym.Variable("data")
LARGE = mx.sym.Convolution(X, kernel=(5, 5), num_filter=1)


def raised(work):
    with pytest.raises(Exception) as caught:
        work()
    return caught.value


@pytest.mark.parametrize("work, kind, says", [
    (lambda: LARGE.simple_bind(mx.cpu(), data=(1, 1, 2, 2)), RuntimeError, "kernel"),
    (lambda: LARGE.infer_shape(data=(1, 1, 2, 2)), mx.base.MXNetError, "kernel"),
    (lambda: X.infer_shape(data=(2 ** 32, 2)), Exception, "more than 2^31"),
    (lambda: mx.nd.empty((2 ** 20, 2 ** 20)), Exception, "more than 2^31"),
    (lambda: (X + 1).simple_bind(mx.cpu(), data=(10 ** 20, 1)), OverflowError, "more than 2^31"),
])
def test_what_mxnet_refuses(work, kind, says):
    error = raised(work)
    assert type(error) is kind and says in refusal(error).lower() and "\n" not in refusal(error)


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("data"), RuntimeError("set changed size"), OSError("no"),
                                   KeyboardInterrupt(), ArithmeticError("no")])
def test_everything_else_is_a_mistake(error):
    assert refusal(error) is None

"""Products of matrices: fully connected layers, dot, batch_dot."""
import numpy as np

from accnn.exporting.registry import converts
from accnn.exporting.sizes import Shape


@converts("FullyConnected")
def fully_connected(layer):
    """``Gemm`` with the weight as it is stored; `flatten` takes all axes behind the batch for one."""
    x = layer.x
    flatten = layer.boolean("flatten", True)
    if x.ndim != 2:
        rows = x.shape.take([0]) if flatten else x.shape.take(range(x.ndim - 1)).product()
        x = layer.reshape(x, rows.joined(Shape((int(np.prod(x.shape)) // rows[0],))))
    parameters = layer.inputs[1:2 if layer.boolean("no_bias") else 3]
    found = layer.add("Gemm", x, *parameters, transB=1)
    return found if len(layer.shape) == 2 else layer.reshape(found, layer.shape)


def _turned(layer, x, ndim, turned):
    """`x` with its last two axes exchanged."""
    return layer.transpose(x, list(range(ndim - 2)) + [ndim - 1, ndim - 2]) if turned else x


@converts("batch_dot")
def batch_dot(layer):
    """``MatMul`` of every pair of matrices."""
    lhs, rhs = layer.inputs
    return layer.add("MatMul", _turned(layer, lhs, 3, layer.boolean("transpose_a")),
                     _turned(layer, rhs, 3, layer.boolean("transpose_b")))


@converts("_linalg_gemm2")
def gemm2(layer):
    """``MatMul``, times `alpha`."""
    lhs, rhs = layer.inputs
    if layer.integer("axis", -2) not in (-2, lhs.ndim - 2):
        raise layer.refused("axis=%s" % layer.text("axis"))
    found = layer.add("MatMul", _turned(layer, lhs, lhs.ndim, layer.boolean("transpose_a")),
                      _turned(layer, rhs, rhs.ndim, layer.boolean("transpose_b")))
    alpha = layer.number("alpha", 1.0)
    return found if alpha == 1 else layer.add("Mul", found, layer.scalar(alpha))


@converts("dot")
def dot(layer):
    """The last axis of one against the first of the other; a transposed one gives the axis of its other end."""
    lhs, rhs = layer.inputs
    left, before = _moved(layer, lhs, [*range(1, lhs.ndim), 0] if layer.boolean("transpose_a") else range(lhs.ndim))
    right, behind = _moved(layer, rhs, [rhs.ndim - 1, *range(rhs.ndim - 1)] if layer.boolean("transpose_b")
                           else range(rhs.ndim))
    rows, inner = before.take(range(lhs.ndim - 1)), before.take([lhs.ndim - 1])
    columns = behind.take(range(1, rhs.ndim))
    left = left if lhs.ndim == 2 else layer.reshape(left, rows.product().joined(inner))
    right = right if rhs.ndim == 2 else layer.reshape(right, inner.joined(columns.product()))
    found = layer.add("MatMul", left, right)
    return found if len(layer.shape) == 2 and lhs.ndim == rhs.ndim == 2 else layer.reshape(found, layer.shape)


def _moved(layer, x, axes):
    return layer.transpose(x, axes), x.shape.take(axes)

"""Shapes of a network's entries in which the batch may stay open, and the types of what they hold."""
import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.shapes import inferred, is_known, native_batch, refused_batch, takes_batch
from accnn.quantization.supported import CONVOLUTION


class Shape(tuple):
    """Sizes for one batch, and which of them grow with it.

    Attributes
    ----------
    factors : tuple of int
        A size is this often the number of examples; 0 where it is always the same.
    """

    def __new__(cls, sizes, factors=None):
        """Make one of sizes; none grows where no factors are given."""
        self = super().__new__(cls, sizes)
        self.factors = tuple(factors) if factors else (0,) * len(self)
        return self

    @property
    def is_fixed(self):
        """bool: whether no size grows with the batch."""
        return not any(self.factors)

    def take(self, axes):
        """Shape: some of the axes, in that order."""
        return Shape([self[axis] for axis in axes], [self.factors[axis] for axis in axes])

    def replaced(self, axis, size, factor=0):
        """Shape: with another size in the place of one."""
        return Shape(self[:axis] + (size,) + self[axis + 1:],
                     self.factors[:axis] + (factor,) + self.factors[axis + 1:])

    def joined(self, other):
        """Shape: the axes of this one, then those of another."""
        return Shape(tuple(self) + tuple(other), self.factors + other.factors)

    def product(self):
        """Shape: of one axis, with as many elements; at most one of the sizes may grow."""
        size, factor = 1, 0
        for one, growing in zip(self, self.factors):
            factor = factor * one if not growing else growing * size
            size *= one
        return Shape((size,), (factor,))


def batches_of(model, input_shapes, asked):
    """The batches to infer shapes for: two, where the batch stays open, or one.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    asked : int or None
        The only batch the file is to take.

    Raises
    ------
    AccnnError
        The network does not take the batch that was asked for.
    """
    if asked is not None:
        if not takes_batch(model, input_shapes, asked):
            raise refused_batch(model, input_shapes, asked)
        return (asked,)
    native = native_batch(model, input_shapes)
    grown = [native + more for more in (2, 1) if takes_batch(model, input_shapes, native + more)]
    return (native, grown[0]) if grown else (native,)


def entry_shapes(model, input_shapes, batches):
    """Shapes of all entries, where MXNet can infer them.

    Parameters
    ----------
    model : Model
    input_shapes : dict of str to tuple of int
        Without the batch.
    batches : tuple of int
        One, or two of which the sizes are told that grow.

    Returns
    -------
    dict of (int, int) to Shape
        By position of the node and which of its outputs.

    Raises
    ------
    AccnnError
        The network does not take the inputs; a size grows, but not in proportion to the batch.
    """
    known = [inferred(model.graph, input_shapes, batch)[1] for batch in batches]
    return {entry: _shape(model, entry, [one[entry] for one in known], batches)
            for entry in known[0] if all(is_known(one[entry]) for one in known)}


def _shape(model, entry, found, batches):
    first, last = found[0], found[-1]
    if len(first) != len(last):
        raise _irregular(model, entry)
    factors = [0 if before == after else before // batches[0] for before, after in zip(first, last)]
    if any(factor and (factor * batches[0], factor * batches[-1]) != (before, after)
           for factor, before, after in zip(factors, first, last)):
        raise _irregular(model, entry)
    return Shape(first, factors)


def _irregular(model, entry):
    return AccnnError("%s: the size of %r does not grow in proportion to the batch: fix that, as in `batch_size=1`"
                      % (model.prefix, model.graph.nodes[entry[0]].name))


def entry_types(model):
    """dict of (int, int) to np.dtype: the type of every entry, for inputs of float32; float32 where MXNet is silent."""
    inside = model.graph.internals
    floats = {model.graph.nodes[entry[0]].name for node in model.graph.nodes if node.op == CONVOLUTION
              for entry in node.inputs}  # the stored numbers may be whole ones
    given = {name: model.arg_params[name].dtype if name in model.arg_params and name not in floats else np.float32
             for name in inside.arguments}
    found = inside.symbol.infer_type_partial(**given)[1]
    return {entry: np.dtype(kind or np.float32) for entry, kind in zip(inside.entries, found)}


def is_parameter(model, node):
    """bool: whether a node is a variable that the checkpoint holds."""
    return node.is_variable and (node.name in model.arg_params or node.name in model.aux_params)


def parameter(model, name):
    """mx.nd.NDArray: a parameter, of either kind."""
    return model.arg_params[name] if name in model.arg_params else model.aux_params[name]


def as_numpy(array):
    """ndarray: of what may be MXNet's."""
    return array.asnumpy() if isinstance(array, mx.nd.NDArray) else np.asarray(array)

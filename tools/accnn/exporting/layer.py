"""One node of the network as its converter sees it: inputs, attributes, and what can be added to the ONNX graph."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

from accnn.core.errors import AccnnError
from accnn.exporting.sizes import Shape, as_numpy
from accnn.graph import attrs

ONNX_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}


@dataclass
class Value:
    """What a node reads.

    Attributes
    ----------
    name : str
        Of the tensor.
    shape : Shape
    dtype : np.dtype
    array : ndarray or mx.nd.NDArray, optional
        Its content, where that is known beforehand.
    """

    name: str
    shape: Shape
    dtype: np.dtype
    array: Optional[object] = None

    @property
    def ndim(self):
        """int: number of axes."""
        return len(self.shape)

    def known(self):
        """ndarray or None: the content, where that is known beforehand."""
        return None if self.array is None else as_numpy(self.array)


class Layer:
    """A node to be converted.

    Parameters
    ----------
    builder : Builder
    node : Node
    inputs : list of Value
    outputs : list of Shape
    dtype : np.dtype
        Of its first output.
    source : str
        What an error calls the network.

    Attributes
    ----------
    builder, node, inputs, outputs, dtype
    x : Value
        The first input.
    shape : Shape
        Of the first output.
    """

    def __init__(self, builder, node, inputs, outputs, dtype, source):
        self.builder, self.node, self.inputs, self.outputs, self.dtype = builder, node, inputs, outputs, dtype
        self._source = source
        self.x, self.shape = inputs[0] if inputs else None, outputs[0]

    # ---- what the node says

    def integer(self, key, default=None):
        """int: an attribute."""
        return default if self.text(key) is None else attrs.integer(self.node, key, default)

    def number(self, key, default=None):
        """float: an attribute."""
        return default if self.text(key) is None else attrs.number(self.node, key, default)

    def boolean(self, key, default=False):
        """bool: an attribute."""
        return default if self.text(key) is None else attrs.boolean(self.node, key, default)

    def sizes(self, key, default=()):
        """tuple of int: an attribute, a number counting as one of them."""
        return default if self.text(key) is None else attrs.shape(self.node, key, default)

    def numbers(self, key, default=()):
        """tuple of (int or None): an attribute whose numbers may be negative."""
        return default if self.text(key) is None else attrs.signed(self.node, key, default)

    def text(self, key, default=None):
        """str: an attribute; None as where it is not there."""
        said = self.node.attrs.get(key)
        return default if said in (None, "None", "") else said

    def axis(self, key="axis", default=None, value=None):
        """int: an axis of the first input (or another), counted from the front."""
        place = self.integer(key, default)
        return place % (value or self.x).ndim

    def refused(self, what, remedy="change that in the symbol JSON"):
        """AccnnError: that the node cannot be exported with `what` it says, and what to do."""
        return AccnnError("%s: %r (%s) cannot be exported with %s: %s, or export what it reads, with `outputs`"
                          % (self._source, self.node.name, self.node.op, what, remedy))

    def part(self, node, inputs, shape=None):
        """Layer: an operator that is a part of this node, which reads float32 values and gives them.

        Parameters
        ----------
        node : Node
        inputs : list of Value
        shape : Shape, optional
            Of its output. Default: that of the whole node.
        """
        return Layer(self.builder, node, inputs, [shape or self.shape], np.dtype(np.float32), self._source)

    def lacking_range(self):
        """AccnnError: that nothing says which numbers an INT8 tensor of the node stands for."""
        return AccnnError("%s: %r (%s) finds the range of an INT8 tensor while it runs, which cannot be exported: "
                          "quantize the float32 checkpoint with images" % (self._source, self.node.name, self.node.op))

    # ---- what is added

    def add(self, op, *inputs, outputs=1, **attributes):
        """Add an ONNX node.

        Parameters
        ----------
        op : str
        *inputs : Value, str, ndarray or None
            Arrays become constants, None an input that is left out.
        outputs : int
        **attributes
            Those that are None are left out.

        Returns
        -------
        str, or list of str where there are several outputs
        """
        names = self.builder.add(op, [self._tensor(one) for one in inputs], "%s/%s" % (self.node.name, op), outputs,
                                 **{key: value for key, value in attributes.items() if value is not None})
        return names[0] if outputs == 1 else names

    def _tensor(self, given):
        if given is None:
            return ""
        if isinstance(given, Value):
            if given.array is not None:
                self.builder.parameter(given.name, given.array)
            return given.name
        return given if isinstance(given, str) else self.builder.constant(given, self.node.name + "/constant")

    def scalar(self, value, dtype=None):
        """ndarray: a constant of the type that the node computes in."""
        return np.array(value, self.x.dtype if dtype is None and self.x is not None else dtype or self.dtype)

    def target(self, shape):
        """What Reshape, Expand and such take for a shape: a constant, or a tensor where several sizes are open."""
        if sum(map(bool, shape.factors)) <= 1:
            return np.array([-1 if factor else size for size, factor in zip(shape, shape.factors)], np.int64)
        return self.sizes_of(shape)

    def sizes_of(self, shape):
        """The sizes of a shape: a constant, or a tensor where some are open."""
        if shape.is_fixed:
            return np.array(shape, np.int64)
        parts = [self.add("Mul", self.builder.batch_size(), np.array([factor], np.int64)) if factor > 1
                 else self.builder.batch_size() if factor else np.array([size], np.int64)
                 for size, factor in zip(shape, shape.factors)]
        return self.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def reshape(self, x, shape):
        """Give `x` another shape of as many elements."""
        return self.add("Reshape", x, self.target(shape))

    def transpose(self, x, axes):
        """Reorder axes; nothing where they have that order."""
        return x if list(axes) == list(range(len(axes))) else self.add("Transpose", x, perm=list(axes))

    def cast(self, x, dtype):
        """Change the type."""
        return self.add("Cast", x, to=ONNX_TYPES[np.dtype(dtype).name])

    def unsqueeze(self, x, axes):
        """Insert axes of size 1."""
        return self.add("Unsqueeze", x, np.array(axes, np.int64))

    def squeeze(self, x, axes):
        """Remove axes of size 1."""
        return self.add("Squeeze", x, np.array(axes, np.int64))

    def slice(self, x, starts, ends, axes, steps=None):
        """Cut out a part of every axis of `axes`."""
        given = [np.array(one, np.int64) for one in (starts, ends, axes) + ((steps,) if steps is not None else ())]
        return self.add("Slice", x, *given)

    def reduce(self, kind, x, axes, keepdims):
        """Add ``Reduce`` + `kind` over axes."""
        axes, kept = list(map(int, axes)), int(keepdims)
        if kind == "Sum" or self.builder.opset >= 18:
            return self.add("Reduce" + kind, x, np.array(axes, np.int64), keepdims=kept)
        return self.add("Reduce" + kind, x, axes=axes, keepdims=kept)


def filled(layer, number):
    """str: a tensor of the layer's shape that holds one number."""
    return layer.add("Expand", np.array(number, layer.dtype), layer.sizes_of(layer.shape))

"""An ONNX graph while it grows: nodes, constants, and names that occur once."""
from collections import Counter
from dataclasses import dataclass

import numpy as np

_SHARED = 64  # elements: constants of up to so many are stored once


@dataclass
class Record:
    """A node that will be written."""

    op: str
    name: str
    inputs: list
    outputs: list
    attributes: dict


class Builder:
    """Collects nodes and constants.

    Parameters
    ----------
    opset : int
    rounds_sums : bool
        Of INT8 networks: see :func:`accnn.exporting.convert.convert`.

    Attributes
    ----------
    nodes : list of Record
    constants : dict of str to (ndarray or mx.nd.NDArray)
        Arrays are those of the model, not copies, where they are its parameters.
    batch_from : (str, int) or None
        An input whose axis of that number counts the examples.
    batch : str or None
        The tensor of shape (1,) that holds the number of examples, once something asked for it.
    """

    def __init__(self, opset, rounds_sums=False):
        self.rounds_sums = rounds_sums
        self.opset, self.nodes, self.constants, self.batch = opset, [], {}, None
        self._taken, self._stored, self.batch_from = Counter(), {}, None

    def unique(self, wanted):
        """str: `wanted`, with a number behind it where that name is taken; it is taken from now on."""
        name = wanted
        while self._taken[name]:
            name = "%s_%d" % (wanted, self._taken[wanted])
            self._taken[wanted] += 1
        self._taken[name] += 1
        return name

    def parameter(self, name, array):
        """Store a parameter under its name, once."""
        self.constants.setdefault(name, array)
        return name

    def constant(self, array, name):
        """Store a constant under a name such as `name`, small ones of the same content only once; return its name."""
        array = np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= _SHARED else None
        if key is None or key not in self._stored:
            stored = self.unique(name)
            self.constants[stored] = array
            self._stored[key] = stored
            return stored
        return self._stored[key]

    def add(self, op, inputs, name, outputs=1, **attributes):
        """Add a node; return the names of its outputs, a list."""
        name = self.unique(name)
        names = [self.unique(name + "_out%d" % number if outputs > 1 else name + "_out") for number in range(outputs)]
        self.nodes.append(Record(op, name, list(inputs), names, attributes))
        return names

    def rename(self, old, new, since):
        """Call a tensor that a node from number `since` on computes `new`; bool: whether one of those does."""
        records = self.nodes[since:]
        if not any(old in record.outputs for record in records):
            return False
        for record in records:
            record.inputs = [new if name == old else name for name in record.inputs]
            record.outputs = [new if name == old else name for name in record.outputs]
        return True

    def copy(self, tensor, name):
        """Let a tensor have another name, too."""
        self.nodes.append(Record("Identity", self.unique(name + "/Identity"), [tensor], [name], {}))

    def batch_size(self):
        """str: the tensor of shape (1,) that holds the number of examples."""
        if self.batch is None:
            source, axis = self.batch_from
            shape, = self.add("Shape", [source], "batch_shape")
            index = self.constant(np.array([axis], np.int64), "batch_axis")
            self.batch, = self.add("Gather", [shape, index], "batch_size", axis=0)
        return self.batch

    def drop_unread_constants(self, heads):
        """Leave out constants that nothing reads."""
        read = set(heads).union(*(record.inputs for record in self.nodes))
        self.constants = {name: array for name, array in self.constants.items() if name in read}

    def bytes_of_constants(self):
        """int: how much the constants take in the file."""
        return sum(array.size * np.dtype(array.dtype).itemsize for array in self.constants.values())

"""The proof: onnxruntime computes from the file what MXNet computes from the checkpoint."""
import ctypes

import numpy as np

from accnn.core.compat import mx
from accnn.exporting.quantized import step_of
from accnn.exporting.sizes import entry_types, is_parameter
from accnn.graph.ir import Graph
from accnn.graph.labels import unlabelled
from accnn.runtime.bound import as_read
from accnn.runtime.fusion import right_fusion
from accnn.runtime.predictor import compute_errors_as_sentences

TOLERANCE = 1e-4
_INT8 = (np.int8, np.uint8)


def trial_batches(converted, takes):
    """list of int: the batches to compare at: the only one, or that of the fewest examples and another.

    Parameters
    ----------
    converted : Converted
    takes : callable
        Tells whether the network takes a batch.
    """
    first = converted.batches[0]
    if not converted.is_open:
        return [first]
    return [first, first + 1 if takes(first + 1) else converted.batches[1]]


def random_examples(model, converted, batch, draw):
    """dict of str to ndarray: inputs of a batch.

    Numbers that pick rows of an Embedding are drawn among these; others are `draw`, of shape -> ndarray.
    """
    rows = _rows_picked(model)
    rng = np.random.RandomState(batch)
    found = {}
    for tensor in converted.inputs:
        shape = [factor * batch if factor else size for size, factor in zip(tensor.shape, tensor.shape.factors)]
        numbers = rng.randint(0, rows[tensor.name], shape) if tensor.name in rows else draw(rng, shape)
        found[tensor.name] = np.asarray(numbers, tensor.dtype)
    return found


def _rows_picked(model):
    nodes = model.graph.nodes
    return {nodes[node.inputs[0][0]].name: int(node.attrs["input_dim"]) for node in nodes
            if node.op == "Embedding" and nodes[node.inputs[0][0]].is_variable
            and not is_parameter(model, nodes[node.inputs[0][0]])}


class Reference:
    """A network in MXNet, on the very arrays of its parameters: a copy would take as much memory again.

    Parameters
    ----------
    model : Model
    symbol : mx.sym.Symbol, optional
        Run this one instead of the model's own.
    """

    def __init__(self, model, symbol=None):
        self._model, self._symbol = model, model.symbol if symbol is None else symbol

    def outputs(self, trials):
        """list of list of ndarray: the outputs for every trial, a dict of arrays by name of the input."""
        try:
            with compute_errors_as_sentences(self._model.prefix):
                return [[output.asnumpy() for output in self._bound(trial).forward(is_train=False)]
                        for trial in trials]
        finally:
            for array in self._parameters().values():
                _put_in_order(array)

    def _parameters(self):
        return dict(as_read(self._model, self._symbol), **self._model.aux_params)

    def _bound(self, trial):
        bound = unlabelled(self._model, self._symbol, {name: array.shape for name, array in trial.items()})
        known = dict(self._parameters(), **{name: mx.nd.array(array, dtype=array.dtype)
                                            for name, array in trial.items()})
        for name, shape in bound.shapes.items():
            known.setdefault(name, mx.nd.full(shape, bound.values.get(name, 0.0)))
        with right_fusion(bound.symbol):
            return bound.symbol.bind(
                mx.cpu(), {name: known[name] for name in bound.symbol.list_arguments()}, grad_req="null",
                aux_states={name: known[name] for name in bound.symbol.list_auxiliary_states()})


def _put_in_order(array):
    """Undo in place what oneDNN did to an array in place: blocks of channels, of which MXNet can take no slice."""
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))


def difference(found, expected):
    """float: the largest difference from `expected`, over the largest number there; inf where there is no comparison.

    What is not finite must be the same in both.
    """
    if found.shape != expected.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True) or not np.isfinite(found[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    found, expected = found[finite].astype(np.float64), expected[finite].astype(np.float64)
    largest = np.abs(expected).max()
    error = np.abs(found - expected).max()
    return float(error / largest) if largest else float("inf" if error else 0)


def first_difference(model, converted, session, trial, far, tolerance):
    """The first node, in topological order, whose output differs.

    Parameters
    ----------
    model : Model
    converted : Converted
    session : Session
        Of a file in which all inner tensors are outputs.
    trial : dict of str to ndarray
    far : callable
        ``far(found, expected) -> float``, such as :func:`difference`.
    tolerance : float

    Returns
    -------
    (Node, float) or None
        With the difference; None where none of them differs.
    """
    there = set(inner_outputs(converted)).union(tensor.name for tensor in converted.outputs)
    types = entry_types(model)
    entries = [entry for entry, name in converted.inner.items() if name in there and types[entry] != np.int32]
    expected = _inner(model, entries, [types[entry] for entry in entries], trial)
    found = session.run(trial, [converted.inner[entry] for entry in entries])
    differences = [far(*pair) for pair in zip(found, expected)]
    return next(((model.graph.nodes[position], apart) for (position, _), apart in zip(entries, differences)
                 if apart > tolerance), None)


def _inner(model, entries, types, trial):
    """list of ndarray: what MXNet computes as some entries; INT8 tensors are dequantized by the range beside them."""
    heads = [(position, output + more, 0) for (position, output), kind in zip(entries, types)
             for more in range(3 if kind in _INT8 else 1)]
    arrays = iter(Reference(model, Graph(model.graph.nodes, tuple(heads)).to_symbol()).outputs([trial])[0])
    found = []
    for kind in types:
        array = next(arrays)
        if kind in _INT8:
            array = array * step_of(next(arrays).item(), next(arrays).item(), kind == np.int8)
        found.append(array)
    return found


def inner_outputs(converted):
    """list of str: what nodes of the file compute as entries of the network, but for the outputs."""
    computed = {name for record in converted.builder.nodes for name in record.outputs}
    heads = {tensor.name for tensor in converted.outputs}
    return [name for name in dict.fromkeys(converted.inner.values()) if name in computed - heads]

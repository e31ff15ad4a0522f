"""What the calibrated tensors of a network hold on real images, and their minimum and maximum."""

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.ir import Graph
from accnn.quantization.int8_graph import calibrated_tensors
from accnn.runtime.predictor import Predictor


def minimum_and_maximum(partitioned, input_shapes, batches):
    """The range of every calibrated tensor: the thresholds that MXNet calls naive.

    Parameters
    ----------
    partitioned : Partition
    input_shapes : dict of str to tuple of int
        Without the batch.
    batches : iterable of dict of str to ndarray
        Examples of every input, as the network takes them, preprocessed. Labels may be left out.

    Returns
    -------
    dict of str to (float, float)

    Raises
    ------
    AccnnError
        There is no batch, or its arrays have another shape.
    """
    found = {}
    for name, values in tensors(partitioned, input_shapes, batches):
        low, high = float(values.min()), float(values.max())
        before = found.get(name, (low, high))
        found[name] = (min(before[0], low), max(before[1], high)) if low <= high else (low, high)  # NaN stays
    return found


def tensors(partitioned, input_shapes, batches, names=None):
    """Yield every calibrated tensor, batch after batch, as the float32 network computes it.

    Parameters
    ----------
    partitioned, input_shapes, batches
        As for :func:`minimum_and_maximum`.
    names : iterable of str, optional
        Only these tensors.

    Yields
    ------
    str, ndarray
        Its name and its values; the first axis are the examples of the batch.
    """
    wanted = calibrated_tensors(partitioned) if names is None else list(names)
    entries = _entries(partitioned.model.graph, wanted)
    predictor, seen = None, 0
    for batch in batches:
        seen = max(seen, len(next(iter(batch.values()))))
        if not entries:
            continue
        if predictor is None:
            predictor = Predictor(partitioned.model, input_shapes, seen, symbol=_group(partitioned.model, entries))
        _check(input_shapes, batch)
        outputs = predictor.forward(*(mx.nd.array(values) for values in predictor.arranged(batch)))
        for (name, _), output in zip(entries, outputs):
            yield name, output.asnumpy()
    if not seen:
        raise AccnnError("%s cannot be calibrated without images" % partitioned.model.prefix)


def _entries(graph, wanted):
    """list of (str, entry): where the tensors are; several ones may have one name."""
    internals = graph.internals
    names, wanted = internals.symbol.list_outputs(), set(wanted)
    return [(name, entry) for name, entry in zip(names, internals.entries) if name in wanted]


def _group(model, entries):
    return Graph(model.graph.nodes, tuple(entry + (0,) for _, entry in entries)).to_symbol()


def _check(input_shapes, batch):
    for name, values in batch.items():
        if name in input_shapes and tuple(values.shape[1:]) != tuple(input_shapes[name]):
            raise AccnnError("images of shape %s, but the input %r has %s: calibrate with images of that shape"
                             % (values.shape[1:], name, tuple(input_shapes[name])))

"""Layer by layer: what the new network put in the place of a layer, timed against it in isolation."""
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.cut import Cut, cut, source
from accnn.graph.ir import Graph
from accnn.graph.quantized import is_quantized
from accnn.graph.shapes import is_known
from accnn.timing import passes
from accnn.timing.bound import bound
from accnn.timing.clock import NOT_COMPARED, REPLACED, UNCHANGED, alternate, described_ratio, described_seconds, ratios

_IN_INT8 = ("an INT8 network is timed as a whole, because its layers run fused with what follows them and read what "
            "others left in INT8")


@dataclass(frozen=True)
class Pair:
    """A layer of the baseline, and what the new network has in its place.

    Attributes
    ----------
    spec : LayerSpec
    start : tuple or None
        What the layer reads: (name of a node, which of its outputs).
    before, after : Cut or None
    reason : str or None
        Why there is nothing to compare.
    """

    spec: object
    start: Optional[Tuple[str, int]] = None
    before: Optional[Cut] = None
    after: Optional[Cut] = None
    reason: Optional[str] = None


def find_pairs(old, new, specs):
    """list of Pair: one for each of the baseline's layers `specs`."""
    if is_quantized(old.graph) or is_quantized(new.graph):
        return [Pair(spec, reason=_IN_INT8) for spec in specs]
    return [_pair(old, new, spec) for spec in specs]


def _pair(old, new, spec):
    try:
        start = source(old, spec.name)
        return Pair(spec, start, cut(old, spec.name, start), cut(new, spec.name, start))
    except AccnnError as error:
        nested = spec.refusal and all(node.name != spec.name for node in old.graph.nodes)  # in a loop or a branch
        return Pair(spec, reason=spec.refusal if nested else str(error))


def layer_inputs(model, pairs, input_shapes, batch_size, arrays, context):
    """What the layers of a network read.

    Maps are taken from a pass, and not made up, because how an array lies in memory is a part of what a layer costs.
    Vectors lie in one way only: they are random, so that no pass need go through all fully connected layers.

    Parameters
    ----------
    model : Model
        The baseline.
    pairs : list of Pair
    input_shapes : dict of str to tuple of int
    batch_size : int
    arrays : dict of str to mx.nd.NDArray
        The inputs of the network.
    context : mx.Context

    Returns
    -------
    dict
        (name of a node, output) -> mx.nd.NDArray.
    """
    starts = list(dict.fromkeys(pair.start for pair in pairs if pair.before))
    read = {start: arrays[start[0]].as_in_context(context) for start in starts if start[0] in arrays}
    inner = [start for start in starts if start not in read]
    sizes = _sizes(model, inner, {name: array.shape for name, array in arrays.items()})
    cast = {pair.start for pair in pairs if pair.spec.precision is not None}  # read in the type that they are cast to
    vectors = [start for start in inner if is_known(sizes[start]) and len(sizes[start]) < 3 and start not in cast]
    maps = [start for start in inner if start not in vectors]
    rng = np.random.RandomState(0)
    read.update((start, passes.random_array(rng, sizes[start], context=context)) for start in vectors)
    if maps:
        network = bound(model, input_shapes, batch_size, [context], _reading(model, maps))
        outputs = network.forward(*(arrays[name] for name in network.inputs))
        mx.nd.waitall()
        read.update(zip(maps, outputs))
    return read


def _reading(model, entries):
    """mx.sym.Symbol: a group of the outputs (name of a node, output) of a model."""
    position = {node.name: i for i, node in enumerate(model.graph.nodes) if not node.is_variable}
    return Graph(model.graph.nodes, tuple((position[name], output, 0) for name, output in entries)).to_symbol()


def _sizes(model, entries, shapes):
    """dict: (name of a node, output) -> shape with the batch, for inputs of these shapes."""
    if not entries:
        return {}
    symbol = _reading(model, entries)
    given = {name: shape for name, shape in shapes.items() if name in symbol.list_arguments()}
    return dict(zip(entries, symbol.infer_shape_partial(**given)[1]))


def time_layers(pairs, inputs, batch_size, how, tell, release):
    """Time every pair in isolation, in turns.

    Parameters
    ----------
    pairs : list of Pair
    inputs : dict
        See :func:`layer_inputs`.
    batch_size : int
    how : dict
        For :func:`accnn.timing.clock.alternate`.
    tell : callable
        ``tell(done, what)`` before each layer.
    release : callable
        Called after each layer, to give back the memory of its weights.

    Returns
    -------
    list of dict
        A row a layer: its ``status``, MACs of one example, milliseconds of a batch, GFLOP/s (two operations a MAC).
    """
    rows = []
    for done, pair in enumerate(pairs):
        tell(done, pair.spec.name)
        rows.append(_row(pair, inputs.get(pair.start), batch_size, how))
        release()
    return rows


def _row(pair, data, batch_size, how):
    row = {"layer": pair.spec.name, "op": pair.spec.op, "status": NOT_COMPARED, "reason": pair.reason, "chain": []}
    if pair.reason:
        return row
    if pair.spec.precision is None:  # else what it reads has been cast, as its weights are in the part
        data = _in_kind_of(pair.before.model, data)
    try:
        macs = [part.macs(data.shape) for part in (pair.before, pair.after)]
    except AccnnError:
        return dict(row, reason="does not take the baseline's input of this layer, %s" % (data.shape,))
    row["status"] = UNCHANGED if pair.before.same_work(pair.after, data.shape) else REPLACED
    timed = [pair.before] if row["status"] == UNCHANGED else [pair.before, pair.after]
    samples = alternate([passes.of_part(part, data) for part in timed], **how)
    before, after = samples[0], samples[-1]  # one and the same where both run the same
    return dict(row, chain=list(pair.after.operators), input_shape=list(data.shape),
                macs_before=macs[0] // batch_size, macs_after=macs[1] // batch_size,
                theoretical=macs[0] / macs[1] if macs[1] else None,
                measured=described_ratio(ratios(before, after)) if row["status"] == REPLACED else None,
                before=described_seconds(before), after=described_seconds(after),
                gflops_before=_gflops(macs[0], before), gflops_after=_gflops(macs[1], after))


def _in_kind_of(model, data):
    """An input of the network in the number format of the layer's weights; MXNet does not cast it."""
    kinds = {array.dtype for array in model.arg_params.values() if len(array.shape) > 1}
    return data.astype(kinds.pop()) if len(kinds) == 1 and data.dtype not in kinds else data


def _gflops(macs, sample):
    return 2e-9 * macs / sample.median if sample.median else None


def totals(rows):
    """dict: milliseconds of all compared layers together, before and after."""
    compared = [row for row in rows if row["status"] != NOT_COMPARED]
    return {side + "_ms": sum(row[side]["median_ms"] for row in compared) for side in ("before", "after")}

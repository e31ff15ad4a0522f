"""What two checkpoints tell of each other: which layer became which chain, in which precision, and what that saves."""
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from accnn import costs, methods
from accnn.core.errors import AccnnError
from accnn.core.layers import CONVOLUTION, FP32, INT8
from accnn.core.text import before_after, sizes
from accnn.graph.cut import count_macs
from accnn.graph.quantized import in_int8, is_quantized, names_inside
from accnn.graph.specs import layer_specs
from accnn.quantization.conversion import precision_of
from accnn.report.evidence import ChainPart

_MOST_NODES = 64  # of a chain: what is longer is no chain, but another network


@dataclass(frozen=True)
class Compared:
    """A network beside the one that it was made from.

    Attributes
    ----------
    summary : dict
        See :class:`accnn.report.evidence.ReportEvidence`.
    chains : dict of str to tuple of ChainPart
        Of the layers that are no more what they were.
    gone : tuple of str
        Layers of the baseline that have no counterpart.
    """

    summary: dict
    chains: Mapping[str, Tuple[ChainPart, ...]]
    gone: Tuple[str, ...]


def compare(accelerator, model, plan=None):
    """Read from two graphs what became of every layer.

    Parameters
    ----------
    accelerator : Accelerator
        Of the baseline.
    model : Model
        Made from it; in INT8, bfloat16 or float32.
    plan : Plan, optional
        Which `model` was made by: says methods and reasons.

    Returns
    -------
    Compared

    Raises
    ------
    AccnnError
        The plan is of another network, or not the one that `model` was made by.
    """
    rows = {row.layer: row for row in accelerator.check(plan).rows} if plan is not None else {}
    specs = {spec.name: spec for spec in _specs(model.float_view, accelerator)}
    precisions = _precisions(model)
    parts = _parts(accelerator, model.float_view.graph, specs)
    for spec in accelerator.layers:
        if spec.name in rows and rows[spec.name].method:
            _check_plan(plan, rows[spec.name], spec, parts[spec.name], model)
    layers = [_layer(spec, parts[spec.name], rows.get(spec.name), precisions) for spec in accelerator.layers]
    chains = {spec.name: chain_of_specs(parts[spec.name]) for spec in accelerator.layers
              if len(parts[spec.name]) > 1 or parts[spec.name] and parts[spec.name][0].part != spec.part}
    gone = tuple(name for name, some in parts.items() if not some)
    return Compared(_summary(accelerator, model, plan, layers, specs), chains, gone)


def _parts(accelerator, graph, specs):
    """dict of str to list of LayerSpec: by layer of the baseline, what stands for it in the graph of another network.

    Parameters
    ----------
    accelerator : Accelerator
    graph : Graph
    specs : dict of str to LayerSpec
        Of the layers of this graph.
    """
    places = {node.name: position for position, node in enumerate(graph.nodes) if not node.is_variable}
    starts, named = _starts(accelerator.model.graph), _by_name(specs, accelerator.specs)
    found = {}
    for name in accelerator.specs:
        inside = _stands_for(graph, places, starts[name], name) if name in starts else None
        found[name] = [specs[one] for one in inside or named.get(name, ()) if one in specs]
    return found


def _specs(view, accelerator):
    try:
        return layer_specs(view, accelerator.input_shapes)
    except AccnnError as error:
        raise AccnnError("%s does not take the input of the baseline %s: %s" % (
            view.prefix, accelerator.model.prefix, error)) from error


def _starts(graph):
    """dict of str to (str, int): what every operator reads first: the name of a node, and which of its outputs."""
    return {node.name: (graph.nodes[node.inputs[0][0]].name, node.inputs[0][1]) for node in graph.nodes if node.inputs}


def _stands_for(graph, places, start, layer):
    """list of str or None: operators between what a layer reads and its output; None where there is no such path."""
    if layer not in places:
        return None
    inside, waiting, begun = set(), [places[layer]], False
    while waiting and len(inside) <= _MOST_NODES:
        position = waiting.pop()
        inside.add(position)
        for producer, output, _ in graph.nodes[position].inputs:
            node = graph.nodes[producer]
            if (node.name, output) == start:
                begun = True
            elif not node.is_variable and producer not in inside:
                waiting.append(producer)
    return [graph.nodes[position].name for position in sorted(inside)] if begun and not waiting else None


def _by_name(specs, layers):
    """dict of str to list of str: layers of a network by the layer of the baseline that their names begin with.

    For INT8 networks, whose fused operators leave out the node that bears the replaced layer's name.
    """
    found = {}
    for name in specs:
        begins = name
        while begins not in layers and "_" in begins:
            begins = begins.rpartition("_")[0]
        found.setdefault(begins, []).append(name)
    return found


def _precisions(model):
    """callable: the precision of an operator by its name."""
    if not is_quantized(model.graph):
        whole = precision_of(model)
        return lambda name: whole
    inside = {name for node in model.graph.nodes if in_int8(node) for name in names_inside(node)}
    return lambda name: INT8 if name in inside else FP32


def _check_plan(plan, row, spec, parts, model):
    chain = methods.get(row.method).chain(spec, row.rank)
    expected = [(spec.name + part.suffix, part.outputs) for part in chain]
    there = [(part.name, part.part.outputs) for part in parts if part.part]
    if expected != there and [outputs for _, outputs in expected] != [outputs for _, outputs in there]:
        raise AccnnError("the plan %s splits %r by %s at rank %s, but %s has %s there: give the plan that it was made "
                         "by, or none" % (plan.made_by.get("config", ""), row.layer, row.method, sizes(row.rank),
                                          model.prefix, _told(parts)))


def _told(parts):
    if not parts:
        return "nothing of that name"
    return "a chain of %s channels" % ", ".join(str(part.part.outputs) for part in parts if part.part)


def _layer(spec, parts, row, precisions):
    cost = costs.get("macs")
    before = cost.layer(spec) if spec.part else None
    after = sum(cost.layer(part) for part in parts if part.part) if parts else None
    known = {precisions(part.name) for part in parts}
    return {"layer": spec.name, "op": spec.op, "method": row.method if row else None,
            "rank": row.rank if row else None, "precision": next(iter(known - {FP32}), FP32),
            "reason": _reason(spec, parts, row), "why_fp32": row.why_fp32 if row else None, "macs_before": before,
            "macs_after": after, "energy": None, "reconstruction": None, "remark": None}


def _reason(spec, parts, row):
    if not parts:
        return "the new network has nothing that reads what this layer reads"
    if row is not None and not row.method:
        return row.reason
    return spec.refusal if len(parts) == 1 and parts[0].part == spec.part else None


def chain_of_specs(specs):
    """tuple of ChainPart: layers of a network as parts of a chain."""
    return tuple(_part(spec.name, spec.part) for spec in specs if spec.part)


def chain_of_parts(layer, parts):
    """tuple of ChainPart: what a method makes of a layer."""
    return tuple(_part(layer + part.suffix, part) for part in parts)


def _part(name, part):
    is_convolution = hasattr(part, "kernel")
    inputs = part.in_channels if is_convolution else part.weight_shape[1]
    return ChainPart(name, inputs, part.outputs, tuple(part.kernel) if is_convolution else (),
                     part.groups if is_convolution else 1)


def _summary(accelerator, model, plan, layers, specs):
    kinds = [(spec.kind == CONVOLUTION, spec) for spec in accelerator.layers]
    new = [(spec.kind == CONVOLUTION, spec) for spec in specs.values()]
    return {"layers": layers, "made_by": _made_by(plan), "calibration": None,
            "input_shapes": {name: list(shape) for name, shape in accelerator.input_shapes.items()},
            "convolutions": before_after(*(count_macs([spec for is_one, spec in some if is_one])
                                           for some in (kinds, new))),
            "network": before_after(*(count_macs([spec for _, spec in some]) for some in (kinds, new))),
            "parameters": before_after(_stored(accelerator.model), _stored(model))}


def _made_by(plan: Optional[object]):
    """dict: of a plan; that it was read from a file is told by the page in another way."""
    return {key: value for key, value in plan.made_by.items() if key != "config"} if plan is not None else {}


def _stored(model):
    return sum(array.size for array in list(model.arg_params.values()) + list(model.aux_params.values()))

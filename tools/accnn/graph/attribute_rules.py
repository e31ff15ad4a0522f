"""What attributes of some operators must not say: MXNet believes them and reads memory that is not theirs."""
from accnn.graph import attrs


def broken_rule(node, subgraphs):
    """Say what is wrong with the attributes of a node.

    Parameters
    ----------
    node : Node
    subgraphs : list of dict
        The documents inside.

    Returns
    -------
    str or None
        As in "axes=(2, 2): every axis once".

    Raises
    ------
    AccnnError
        An attribute is no list of numbers.
    """
    return _RULES[node.op](node, subgraphs) if node.op in _RULES else None


def _transpose(node, _subgraphs):
    axes = attrs.shape(node, "axes", ())
    return "axes=%s: every axis can be named once" % (axes,) if len(set(axes)) < len(axes) else None


def _foreach(node, subgraphs):
    """Every input is fed to one input of the subgraph, which gives all outputs."""
    places = [place for key in ("in_data_locs", "in_state_locs", "remain_locs") for place in attrs.shape(node, key, ())]
    inside = [len(graph["arg_nodes"]) for graph in subgraphs]
    if inside != [len(node.inputs)] or sorted(places) != list(range(len(node.inputs))):
        return "inputs at %s, but has %d inputs and %s inside" % (places, len(node.inputs), inside)
    return _miscounted_outputs(node, subgraphs)


def _while_loop(node, subgraphs):
    return _misplaced(node, ("cond_input_locs", "func_input_locs"), subgraphs, len(node.inputs)) or \
        _misplaced(node, ("func_var_locs",), (), len(attrs.shape(node, "func_input_locs", ())))


def _cond(node, subgraphs):
    return _misplaced(node, ("cond_input_locs", "then_input_locs", "else_input_locs"), subgraphs, len(node.inputs))


def _misplaced(node, keys, subgraphs, count):
    """Lists of places among `count` inputs, one for each subgraph with as many inputs as it has."""
    lists = [attrs.shape(node, key, ()) for key in keys]
    inside = [len(graph["arg_nodes"]) for graph in subgraphs]
    if any(place >= count for places in lists for place in places) or inside and inside != list(map(len, lists)):
        return "inputs at %s, but has %d inputs and %s inside" % (lists, count, inside)
    return None


def _miscounted_outputs(node, subgraphs):
    outputs, of_data = attrs.integer(node, "num_outputs", 0), attrs.integer(node, "num_out_data", 0)
    if outputs != len(subgraphs[0]["heads"]) or not 0 <= of_data <= outputs:
        return "num_outputs=%d and num_out_data=%d, but has %d inside" % (outputs, of_data, len(subgraphs[0]["heads"]))
    return None


def _fused(node, subgraphs):
    """Behind the inputs of what is inside, INT8 operators have two ranges for every input that is in INT8."""
    if not subgraphs:
        return None
    inside = sum(inner["op"] == "null" for inner in subgraphs[0]["nodes"])
    wanted = inside + 2 * _in_int8(node, inside)
    return None if len(node.inputs) == wanted else "quantized=%s, with which it needs %d inputs, but has %d" % (
        node.attrs.get("quantized", "False"), wanted, len(node.inputs))


def _in_int8(node, inside):
    """How many inputs of a fused operator are in INT8, of so many that are no ranges."""
    if not attrs.boolean(node, "quantized"):
        return 0
    if node.op == _DENSE and not attrs.boolean(node, "channel_wise_quantize"):
        return inside
    return 2 if attrs.boolean(node, "with_sum") else 1


_DENSE = "_sg_mkldnn_fully_connected"
_RULES = {"transpose": _transpose, "_foreach": _foreach, "_while_loop": _while_loop, "_cond": _cond,
          "_sg_mkldnn_conv": _fused, _DENSE: _fused}

"""The helpers of the original accnn, under their old names, for scripts that import them.

New code uses :func:`accnn.load_model`, :func:`accnn.save_model` and :class:`accnn.Accelerator`.
"""
if not __package__:
    import _inplace  # noqa: F401

from collections import deque
from types import SimpleNamespace

from accnn.cli import options
from accnn.core.errors import AccnnError
from accnn.graph.surgery import replace_layer


def load_model(args):
    """Load the checkpoint ``args.model`` at ``args.load_epoch`` on ``args.gpus`` (None or absent: CPU).

    Returns
    -------
    Model
        With symbol, arg_params, aux_params and save(prefix, epoch), as the original's.
    """
    return options.open_model(SimpleNamespace(model=args.model, load_epoch=getattr(args, "load_epoch", None),
                                          gpus=getattr(args, "gpus", None)))


def save(model, prefix, epoch=1):
    """Write `model` as a checkpoint."""
    model.save(prefix, epoch)


def topsort(nodes):
    """Sort the nodes of symbol JSON topologically, breadth first as the original did.

    Parameters
    ----------
    nodes : list of dict
        ``json.loads(symbol.tojson())["nodes"]``; not changed.

    Returns
    -------
    list of dict
        Copies, their inputs renumbered.

    Raises
    ------
    AccnnError
        The nodes form a cycle.
    """
    readers, missing = [[] for _ in nodes], [len(node.get("inputs", ())) for node in nodes]
    for position, node in enumerate(nodes):
        for entry in node.get("inputs", ()):
            readers[entry[0]].append(position)
    ready, order = deque(position for position, count in enumerate(missing) if count == 0), []
    while ready:
        order.append(ready.popleft())
        for reader in readers[order[-1]]:
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    if len(order) < len(nodes):
        raise AccnnError("the nodes %s form a cycle" % ", ".join(
            nodes[i]["name"] for i in range(len(nodes)) if missing[i] > 0))
    new_position = {old: new for new, old in enumerate(order)}
    return [_renumbered(nodes[position], new_position) for position in order]


def is_input(node):
    """True for a variable whose name says neither weight, bias nor label."""
    return not node["inputs"] and not any(word in node["name"] for word in ("weight", "bias", "label"))


def replace_conv_layer(layer_name, old_model, sym_handle, arg_handle):
    """Replace one layer by whatever `sym_handle` builds, in any graph.

    Parameters
    ----------
    layer_name : str
    old_model : Model
        Not changed.
    sym_handle : callable
        ``sym_handle(data, node)`` returns the new symbol over the symbol `data`; ``node`` is the layer as a dict with
        name, op and its attributes under ``param`` (and ``attrs``), all strings.
    arg_handle : callable
        ``arg_handle(arg_shape_dic, arg_params)`` puts the new parameters into `arg_params`; `arg_shape_dic` holds
        the shapes of all arguments of the new network that could be inferred.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        There is no such layer.
    """
    return replace_layer(old_model, layer_name, sym_handle, arg_handle)


def _renumbered(node, new_position):
    inputs = [[new_position[entry[0]]] + list(entry[1:]) for entry in node.get("inputs", ())]
    return dict(node, inputs=inputs)

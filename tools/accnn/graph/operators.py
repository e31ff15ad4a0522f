"""Questions to MXNet about one operator, alone: which inputs it takes."""
import ctypes
from functools import lru_cache

from accnn.core.compat import mx

# Attributes of every operator that MXNet's parsers of attributes do not know; older versions wrote them bare, and also
# for an input, as in weight_lr_mult.
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")

# What the inputs are called that hold parameters. All others are data, labels or states.
PARAMETERS = {"weight", "bias", "gamma", "beta", "moving_mean", "moving_var", "parameters"}

# Their inputs are known only to the Python class or to the subgraph inside.
_NOT_ASKED = ("Custom", "_sg_", "_foreach", "_while_loop", "_cond", "_backward", "_Native", "_NDArray", "_CachedOp",
              "_CustomFunction")
_NAME = "x"


def takes(op, attrs):
    """Return the names of the inputs that an operator takes.

    Parameters
    ----------
    op : str
    attrs : dict of str
        As symbol JSON has them, whatever version wrote it.

    Returns
    -------
    tuple of str, or None
        As in ``('data', 'weight', 'bias')``; None where MXNet cannot say without a network around it, or refuses the
        attributes.
    """
    if op == "null" or op.startswith(_NOT_ASKED):
        return None
    return _takes(op, tuple(sorted((key, value) for key, value in attrs.items() if not _hidden(key))))


def roles(node):
    """list of (str, int): the inputs of a node that are parameters, and where each stands among its inputs."""
    names = takes(node.op, node.attrs) or ()
    return [(name, slot) for slot, name in enumerate(names[:len(node.inputs)]) if name in PARAMETERS]


@lru_cache(maxsize=4096)
def _takes(op, attrs):
    handle = ctypes.c_void_p()
    try:
        mx.base.check_call(mx.base._LIB.NNGetOpHandle(mx.base.c_str(op), ctypes.byref(handle)))
        symbol = mx.symbol.register._symbol_creator(
            handle.value, (), {}, [key for key, _ in attrs], [value for _, value in attrs], _NAME, False)
    except mx.base.MXNetError:
        return None
    return tuple(name[len(_NAME) + 1:] for name in symbol.list_inputs())


def _hidden(key):
    return key.startswith("__") or key.endswith(HIDDEN) or key.startswith(HIDDEN)

"""Networks that compute in half precision, as automatic mixed precision makes them, seen in full precision."""
from dataclasses import replace

import numpy as np

from accnn.core.errors import AccnnError
from accnn.graph.passing import CASTS, HALF


def in_full_precision(model):
    """Return `model` with casts to half precision made casts to float32; itself where there are none.

    What its layers answer can be read then: MXNet 1.9.1 hands arrays of bfloat16 to NumPy as whole numbers. A network
    whose parameters are stored in half precision stays as it is.
    """
    if not any(map(_halves, model.graph.nodes)) or any(array.dtype != np.float32
                                                       for array in model.arg_params.values()):
        return model
    nodes = tuple(replace(node, attrs=dict(node.attrs, dtype="float32")) if _halves(node) else node
                  for node in model.graph.nodes)
    return replace(model, graph=replace(model.graph, nodes=nodes))


def in_single_precision(model):
    """Return `model` with parameters of double precision as float32 ones; its arrays are not changed."""
    return replace(model, **{kind: {name: array.astype(np.float32) if array.dtype == np.float64 else array
                                    for name, array in getattr(model, kind).items()}
                             for kind in ("arg_params", "aux_params")})


def refuse_bfloat16(model):
    """Refuse a network with parameters of bfloat16, which can be run, but neither accelerated nor trained.

    Raises
    ------
    AccnnError
    """
    found = next((name for name, array in model.arg_params.items() if np.dtype(array.dtype).names), None)
    if found:
        raise AccnnError("%s is a bfloat16 network (its parameter %r is stored so): accelerate, fine-tune or quantize "
                         "the float32 checkpoint that it was made from" % (model.prefix, found))


def refuse_half(model):
    """Refuse a network that computes in half precision, or stores parameters in it.

    Raises
    ------
    AccnnError
    """
    kinds = {np.dtype(array.dtype) for array in model.arg_params.values()}
    if any(kind == np.float16 or kind.names for kind in kinds) or any(map(_halves, model.graph.nodes)):
        raise AccnnError("%s computes in half precision already: give the float32 checkpoint" % model.prefix)


def _halves(node):
    return node.op in CASTS and node.attrs.get("dtype") in HALF

"""Networks that compute in half precision, as automatic mixed precision makes them, seen in full precision."""
from dataclasses import replace

import numpy as np

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


def _halves(node):
    return node.op in CASTS and node.attrs.get("dtype") in HALF

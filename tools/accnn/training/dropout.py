"""Dropout while fine-tuning."""
from dataclasses import replace

from accnn.graph.ir import Graph


def with_dropout(model, probability):
    """Return the model with another probability in all its Dropout layers.

    A network that was trained with much dropout is soon repaired with little: half of the units missing drowns the
    small errors of a decomposition.
    """
    nodes = tuple(replace(node, attrs=dict(node.attrs, p=str(float(probability)))) if node.op == "Dropout" else node
                  for node in model.graph.nodes)
    return replace(model, graph=Graph(nodes, model.graph.heads))

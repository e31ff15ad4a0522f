"""What the loss at the end of a network says of how it is to be trained."""
from dataclasses import dataclass
from typing import Optional

from accnn.graph import attrs

_OPERATORS = ("SoftmaxOutput", "Softmax")


@dataclass(frozen=True)
class OwnLoss:
    """Of SoftmaxOutput what changes its gradient.

    Attributes
    ----------
    name : str
        Of the operator; empty where the network ends in no loss.
    scale : float
        The gradient is multiplied by it.
    smoothing : float
        Share of the label's probability, 0..1, that the other classes have in equal parts.
    ignored : int or None
        Images with this label teach nothing.
    normalization : {'null', 'batch', 'valid'}
        What the sum over a batch is divided by. Not used: a step here is the mean over its batch whatever it says.
    """

    name: str = ""
    scale: float = 1.0
    smoothing: float = 0.0
    ignored: Optional[int] = None
    normalization: str = "null"

    def arguments(self):
        """dict: what mx.sym.SoftmaxOutput takes, but for grad_scale."""
        said = {"smooth_alpha": self.smoothing}
        return said if self.ignored is None else dict(said, use_ignore=True, ignore_label=self.ignored)

    def remark(self):
        """str: one sentence on what is kept and what is not; None where there is nothing to say."""
        kept = [("grad_scale", self.scale, 1.0), ("smooth_alpha", self.smoothing, 0.0),
                ("ignore_label", self.ignored, None)]
        kept = ["%s=%g" % (name, value) for name, value, usual in kept if value != usual]
        said = ["its %s kept" % " and ".join(kept)] if kept else []
        if self.normalization != "null":
            said.append("normalization=%s is not taken over, a step is the mean over its batch" % self.normalization)
        return "the loss %s: %s" % (self.name, "; ".join(said)) if said else None


def own_loss(model, head):
    """OwnLoss: of the SoftmaxOutput that an output ends in, behind whatever has no parameters.

    Parameters
    ----------
    model : Model
    head : Head

    Raises
    ------
    AccnnError
        An attribute is no number.
    """
    nodes, waiting, seen = model.graph.nodes, [head.node], set()
    while waiting:
        position = waiting.pop()
        node, inputs = nodes[position], [entry[0] for entry in nodes[position].inputs]
        if node.op in _OPERATORS:
            return _read(node)
        if position not in seen and not any(nodes[place].name in model.arg_params for place in inputs):
            waiting.extend(inputs[::-1])
        seen.add(position)
    return OwnLoss()


def _read(node):
    # MXNet smooths no labels where multi_output is set, whatever smooth_alpha says.
    smoothing = 0.0 if attrs.boolean(node, "multi_output", False) else attrs.number(node, "smooth_alpha", 0.0)
    ignored = int(attrs.number(node, "ignore_label", -1)) if attrs.boolean(node, "use_ignore", False) else None
    return OwnLoss(node.name, attrs.number(node, "grad_scale", 1.0), smoothing, ignored,
                   node.attrs.get("normalization", "null"))

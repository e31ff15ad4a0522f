"""What fine-tuning minimises: cross-entropy with the labels, and with the answers of a teacher."""
from dataclasses import dataclass, replace

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph.fingerprint import fingerprint
from accnn.graph.ir import Graph
from accnn.graph.losses import at_inference
from accnn.runtime.predictor import Predictor
from accnn.scoring import forms
from accnn.scoring.forms import PROBABILITY, SCORE
from accnn.scoring.heads import Head, class_head
from accnn.training import objective
from accnn.training.own_loss import own_loss


def trainable_head(model, shapes, output=None):
    """Return the output of a model that is to be trained.

    Parameters
    ----------
    model : Model
    shapes : dict of str to tuple of int
        Of its input.
    output : str, optional
        Which one, where there are several; see :func:`accnn.scoring.heads.class_head`.

    Returns
    -------
    Head

    Raises
    ------
    AccnnError
        The output does not score classes, or not by cross-entropy.
    """
    head = class_head(model, shapes, output)
    objective.check_trainable(model, head, shapes)
    return head


class Teacher:
    """A trained network and how much it says.

    Parameters
    ----------
    model : Model
    head : Head
    input_shapes : dict of str to tuple of int
    batch_size : int
    contexts : list of mx.Context
    distillation : Distillation

    Attributes
    ----------
    fingerprint : int
        See :func:`accnn.graph.fingerprint.fingerprint`.
    """

    def __init__(self, model, head, input_shapes, batch_size, contexts, distillation):
        self.distillation, self.fingerprint = distillation, fingerprint(model)
        self._predictor = Predictor(model, input_shapes, batch_size, contexts,
                                    teacher_symbol(model, head, distillation.temperature))

    def answers(self, images):
        """mx.nd.NDArray of shape (batch, classes): probabilities at the temperature, see :class:`Distillation`."""
        found = self._predictor.forward(images)[0]
        if not self.distillation.mirrored:
            return found
        found = found.copy()  # the next pass overwrites it
        return (found + self._predictor.forward(images.flip(axis=len(images.shape) - 1))[0]) / 2


LABEL, TEACHER = "fine_tune_label", "fine_tune_teacher"
_LEAST = 1e-30  # of a probability, for its logarithm
_LOSS, _SOFT_LOSS = "fine_tune_loss", "fine_tune_soft_loss"


@dataclass(frozen=True)
class Distillation:
    """How much a teacher says.

    Attributes
    ----------
    weight : float
        Share of the loss, 0..1, that is the teacher's; the labels have the rest.
    temperature : float
        Both networks' class scores are divided by it before the softmax.
    mirrored : bool
        The teacher's answer is the mean of those to an image and to its mirror image, (q_T(x) + q_T(flip x)) / 2: by
        itself more often right than either.
    """

    weight: float = 0.0
    temperature: float = 1.0
    mirrored: bool = False


def class_scores(model, head):
    """mx.sym.Symbol of shape (batch, classes): numbers whose softmax the probabilities of an output are.

    What goes into the network's own softmax, where that is its last step but for what leaves every class in its
    place. Otherwise the logarithms of its probabilities, whose softmax they are too, whatever made them.

    Parameters
    ----------
    model : Model
    head : Head
    """
    if head.scores is not None:
        scores = mx.sym.Flatten(Graph(model.graph.nodes, (head.scores,)).to_symbol())
        return scores if head.temperature == 1 else scores * (1.0 / head.temperature)
    output = mx.sym.Flatten(_differentiable(model, head).to_symbol())
    return mx.sym.log(mx.sym.maximum(output, _LEAST)) if head.form == PROBABILITY else output


def _differentiable(model, head):
    """Graph up to an output, without losses and whatever else keeps its gradient from the last layer."""
    nodes, stopping = list(model.graph.nodes), ["BlockGrad"] if head.form == SCORE else ["BlockGrad", "Dropout"]
    for place in forms.tail(model, head.node):
        node = at_inference(nodes[place])
        nodes[place] = replace(node, op="_copy", attrs={}) if node.op in stopping else node
    return Graph(tuple(nodes), (head.entry,))


def check_trainable(model, head, inputs):
    """Refuse an output that is no distribution over classes, or needs more than an image.

    Parameters
    ----------
    model : Model
    head : Head
    inputs : container of str

    Raises
    ------
    AccnnError
    """
    kind = forms.other_kind(model.graph, head.node)
    if kind is not None:
        raise AccnnError("the output %s of %s is %s: only cross-entropy is fine-tuned, choose another with `output`"
                         % (head.name, model.prefix, kind))
    for name in class_scores(model, head).list_arguments():
        if name not in model.arg_params and name not in inputs:
            raise AccnnError("the output %s of %s needs %r beside the image: choose another with `output`"
                             % (head.name, model.prefix, name))


def training_symbol(model, head, distillation=None):
    """The network up to its class scores, ending in the losses instead of its own head.

    Parameters
    ----------
    model : Model
    head : Head
    distillation : Distillation, optional
        Adds a second loss, (1 - w) H(y, p) + w T^2 H(q_T, p_T) in all: q_T and p_T are the teacher's and the
        network's probabilities at temperature T. The factor T^2 keeps the size of the gradient whatever T. The scale
        of the network's own loss multiplies both, its smoothing is of labels only.

    Returns
    -------
    mx.sym.Symbol
        First output: probabilities, of shape (batch, classes). Reads :data:`LABEL`, and :data:`TEACHER` where there is
        a distillation.

    References
    ----------
    G. Hinton, O. Vinyals, J. Dean. Distilling the knowledge in a neural network. 2015. Section 2.
    """
    scores = class_scores(model, head)
    weight = distillation.weight if distillation else 0.0
    own = own_loss(model, head)
    loss = mx.sym.SoftmaxOutput(scores, mx.sym.Variable(LABEL), grad_scale=own.scale * (1.0 - weight), name=_LOSS,
                                **own.arguments())
    if not weight:
        return loss
    # The gradient of the inner division is 1/T, so T^2 remains T for the scores. SoftmaxOutput takes a label of the
    # shape of its input for probabilities.
    soft = mx.sym.SoftmaxOutput(scores * (1.0 / distillation.temperature), mx.sym.Variable(TEACHER),
                                grad_scale=own.scale * weight * distillation.temperature ** 2, name=_SOFT_LOSS)
    return mx.sym.Group([loss, soft])


def teacher_symbol(model, head, temperature):
    """mx.sym.Symbol of shape (batch, classes): a network's probabilities at `temperature`."""
    return mx.sym.softmax(class_scores(model, head) * (1.0 / temperature), name="fine_tune_taught")


def training_head(classes):
    """Head of the first output of :func:`training_symbol`."""
    return Head(_LOSS + "_output", PROBABILITY, classes)

"""A network that teaches another: its probabilities for the very images that the other one sees."""
from accnn.graph.fingerprint import fingerprint
from accnn.predictor import Predictor
from accnn.training.objective import teacher_symbol


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
        """mx.nd.NDArray of shape (batch, classes): probabilities at the temperature."""
        return self._predictor.forward(images)[0]

"""A network in any engine, with what scoring wants of a Predictor."""
import functools

import numpy as np

from accnn.core.compat import mx
from accnn.graph.shapes import infer_shapes


class EnginePredictor:
    """A network that an engine has loaded, as scoring runs it.

    Parameters
    ----------
    engine : Engine
    model : Model
        Its outputs are those that are wanted.
    input_shapes : dict of str to tuple of int
    batch_size : int
        As for a Predictor.
    precision : str
    calibration : iterable of dict of str to ndarray, optional
        Batches of inputs, preprocessed, which tell the ranges of INT8 tensors.

    Attributes
    ----------
    batch_size : int
        Examples that one pass computes.
    ran : dict of str to str
        ``engine``, ``version``, ``precision`` and what ``ran``.

    Raises
    ------
    AccnnError
        The engine cannot run the network like that.
    """

    def __init__(self, engine, model, input_shapes, batch_size, precision, calibration=None):
        self._shapes = input_shapes
        self.batch_size = max(batch_size, infer_shapes(model, input_shapes).batch)
        self._network = engine.load(model, input_shapes, self.batch_size, precision=precision,
                                    calibration=calibration)
        self.ran = {"engine": engine.name, "version": engine.version, "precision": precision, "ran": self._network.ran}

    @functools.cached_property
    def output_shapes(self):
        """dict of str to tuple of int: by name of the output, with the batch, in order."""
        zeros = [np.zeros((self.batch_size,) + tuple(self._shapes[name]), np.float32) for name in self._network.inputs]
        return {name: output.shape for name, output in zip(self._network.output_names, self._network(*zeros))}

    def forward(self, *arrays):
        """list of mx.nd.NDArray: the outputs for as many rows as are given, or fewer than :attr:`batch_size`."""
        size = len(arrays[0])
        outputs = self._network(*(_filled(array.asnumpy(), self.batch_size) for array in arrays))
        return [mx.nd.array(output[:len(output) * size // self.batch_size], dtype=output.dtype) for output in outputs]

    def can_take(self, size):
        """Whether a pass of `size` examples takes less time: engines are told one batch for good."""
        return size == self.batch_size


def _filled(rows, size):
    """Rows repeated from the last one, up to `size` of them."""
    return rows if len(rows) == size else np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])

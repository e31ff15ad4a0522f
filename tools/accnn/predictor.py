"""A model bound for forward passes: what scoring, timing and teaching run."""
import contextlib

import numpy as np

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.fusion import right_fusion
from accnn.graph.inputs import input_names
from accnn.graph.ir import reason, refusal
from accnn.graph.shapes import infer_shapes


class Predictor:
    """A network ready to run batches of one size.

    Its parameters are those at the time it was made: once run, the layers that oneDNN fuses stay with the weights they
    saw first, so other parameters need another Predictor. It fuses only where that is right, see :mod:`accnn.fusion`.

    Parameters
    ----------
    model : Model
        Its parameters are copied, not shared.
    input_shapes : dict of str to tuple of int
        Of every input, without the batch.
    batch_size : int
    context : mx.Context or list of mx.Context, optional
        Several ones share every batch. Default: the CPU.
    symbol : mx.sym.Symbol, optional
        Run this one instead of the model's own, such as a group of its internal outputs.

    Attributes
    ----------
    inputs : list of str
        Names in the order in which :meth:`forward` takes arrays.
    output_shapes : dict of str to tuple of int
        By name of the output, with the batch, in order.

    Raises
    ------
    AccnnError
        The shapes fit neither the network nor its parameters, or the network takes no batch of that size; says why.
    """

    def __init__(self, model, input_shapes, batch_size, context=None, symbol=None):
        symbol = model.symbol if symbol is None else symbol
        self._prefix = model.prefix
        _, labels = input_names(model, input_shapes)
        used = set(symbol.list_arguments())
        self.inputs = [name for name in input_shapes if name in used]
        labels = [name for name in labels if name in used]
        shapes = {name: (batch_size,) + tuple(input_shapes[name]) for name in self.inputs}
        infer_shapes(model, input_shapes)  # Module would copy a parameter whose shape does not fit
        self._devices = len(context) if isinstance(context, list) else 1
        self._module = self._new_module(symbol, self.inputs, labels, context=context or mx.cpu())
        kind = _dtype(model)
        with bind_errors_told("%s cannot run on batches of %d" % (model.prefix, batch_size)):
            # Labels are bound although nothing feeds them: without their shapes Module warns.
            self._labels = _described(symbol, labels, shapes, kind)
            with right_fusion(symbol):
                self._module.bind([mx.io.DataDesc(name, shape, kind) for name, shape in shapes.items()],
                                  self._labels or None, for_training=False)
            self._module.set_params(model.arg_params, model.aux_params, allow_extra=True)
        self.output_shapes = dict(self._module.output_shapes)

    _new_module = staticmethod(mx.mod.Module)  # what else has these methods of it can stand in its place

    def forward(self, *arrays):
        """Start a forward pass and return its outputs.

        Parameters
        ----------
        *arrays : mx.nd.NDArray
            One for each of :attr:`inputs`. Another number of rows than before binds anew, which takes a moment.

        Returns
        -------
        list of mx.nd.NDArray
            MXNet computes in the background: reading one waits. The next pass overwrites them.
        """
        size = len(arrays[0])
        if size != self._module.data_shapes[0].shape[0]:
            self._resize(size)
        self._module.forward(mx.io.DataBatch(list(arrays)), is_train=False)
        return self._module.get_outputs()

    def arranged(self, arrays):
        """list of arrays: those of a dict by name in the order in which :meth:`forward` takes them.

        Raises
        ------
        AccnnError
            An input that the network reads is not among them.
        """
        lacking = set(self.inputs) - set(arrays)
        if lacking:
            raise AccnnError("%s also reads the inputs %s: give examples of these too"
                             % (self._prefix, ", ".join(sorted(lacking))))
        return [arrays[name] for name in self.inputs]

    def can_take(self, size):
        """Whether a batch of `size` can be shared among the devices."""
        return size >= self._devices

    def _resize(self, size):
        resized = [[mx.io.DataDesc(entry.name, (size,) + tuple(entry.shape[1:]), entry.dtype) for entry in entries]
                   for entries in (self._module.data_shapes, self._labels)]
        self._module.reshape(resized[0], resized[1] or None)


def contexts(gpus):
    """Contexts for ``--gpus``, such as '0,1', checked by the options; None is the CPU."""
    return [mx.gpu(int(number)) for number in gpus.split(",")] if gpus else [mx.cpu()]


def _dtype(model):
    """The precision of the weights, where they are floats of one: MXNet does not cast an input."""
    # Vectors do not count: those of BatchNorm stay float32 in a network of half precision.
    kinds = {np.dtype(array.dtype) for array in model.arg_params.values() if len(array.shape) > 1}
    kind = kinds.pop() if len(kinds) == 1 else np.dtype(np.float32)
    return kind if kind.kind == "f" else np.dtype(np.float32)


def _described(symbol, names, shapes, kind):
    """What Module wants to know of some arguments, inferred from the shapes of the inputs and their type."""
    arguments = symbol.list_arguments()
    found = dict(zip(arguments, symbol.infer_shape(**shapes)[0]))
    kinds = dict(zip(arguments, symbol.infer_type(**dict.fromkeys(shapes, kind))[0] or ()))
    return [mx.io.DataDesc(name, found[name], kinds.get(name, kind)) for name in names]


@contextlib.contextmanager
def bind_errors_told(what):
    """Tell in a sentence, after `what`, why MXNet refuses a whole batch: a size that is fixed inside, too much memory.

    Raises
    ------
    AccnnError
    """
    try:
        yield
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        raise AccnnError("%s (%s): choose another --batch-size" % (what, said)) from error


@contextlib.contextmanager
def compute_errors_told(what):
    """Tell in a sentence, of `what`, what MXNet finds out only when it computes, such as half precision on a CPU.

    Raises
    ------
    AccnnError
    """
    try:
        yield
    except mx.base.MXNetError as error:
        with contextlib.suppress(mx.base.MXNetError):  # other outputs' refusals, which would be told of what comes next
            mx.nd.waitall()
        raise AccnnError("%s cannot be computed here: %s" % (what, reason(error))) from error

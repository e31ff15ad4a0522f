"""A model bound for forward passes: what scoring, timing and teaching run."""
import contextlib
import itertools

import numpy as np

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.text import some
from accnn.graph.inputs import input_names
from accnn.graph.ir import reason, refusal
from accnn.graph.labels import unlabelled
from accnn.graph.outputs import distinct
from accnn.graph.shapes import infer_shapes, refused_batch, takes_batch
from accnn.runtime.fusion import right_fusion


class Predictor:
    """A network ready to run batches of one size.

    Its parameters are those at the time it was made: once run, the layers that oneDNN fuses stay with the weights they
    saw first, so other parameters need another Predictor. It fuses only where that is right, see
    :mod:`accnn.runtime.fusion`.

    Parameters
    ----------
    model : Model
        Its parameters are copied, not shared.
    input_shapes : dict of str to tuple of int
        Of every input, without the batch.
    batch_size : int
        Examples in one pass, at most. A network that holds a larger batch gets that, filled up with copies.
    context : mx.Context or list of mx.Context, optional
        Several ones share every batch. Default: the CPU.
    symbol : mx.sym.Symbol, optional
        Run this one instead of the model's own, such as a group of its internal outputs.

    Attributes
    ----------
    inputs : list of str
        Names in the order in which :meth:`forward` takes arrays.
    batch_size : int
        Examples that one pass computes.
    output_shapes : dict of str to tuple of int
        By name of the output, with the batch, in order; several outputs of one name are ``NAME:0``, ``NAME:1`` ...

    Raises
    ------
    AccnnError
        The shapes fit neither the network nor its parameters, or the network takes no batch of that size; says why.
    """

    def __init__(self, model, input_shapes, batch_size, context=None, symbol=None):
        self._model, self._shapes = model, {name: tuple(shape) for name, shape in input_shapes.items()}
        held = infer_shapes(model, input_shapes).batch  # Module would copy a parameter whose shape does not fit
        self._whole = held > 1
        self.batch_size = _batch_size(model, input_shapes, batch_size, held) if self._whole else batch_size
        self._devices = len(context) if isinstance(context, list) else 1
        with bind_errors_as_sentences(lambda said: "%s cannot run on batches of %d (%s): choose another `batch_size`"
                                      % (model.prefix, self.batch_size, said)):
            bound = self._unlabelled(model.symbol if symbol is None else symbol, self.batch_size)
            self._symbol, self._values = bound.symbol, bound.values
            there, (inputs, labels) = set(self._symbol.list_arguments()), input_names(model, input_shapes)
            _refuse_lacking(model, there.intersection(inputs).difference(input_shapes))
            self.inputs = sorted((name for name in input_shapes if name in there), key=labels.__contains__)
            self._fed = [name for name in self.inputs if name not in labels]
            self._module = self._new_module(self._symbol, self.inputs, list(bound.shapes), context or mx.cpu())
            with right_fusion(self._symbol):
                self._module.bind(*self._described(self.batch_size, bound), for_training=False)
            self._module.set_params(model.arg_params, model.aux_params, allow_extra=True)
        self.output_shapes = dict(zip(distinct(self._symbol.list_outputs()),
                                      (shape for _, shape in self._module.output_shapes)))

    def _new_module(self, symbol, inputs, labels, context):
        """A Module, in whose place a subclass may put what else has these methods of it."""
        return mx.mod.Module(symbol, inputs, labels, context=context)

    def forward(self, *arrays):
        """Start a forward pass and return its outputs.

        Parameters
        ----------
        *arrays : mx.nd.NDArray
            One for each of :attr:`inputs`; labels, the last of them, may be left out. Another number of rows than
            before binds anew, which takes a moment, unless the network holds its batch: then fewer rows are filled up,
            and only theirs are returned.

        Returns
        -------
        list of mx.nd.NDArray
            MXNet computes in the background: reading one waits. The next pass overwrites them.
        """
        size = len(arrays[0])
        if self._whole and size < self.batch_size:
            outputs = self.forward(*(_filled(array, self.batch_size) for array in arrays))
            # MXNet cannot take a slice of what oneDNN left in blocks of channels, but of a copy.
            return [output.copy()[:len(output) * size // self.batch_size] for output in outputs]
        if size != self._module.data_shapes[0].shape[0]:
            self._resize(size)
        left_out = [self._stand_in(entry) for entry in self._module.data_shapes[len(arrays):]]
        labels = [self._stand_in(entry) for entry in self._module.label_shapes or ()] if self._values else None
        self._module.forward(mx.io.DataBatch(list(arrays) + left_out, labels), is_train=False)
        return self._module.get_outputs()

    def arranged(self, arrays):
        """list of arrays: those of a dict by name in the order in which :meth:`forward` takes them.

        Raises
        ------
        AccnnError
            An input that the network reads is not among them.
        """
        lacking = set(self._fed) - set(arrays)
        if lacking:
            raise AccnnError("%s also reads the inputs %s: give examples of these too"
                             % (self._model.prefix, ", ".join(sorted(lacking))))
        given = itertools.takewhile(arrays.__contains__, self.inputs)
        return [arrays[name] for name in given]

    def can_take(self, size):
        """Whether a batch of `size` can be shared among the devices."""
        return size >= self._devices

    def _resize(self, size):
        self._module.reshape(*self._described(size, self._unlabelled(self._symbol, size)))

    def _unlabelled(self, symbol, size):
        return unlabelled(self._model, symbol, {name: (size,) + shape for name, shape in self._shapes.items()})

    def _described(self, size, bound):
        """What Module wants to know of inputs and of labels, which it would else warn of."""
        kind = _dtype(self._model)
        kinds = {} if bound.values else _inferred_types(self._symbol, dict.fromkeys(self.inputs, kind))
        return ([mx.io.DataDesc(name, (size,) + self._shapes[name], kind) for name in self.inputs],
                [mx.io.DataDesc(name, shape, kinds.get(name, kind)) for name, shape in bound.shapes.items()] or None)

    def _stand_in(self, entry):
        """What stands for a label that nobody gives."""
        return mx.nd.full(entry.shape, self._values.get(entry.name, 0.0), dtype=entry.dtype)


def _refuse_lacking(model, names):
    if names:
        raise AccnnError("%s: the checkpoint has no parameter %s: if it is an input, give its `input_shapes`"
                         % (model.prefix, some(map(repr, sorted(names)))))


def contexts(gpus):
    """Contexts for GPUs as in '0,1', which exist; None is the CPU."""
    return [mx.gpu(int(number)) for number in gpus.split(",")] if gpus else [mx.cpu()]


def _batch_size(model, input_shapes, wanted, held):
    """The batch to bind a network for that does not take any."""
    if wanted < held or takes_batch(model, input_shapes, wanted):
        return max(wanted, held)
    raise refused_batch(model, input_shapes, wanted)


def _filled(array, size):
    """Rows repeated from the last one, up to `size` of them."""
    return mx.nd.concat(array, array[-1:].repeat(size - len(array), axis=0), dim=0)


def _dtype(model):
    """The precision of the weights, where they are floats of one: MXNet does not cast an input."""
    # Vectors do not count: those of BatchNorm stay float32 in a network of half precision.
    kinds = {np.dtype(array.dtype) for array in model.arg_params.values() if len(array.shape) > 1}
    kind = kinds.pop() if len(kinds) == 1 else np.dtype(np.float32)
    return kind if kind.kind == "f" else np.dtype(np.float32)


def _inferred_types(symbol, kinds):
    """dict: types of the arguments by name, as they follow from those of the inputs."""
    return dict(zip(symbol.list_arguments(), symbol.infer_type(**kinds)[0] or ()))


@contextlib.contextmanager
def bind_errors_as_sentences(sentence):
    """Say in a sentence why MXNet refuses a whole batch: a size that is fixed inside, too much memory.

    Parameters
    ----------
    sentence : callable
        ``sentence(said)`` puts into one what MXNet says.

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
        raise AccnnError(sentence(said)) from error


@contextlib.contextmanager
def compute_errors_as_sentences(what):
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

"""Networks bound on the parameters of a model where they lie: of a large weight there is one copy for each network."""
import json
import os

import numpy as np

from accnn.core.compat import mx
from accnn.runtime.fusion import right_fusion
from accnn.runtime.predictor import Predictor

_BACKEND = "MKLDNN"
_CONVOLUTION = "_sg_mkldnn_conv"
_READING_ONCE = {_CONVOLUTION, "_sg_mkldnn_fully_connected"}


def bound(model, input_shapes, batch_size, contexts, symbol=None):
    """Return a BoundNetwork, or a Predictor where `contexts` are devices with a memory of their own."""
    if contexts[0].device_type == "cpu":
        return BoundNetwork(model, input_shapes, batch_size, symbol)
    return Predictor(model, input_shapes, batch_size, contexts, symbol)


class BoundNetwork(Predictor):
    """A Predictor on the CPU that needs a third of the memory; its outputs are the same to the last bit.

    A Module holds two copies of the parameters beside those of the model, and oneDNN's fused operators make one more,
    in the layout of their kernels, the only one that they read after their first pass. Here they read the arrays of the
    model itself, that once. Other operators have a copy: they rearrange their weights where these lie.

    Parameters
    ----------
    model : Model
        Its arrays are never written to.
    input_shapes, batch_size, symbol
        As for a Predictor.
    """

    def __init__(self, model, input_shapes, batch_size, symbol=None):
        self._shared = model
        super().__init__(model, input_shapes, batch_size, symbol=symbol)

    def _new_module(self, symbol, _inputs, _labels, context):
        return _Bound(self._shared, symbol, context)


class _Bound:
    """What a Predictor needs of a Module, on the parameters of a model."""

    def __init__(self, model, symbol, context):
        self._model, self._symbol, self._context = model, symbol, context

    def bind(self, data_shapes, label_shapes=None, for_training=False):
        self.data_shapes, self.label_shapes = list(data_shapes), list(label_shapes or ())
        described = self.data_shapes + self.label_shapes
        self._fed = [mx.nd.zeros(one.shape, self._context, dtype=one.dtype) for one in described]
        args = parameters(self._model, self._symbol, self._context)
        args.update((one.name, array) for one, array in zip(described, self._fed))
        states = {name: self._model.aux_params[name].copy() for name in self._symbol.list_auxiliary_states()}
        if any(array.dtype == np.float16 for array in list(args.values()) + list(states.values())):
            args, states = _as_inferred(self._symbol, described, args, states)
        self._executor = self._symbol.bind(self._context, args, grad_req="null", aux_states=states)
        self.output_shapes = [(name, array.shape)
                              for name, array in zip(self._symbol.list_outputs(), self._executor.outputs)]

    def reshape(self, data_shapes, label_shapes=None):
        with right_fusion(self._symbol):
            self.bind(data_shapes, label_shapes)

    def set_params(self, *_, **__):
        """Do nothing: the parameters have been there since it was bound."""

    def forward(self, batch, is_train=False):
        for array, place in zip(list(batch.data) + list(batch.label or ()), self._fed):
            array.copyto(place)
        self._executor.forward(is_train=False)

    def get_outputs(self):
        return self._executor.outputs


def _as_inferred(symbol, described, args, states):
    """(args, states) with those in half precision of which MXNet wants float32, as of BatchNorm, made that."""
    wanted, _, wanted_states = symbol.infer_type(**{one.name: one.dtype for one in described})
    kinds = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(),
                     list(wanted or ()) + list(wanted_states or ())))
    return tuple({name: array.astype(np.float32) if array.dtype == np.float16 and kinds.get(name) == np.float32 else
                  array for name, array in arrays.items()} for arrays in (args, states))


def parameters(model, symbol, context):
    """dict of str to mx.nd.NDArray: what to bind `symbol` to, copied where an operator may rearrange it.

    Parameters
    ----------
    model : Model
    symbol : mx.sym.Symbol
        To be bound as things are set now: see :func:`accnn.runtime.fusion.right_fusion`.
    context : mx.Context
    """
    once = read_once(symbol) if context.device_type == "cpu" else ()
    arrays = as_read(model, symbol)
    return {name: array if name in once or array is not model.arg_params[name] else array.copyto(context)
            for name, array in arrays.items()}


def as_read(model, symbol):
    """dict of str to mx.nd.NDArray: the parameters of `symbol`; INT8 weights that are read as floats are made these."""
    arrays = {name: model.arg_params[name] for name in symbol.list_arguments() if name in model.arg_params}
    nodes = json.loads(symbol.tojson(remove_amp_cast=False), strict=False)["nodes"]
    floats = {nodes[position]["name"] for node in nodes if node["op"] == _CONVOLUTION
              for position, *_ in node["inputs"]}
    return {name: array.astype(np.float32) if array.dtype == np.int8 and name in floats else array
            for name, array in arrays.items()}


def read_once(symbol):
    """set of str: weights that oneDNN's fused operators read in their first pass only, as things are set now.

    Parameters
    ----------
    symbol : mx.sym.Symbol
    """
    if os.environ.get("MXNET_SUBGRAPH_BACKEND", _BACKEND) != _BACKEND or \
            os.environ.get("MXNET_MKLDNN_ENABLED", "1") == "0":
        return set()
    try:
        nodes = json.loads(symbol.get_backend_symbol(_BACKEND).tojson(), strict=False)["nodes"]
    except mx.base.MXNetError:  # this MXNet has no oneDNN
        return set()
    weights, others = set(), set()
    for node in nodes:
        for slot, (position, *_) in enumerate(node["inputs"]):
            (weights if node["op"] in _READING_ONCE and slot == 1 else others).add(nodes[position]["name"])
    return weights - others

"""Networks bound on the parameters of a model where they lie: of a large weight there is one copy for each network."""
import json
import os

from accnn.compat import mx
from accnn.errors import AccnnError
from accnn.fusion import right_fusion
from accnn.graph.shapes import infer_shapes
from accnn.predictor import Predictor, bind_errors_told, weight_type

_BACKEND = "MKLDNN"
_READING_ONCE = {"_sg_mkldnn_conv", "_sg_mkldnn_fully_connected"}


def bound(model, input_shapes, batch_size, contexts, symbol=None):
    """Return a BoundNetwork, or a Predictor where `contexts` are devices with a memory of their own."""
    if contexts[0].device_type == "cpu":
        return BoundNetwork(model, input_shapes, batch_size, symbol)
    return Predictor(model, input_shapes, batch_size, contexts, symbol)


class BoundNetwork:
    """A network on the CPU, ready for passes of one batch size; it computes what a Predictor does, to the last bit.

    A Module holds two copies of the parameters beside those of the model, and oneDNN's fused operators make one more,
    in the layout of their kernels, the only one that they read after their first pass. Here they read the arrays of the
    model itself, that once. Other operators have a copy: they rearrange their weights where these lie.

    Parameters
    ----------
    model : Model
        Its arrays are never written to.
    input_shapes : dict of str to tuple of int
        Of every input, without the batch.
    batch_size : int
    symbol : mx.sym.Symbol, optional
        Run this one instead of the model's own, such as a group of its internal outputs.

    Attributes
    ----------
    inputs : list of str
        Names in the order in which :meth:`forward` takes arrays.

    Raises
    ------
    AccnnError
        The shapes fit neither the network nor its parameters, or the network takes no batch of that size; says why.
    """

    def __init__(self, model, input_shapes, batch_size, symbol=None):
        symbol = model.symbol if symbol is None else symbol
        there = symbol.list_arguments()
        self.inputs = [name for name in input_shapes if name in there]
        shapes = {name: (batch_size,) + tuple(input_shapes[name]) for name in self.inputs}
        infer_shapes(model, input_shapes)
        with bind_errors_told("%s cannot run on batches of %d" % (model.prefix, batch_size)), right_fusion(symbol):
            variables = _variables(model, symbol, shapes)
            states = {name: model.aux_params[name].copy() for name in symbol.list_auxiliary_states()}
            self._executor = symbol.bind(mx.cpu(), dict(parameters(model, symbol, mx.cpu()), **variables),
                                         grad_req="null", aux_states=states)
        self._fed = [variables[name] for name in self.inputs]

    def forward(self, *arrays):
        """Start a forward pass and return its outputs, which the next pass overwrites.

        Parameters
        ----------
        *arrays : mx.nd.NDArray
            One for each of :attr:`inputs`, which are copied as a Module does.
        """
        for array, place in zip(arrays, self._fed):
            array.copyto(place)
        return self._executor.forward(is_train=False)


def _variables(model, symbol, shapes):
    """dict: zeros for what is no parameter, that is for inputs and labels."""
    names = symbol.list_arguments()
    found = dict(zip(names, symbol.infer_shape(**shapes)[0] or ()))
    variables = [name for name in names if name not in model.arg_params]
    for name in variables:
        if name not in found:
            raise AccnnError("nothing says the shape of %r in %s: give --input-shape %s:SIZES"
                             % (name, model.prefix, name))
    return {name: mx.nd.zeros(found[name], dtype=weight_type(model)) for name in variables}


def parameters(model, symbol, context):
    """dict of str to mx.nd.NDArray: what to bind `symbol` to, copied where an operator may rearrange it.

    Parameters
    ----------
    model : Model
    symbol : mx.sym.Symbol
        To be bound as things are set now: see :func:`accnn.fusion.right_fusion`.
    context : mx.Context
    """
    once = read_once(symbol) if context.device_type == "cpu" else ()
    return {name: model.arg_params[name] if name in once else model.arg_params[name].copyto(context)
            for name in symbol.list_arguments() if name in model.arg_params}


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

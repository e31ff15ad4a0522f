"""A network that is exported: as it is in MXNet, and converted."""
import os
from dataclasses import replace

from accnn.core.errors import AccnnError
from accnn.core.machine import give_back
from accnn.core.versions import VERSION
from accnn.exporting import file, proof
from accnn.exporting.convert import convert
from accnn.graph.inputs import resolve_input_shapes
from accnn.graph.ir import prune
from accnn.graph.outputs import find_outputs
from accnn.graph.precision import in_full_precision, in_single_precision
from accnn.graph.quantized import in_int8
from accnn.graph.shapes import takes_batch


class Subject:
    """A network that is exported, as it is in MXNet and as ONNX.

    Parameters
    ----------
    load : callable
        Returns the Model; called again where arrays that were released are needed once more.
    request : ExportRequest
        See :mod:`accnn.exporting.exporter`.

    Attributes
    ----------
    request : ExportRequest
    prefix : str
        What error messages call the network.
    model : Model or None
        With the outputs that were asked for, in single precision; None once it was released.
    shapes : dict of str to tuple of int
        Of its inputs, without the batch.
    converted : Converted or None
        The network as ONNX; None once it was released.
    is_int8 : bool
    batches : list of int
        At which outputs are to be compared.
    inputs, outputs : dict of str to tuple
        Shapes, with None for what grows with the batch.
    nodes : int
        Of the file.

    Raises
    ------
    AccnnError
        An operator, attribute, shape or output that cannot be exported.
    """

    def __init__(self, load, request):
        self._load, self.request = load, request
        self.load()
        self.is_int8 = any(map(in_int8, self.model.graph.nodes))
        if request.round_sums and not self.is_int8:
            raise AccnnError("`round_sums` is for INT8 networks, and %s is none: leave it out, or export the INT8 "
                             "checkpoint" % self.prefix)
        self.batches = proof.trial_batches(self.converted, self.takes)
        self.inputs, self.outputs = map(_shown, (self.converted.inputs, self.converted.outputs))
        self.nodes = len(self.converted.builder.nodes)

    def takes(self, batch):
        """bool: whether the network, and the file, take a batch."""
        return takes_batch(self.model, self.shapes, batch) and (self.converted.is_open
                                                                or batch in self.converted.batches)

    def load(self):
        """Load and convert the network."""
        request, whole = self.request, self._load()
        self.model = in_single_precision(in_full_precision(_with_outputs(whole, request.outputs)))
        self.prefix, read = self.model.prefix, set(self.model.graph.variables())
        # What pins a size may lie behind the outputs that are exported.
        self.shapes = {name: shape for name, shape in resolve_input_shapes(whole, request.input_shapes)[0].items()
                       if name in read}
        self.converted = convert(self.model, self.shapes, request.opset, request.batch_size, request.round_sums)
        self.converted.builder.drop_unread_constants([tensor.name for tensor in self.converted.outputs])

    def release(self):
        """Let the arrays go."""
        self.model = self.converted = None
        give_back()

    def write(self, path, second=None, extra=()):
        """Write the file, and where there is one the second."""
        file.write(self.converted, self.request.opset, path,
                   _metadata(self.model, self.shapes, self.request.preprocessing), os.path.basename(self.prefix),
                   second, extra)


def _shown(tensors):
    return {tensor.name: tuple(None if factor else size for size, factor in zip(tensor.shape, tensor.shape.factors))
            for tensor in tensors}


def _with_outputs(model, names):
    if not names:
        return model
    found = [found for name in dict.fromkeys(names) for _, found in _single(model, name)]
    return replace(model, graph=prune(replace(model.graph, heads=tuple(tuple(entry) for entry in found))))


def _single(model, name):
    found = find_outputs(model, name)
    if len(found) > 1:
        raise AccnnError("%s has %d outputs that %r may mean: say which, with `outputs=%s`"
                         % (model.prefix, len(found), name, found[0][0]))
    return found


def _metadata(model, shapes, preprocessing):
    found = {"accnn_version": VERSION, "source": os.path.basename(model.prefix)}
    if model.epoch is not None:
        found["epoch"] = str(model.epoch)
    found.update(("input_shape:" + name, ",".join(map(str, shape))) for name, shape in shapes.items())
    if preprocessing is not None:
        found.update(channels="rgb", mean=_joined(preprocessing.mean), std=_joined(preprocessing.std),
                     resize=str(preprocessing.resize))
    return found


def _joined(numbers):
    return ",".join("%g" % number for number in numbers)

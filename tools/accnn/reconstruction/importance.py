"""What an error in a layer's responses does to the network's outputs, from gradients on real images."""
import contextlib
import zlib
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.layers import macs
from accnn.core.progress import Silence
from accnn.graph.ir import Graph, GraphWriter, Node, moved, refusal
from accnn.graph.labels import unlabelled
from accnn.graph.losses import at_inference
from accnn.graph.shapes import batch_for
from accnn.reconstruction.divergence import CLASS_SCORES, compared_as
from accnn.scoring.forms import LOG_PROBABILITY, PROBABILITY

_MOST_IMAGES = 1024
_MOST_MACS = 2e12       # of a large network fewer images: each has many places
_MOST_BYTES = 1 << 26  # that the responses looked at may take in a batch, and their gradients as much again
_FLOOR = 1.0           # added to the mean importance of 1: what few images find unimportant still counts
_PROBABLE = 1e-6
_NORMALISING = {"BatchNorm", "BatchNorm_v1", "_contrib_BatchNormWithReLU"}
_ERROR = "accnn_error_of_"


def importances(model, images, input_shapes, layers, seed=0, progress=None):
    """Second moments of the gradients of a network's outputs with respect to layers' responses.

    A small error e in a response moves the outputs by about ``e^T G e``, in the measure of
    :class:`accnn.reconstruction.divergence.Divergence`: G is the output side of the network's Fisher matrix (of its
    Gauss-Newton matrix, for outputs that are no probabilities), the mean over images and places. No labels are needed.

    Parameters
    ----------
    model : Model
    images : ArrayImages or RecordImages
        Up to 1024 of them are used, fewer for large networks.
    input_shapes : dict
    layers : list of LayerSpec
    seed : int
    progress : callable, optional
        See :class:`accnn.planning.accelerator.Accelerator`.

    Returns
    -------
    dict of str to ndarray of float64, shape (N, N)
        Scaled to a mean diagonal of 1, and 1 is added to the diagonal; the identity where no output depends on the
        layer.

    Raises
    ------
    AccnnError
        MXNet cannot differentiate the network.

    References
    ----------
    Martens and Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015: the
    factorisation into a matrix of what a layer reads and one of these gradients.
    """
    names = [spec.name for spec in layers]
    macs_each = sum(macs((spec.part,), spec.in_shape) for spec in layers)
    graph, axes = with_errors(model, names), {spec.name: spec.part.axis for spec in layers}
    shapes = {spec.name: spec.out_shape for spec in layers}
    each = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    count = min(_MOST_IMAGES, images.count, max(1, int(_MOST_MACS // max(macs_each, 1))))
    batches = images.arrays(count)
    size = batch_for(model, input_shapes, int(max(1, min(images.batch_size, _MOST_BYTES // each))))
    generator = np.random.default_rng([seed, zlib.crc32(b"importance")])
    tell = (progress or Silence)("weighing responses", count)
    done, forms = 0, None
    with contextlib.closing(tell), refusals_as_sentences(model, "say `metric='responses'`"):
        runner = GradientRunner(model, graph, input_shapes, shapes, size)
        sums = {spec.name: np.zeros((spec.part.outputs,) * 2) for spec in layers}
        for batch in batches:
            for arrays in split_batch(batch, size):
                tell(done, "")
                outputs = runner.forward(arrays)
                forms = forms or compared_as(model, outputs)
                runner.backward([random_direction(*one, generator) for one in zip(forms, outputs)])
                for name in runner.layers:
                    sums[name] = sums[name] + _second_moments(runner.gradient(name), axes[name])
                done += len(next(iter(arrays.values())))
    return {name: _scaled(total) for name, total in sums.items()}


@contextlib.contextmanager
def refusals_as_sentences(model, remedy=None):
    """Where MXNet cannot differentiate a network, end with a sentence that says so."""
    try:
        yield
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        raise AccnnError("%s cannot be differentiated (%s)%s" % (model.prefix, said, remedy and ": " + remedy or "")
                         ) from error


class GradientRunner:
    """A network bound for gradients with respect to errors that are added to layers' responses.

    Parameters
    ----------
    model : Model
    graph : Graph
        What :func:`with_errors` made of it.
    input_shapes, shapes : dict of str to tuple of int
        Of the inputs, and of the responses of the layers that gradients are wanted of; without the batch.
    size : int
        Images in a batch.

    Attributes
    ----------
    layers : list of str
        Those that the outputs depend on: what only a label is made of is gone with the loss.
    """

    def __init__(self, model, graph, input_shapes, shapes, size):
        symbol = graph.to_symbol()
        known = dict({name: (size,) + tuple(shape) for name, shape in input_shapes.items()},
                     **{_ERROR + name: (size,) + tuple(shape) for name, shape in shapes.items()})
        bound = unlabelled(model, symbol, known)
        arguments = bound.symbol.list_arguments()
        known = {name: shape for name, shape in dict(known, **bound.shapes).items() if name in arguments}
        wanted = {name: "write" if name.startswith(_ERROR) else "null" for name in arguments}
        self._heads = len(model.graph.heads)
        self._size, self._inputs = size, [name for name in input_shapes if name in arguments]
        self.layers = [name for name in shapes if _ERROR + name in known]
        # Where a label is read some operators, such as one_hot, want to be told its type.
        kinds = dict.fromkeys(known, np.float32) if bound.values else None
        self._executor = bound.symbol.simple_bind(mx.cpu(), grad_req=wanted, type_dict=kinds, **known)
        self._executor.copy_params_from(model.arg_params, model.aux_params, allow_extra_params=True)
        for name in set(bound.values) & set(arguments):
            self._executor.arg_dict[name][:] = bound.values[name]

    def forward(self, arrays):
        """list of ndarray: the outputs for up to a batch of images."""
        self._rows = len(next(iter(arrays.values())))
        for name in filter(arrays.__contains__, self._inputs):
            self._executor.arg_dict[name][:self._rows] = arrays[name]
        self._outputs = self._executor.forward(is_train=True)
        return [output.asnumpy() for output in self._outputs[:self._heads]]

    def read(self, place):
        """ndarray: what the layer reads that is the `place`-th of those named to :func:`with_errors`."""
        return self._outputs[self._heads + place].asnumpy()

    def backward(self, directions):
        """Compute the gradients of the outputs along `directions`, which are changed."""
        for direction in directions:
            direction[self._rows * len(direction) // self._size:] = 0  # rows that are no images
        further = [mx.nd.zeros(output.shape) for output in self._outputs[self._heads:]]
        self._executor.backward([mx.nd.array(direction) for direction in directions] + further)

    def gradient(self, name):
        """ndarray: with respect to the responses of a layer."""
        return self._executor.grad_dict[_ERROR + name].asnumpy()


def with_errors(model, names, reading=()):
    """Graph: the network with an error added to the output of every layer of `names`.

    Dropout and the statistics of a batch are taken out, and losses are replaced by what they compute. What the layers
    of `reading` read are further heads, through which no gradient flows.
    """
    written, reads = GraphWriter(), {}
    for position, node in enumerate(model.graph.nodes):
        made = moved(differentiable(node), written.where)
        if node.name in reading and not node.is_variable:
            reads[node.name] = written.add(Node("BlockGrad", node.name + "_read", {}, made.inputs[:1]))
        if node.name in names and not node.is_variable:
            read = written.add(made), written.add(Node("null", _ERROR + node.name, {}))
            made = Node("elemwise_add", node.name + "_with_error", {}, read)
        written.put(position, made)
    graph = written.graph(model.graph.heads)
    return Graph(graph.nodes, graph.heads + tuple(reads[name] for name in reading))


def differentiable(node):
    """Node: one that can be differentiated as it is at inference; Dropout and the statistics of a batch are out."""
    if node.op == "Dropout":
        return replace(node, attrs=dict(node.attrs, p="0.0"))
    if node.op in _NORMALISING:
        return replace(node, attrs=dict(node.attrs, use_global_stats="True"))
    return replace(node, op="_copy", attrs={}) if node.op == "BlockGrad" else at_inference(node)


def random_direction(form, output, generator):
    """A random direction at an output, of which the gradients' second moment is the wanted matrix.

    A change d of probabilities p is d^2 / 2p nats; one of log-probabilities p d^2 / 2; one of scores half the variance
    of d under p. Of several places the mean counts.
    """
    random, output = generator.standard_normal(output.shape), output.astype(np.float64)
    if form == PROBABILITY:
        return random / np.sqrt(2 * np.maximum(output, _PROBABLE) * max(output.sum() / len(output), _PROBABLE))
    if form == LOG_PROBABILITY:
        probability = np.exp(output)
        return random * np.sqrt(probability / 2 / max(probability.sum() / len(output), _PROBABLE))
    if form == CLASS_SCORES:
        root = np.sqrt(softmax(output, axis=1))
        return root * (random - root * (root * random).sum(1, keepdims=True)) / np.sqrt(2)
    return random / max(np.sqrt(np.square(output).sum() / len(output)), 1e-12)


def _second_moments(gradient, axis):
    rows = np.moveaxis(gradient, axis, 0).reshape(gradient.shape[axis], -1)
    return (rows @ rows.T).astype(np.float64)


def _scaled(total):
    count = len(total)
    mean = np.trace(total) / count
    if not (np.isfinite(mean) and mean > 0):
        return np.eye(count)
    return total / mean + _FLOOR * np.eye(count)


def split_batch(batch, size):
    """Yield a dict of arrays in pieces of up to `size` rows."""
    rows = len(next(iter(batch.values())))
    for first in range(0, rows, size):
        yield {name: array[first:first + size] for name, array in batch.items()}

"""What tensors of a network hold on real images: values of all channels at some places."""
import numpy as np

from accnn.graph.ir import Graph, prune
from accnn.runtime.fusion import unfused
from accnn.runtime.predictor import Predictor, compute_errors_as_sentences

_BYTES = 1 << 27  # that the tensors looked at may take in a batch


def observe(model, images, input_shapes, shapes, entries, take):
    """Run images through a network and take something of the tensors inside.

    Parameters
    ----------
    model : Model
    images : ArrayImages or RecordImages
    input_shapes : dict of str to tuple of int
        Without the batch.
    shapes : dict of (int, int) to tuple of int
        Of the entries, with the batch, see :func:`accnn.graph.shapes.infer_shapes`.
    entries : list of (int, int)
    take : callable
        ``take(number of the entry, first image, ndarray)``: called for every entry and batch.
    """
    wanted = list(dict.fromkeys(tuple(entry[:2]) for entry in entries))
    numbers = {entry: number for number, entry in enumerate(wanted)}
    symbol = prune(Graph(model.graph.nodes, tuple(entry + (0,) for entry in wanted))).to_symbol()
    each = 4 * sum(int(np.prod(shapes[entry])) for entry in wanted if entry in shapes)
    size = max(1, min(images.batch_size, images.count, _BYTES // max(each, 1)))
    with unfused():
        predictor = Predictor(model, input_shapes, size, symbol=symbol)
    for first, arrays in images.batches(predictor.batch_size):
        with compute_errors_as_sentences(model.prefix):
            outputs = [output.asnumpy() for output in predictor.forward(*predictor.arranged(arrays))]
        for number, entry in enumerate(entries):
            take(number, first, outputs[numbers[tuple(entry[:2])]])


class ChannelSamples:
    """Values of all channels at places drawn at random; to be called by :func:`observe`.

    Parameters
    ----------
    count : int
        Of entries.
    places : int
        Of every image.
    """

    def __init__(self, count, places, seed=0):
        self._rows = [[] for _ in range(count)]
        self._places, self._generator = places, np.random.default_rng(seed)

    def __call__(self, number, first, array):
        """Take places of a batch; see :func:`observe`."""
        flat = np.moveaxis(array.reshape(array.shape[:2] + (-1,)), 1, 2)
        flat = flat.reshape(-1, array.shape[1])
        wanted = min(self._places * len(array), len(flat))
        self._rows[number].append(flat[self._generator.choice(len(flat), wanted, replace=False)])

    def arrays(self):
        """list of ndarray of float32, shape (places, channels): one for each entry."""
        return [np.concatenate(rows) for rows in self._rows]


def observe_links(model, images, input_shapes, shapes, links, most, seed=0):
    """Samples of what lies between layers, and of what the first ones read.

    Parameters
    ----------
    model, images, input_shapes, shapes
        As for :func:`observe`.
    links : list of Link
    most : int
        Places in all.
    seed : int

    Returns
    -------
    list of (ndarray, ndarray)
        For every link: values of shape (places, channels), and the mean square of every value of the patch that the
        layer reads, shape (D,): padding is taken for what lies beside it.
    """
    if not links:
        return []
    read = [tuple(model.graph.nodes[link.producer.layer].inputs[0][:2]) for link in links]
    samples = ChannelSamples(2 * len(links), max(1, -(-most // images.count)), seed)
    observe(model, images, input_shapes, shapes, [link.entry for link in links] + read, samples)
    arrays = samples.arrays()
    return [(values, _power(model, link, inputs)) for link, values, inputs in
            zip(links, arrays[:len(links)], arrays[len(links):])]


def _power(model, link, inputs):
    """Mean squares of a patch. Groups read different channels: their mean."""
    count = link.producer.affine(model)[0].shape[1] * link.producer.groups
    each = np.square(inputs.astype(np.float64)).mean(0)
    return np.repeat(each, count // len(each)).reshape(link.producer.groups, -1).mean(0)

"""INT8 from images: the tensors of a network are calibrated on them, then it is quantized."""
import itertools

from accnn.core.errors import AccnnError
from accnn.quantization.int8_graph import partition, quantize
from accnn.quantization.ranges import minimum_and_maximum


def quantize_on_images(model, images, exclude=()):
    """Return the INT8 network of a model, whose thresholds are the extremes of every tensor on some images.

    Parameters
    ----------
    model : Model
        Not changed.
    images : ArrayImages, or iterable of dict of str to ndarray
        Batches of every input, as the network takes them, preprocessed: some hundred examples in all, as those that
        it will see.
    exclude : iterable of str
        Layers of `model` that are to stay in float32.

    Returns
    -------
    Model

    Raises
    ------
    AccnnError
        There are no images, or they do not fit; what :func:`accnn.quantization.int8_graph.quantize` refuses.
    """
    exclude, partitioned = list(exclude), partition(model, exclude)
    batches = (arrays for _, arrays in images.batches()) if hasattr(images, "batches") else iter(images)
    first = next(batches, None)
    if first is None:
        raise AccnnError("%s cannot be calibrated without images" % model.prefix)
    shapes = {name: tuple(array.shape[1:]) for name, array in first.items()}
    ranges = minimum_and_maximum(partitioned, shapes, itertools.chain([first], batches))
    return quantize(model, ranges, exclude)
